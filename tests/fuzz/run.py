"""Damaged, hostile and random inputs on every surface: `python tests/fuzz/run.py [--cases 20000] [--seed 0]`.

A case is one call of the command line in this process with a made-up or damaged file or argument. It passes when the
command ends by itself within seconds with exit code 0, 1 or 2 and no traceback, and the process stays below 1 GB.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lstmsim.cli.main import COMMANDS, main
from lstmsim.config import KernelConfig
from lstmsim.device import device_names
from lstmsim.files import data_folder
from lstmsim.measurements import package_measurements
from lstmsim.network import preset_names

LIMIT_S = 60  # the first model file imports its framework
LIMIT_BYTES = 1 << 30
WORDS = (
    "0", "-1", "1", "2", "1e308", "-inf", "nan", "inf", "true", "false", '"x"', "[]", "{}", "[[1]]", "''", "1e400",
    "9" * 30, "0x10", "2026-01-01", '"ap_fixed<16,8>"', '"ap_fixed<1,99>"', '"float"', "1_000", "\x00", "é", "∞", "<",
)  # fmt: skip
ARGUMENTS = (
    "autoenc-1", "lstm-cell", "u280", "zcu104", "t4", "", " ", "-", "--", "--json", "--quiet", "-q", "--help", "nope",
    "../..", "/dev/null", "/", "x" * 5000, "lstm:units=4,timesteps=2", "lstm:units=999999999999", "lstm:",
    "lstm:units=٣,timesteps=2",
    "--set", "engines=2", "engines=", "=", "engines=1e9", "clock_hz=nan", "clock_hz=-1", "weight_format=ap_fixed<0,0>",
    "--batch", "0", "-5", "99999999999999999999", "1", "--device", "-d", "--config", "--calibration", "\udcff", "a\nb",
    "%s%n", "--sweep", "fractional=1..3", "--trips", "loop=1", "--samples", "--seed", "--top", "--max-events", "nan",
)  # fmt: skip
QUICK = (
    "devices",
    "estimate",
    "networks",
    "report",
    "what-if",
    "timeline",
    "validate",
    "measurements",
    "hls",
)

Case = tuple[str, list[str]]


def damaged(draw: random.Random, data: bytes) -> bytes:
    """Return bytes with a few bits, lines or lengths changed."""
    result = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        kind, at = draw.randrange(6), draw.randrange(len(result) + 1)
        if kind == 0 and result:
            result[at % len(result)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del result[at:]
        elif kind == 2:
            result[at:at] = draw.randbytes(draw.randint(1, 8))
        elif kind == 3:
            del result[at : at + draw.randint(1, 40)]
        elif kind == 4:
            result[at:at] = result[at : at + draw.randint(1, 60)]
        else:
            lines = bytes(result).split(b"\n")
            draw.shuffle(lines)
            result = bytearray(b"\n".join(lines))
    return bytes(result)


def edited(draw: random.Random, text: str) -> bytes:
    """Return TOML or CSV with a value or a key replaced."""
    lines = text.splitlines()
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        key, separator, _value = lines[at].partition("=")
        word = draw.choice(WORDS)
        if separator and draw.random() < 0.8:
            lines[at] = f"{key}= {word}"
        elif "," in lines[at]:
            cells = lines[at].split(",")
            cells[draw.randrange(len(cells))] = word
            lines[at] = ",".join(cells)
        else:
            lines[at] = f"{word} = {draw.choice(WORDS)}"
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def broken(draw: random.Random, text: str) -> bytes:
    return edited(draw, text) if draw.random() < 0.6 else damaged(draw, text.encode())


def texts(kind: str) -> list[str]:
    return [entry.read_text("utf-8") for entry in data_folder(kind).iterdir() if entry.name.endswith(".toml")]


def npy_bytes(draw: random.Random) -> bytes:
    stream = io.BytesIO()
    shape = draw.choice([(2, 2, 60), (1, 2, 60), (2, 60), (0, 2, 60), (3,), (), (1, 1, 1, 1)])
    kind = draw.choice(["f8", "f4", "i8", "?", "c16", "U3", "O"])
    array = np.zeros(shape, kind)
    if kind == "f8" and array.size:
        array.flat[0] = draw.choice([0.0, np.nan, np.inf, 1e300])
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def surfaces(folder: Path) -> dict[str, Callable[[random.Random], Case]]:
    """Return what makes a case, by surface."""
    networks, devices, calibrations = texts("networks"), texts("devices"), texts("calibrations")
    rows = (package_measurements() / "paper-fpga.csv").read_text("utf-8")
    weights = [entry.read_bytes() for entry in data_folder("weights").iterdir() if entry.name.endswith(".npz")]
    models = model_files(folder)
    config = "\n".join(
        f"{name} = {value!r}".replace("'", '"').replace("True", "true").replace("False", "false")
        for name, value in KernelConfig().to_dict().items()
        if value is not None
    )

    def put(name: str, data: bytes) -> str:
        path = folder / name
        path.write_bytes(data)
        return str(path)

    def network(draw: random.Random) -> Case:
        return "network.toml", ["estimate", put("n.toml", broken(draw, draw.choice(networks))), "-d", "u280"]

    def device(draw: random.Random) -> Case:
        return "device.toml", ["estimate", "autoenc-1", "-d", put("d.toml", broken(draw, draw.choice(devices)))]

    def configuration(draw: random.Random) -> Case:
        path = put("c.toml", broken(draw, config))
        return "config.toml", ["estimate", "autoenc-1", "-d", "u280", "--config", path, "--json"]

    def calibration(draw: random.Random) -> Case:
        path = put("k.toml", broken(draw, draw.choice(calibrations)))
        return "calibration.toml", ["estimate", "autoenc-1", "-d", "u280", "--calibration", path]

    def measurements(draw: random.Random) -> Case:
        return "measurements.csv", ["measurements", "check", put("m.csv", broken(draw, rows))]

    def array(draw: random.Random) -> Case:
        data = npy_bytes(draw)
        path = put("x.npy", damaged(draw, data) if draw.random() < 0.5 else data)
        return "input.npy", ["simulate", "autoenc-1", "--input", path, "--seed", "0", "--quiet"]

    def weight(draw: random.Random) -> Case:
        path = put("w.npz", damaged(draw, draw.choice(weights)))
        return "weights.npz", ["simulate", "autoenc-1", "--weights", path, "--quiet"]

    def model(draw: random.Random) -> Case:
        name, data = draw.choice(models)
        return f"model{Path(name).suffix}", ["estimate", put(name, damaged(draw, data)), "-d", "t4"]

    def report(draw: random.Random) -> Case:
        return "report", [
            "report",
            "show",
            put(draw.choice(("a.rpt", "a.xml", "a.csv", "a.json")), broken(draw, REPORT)),
        ]

    def accuracy(draw: random.Random) -> Case:
        path = put("a.json", broken(draw, ACCURACY))
        return "accuracy.json", ["report", "html", "-d", "t4", "--json", "--accuracy", path]

    def arguments(draw: random.Random) -> Case:
        words = [draw.choice(ARGUMENTS) for _ in range(draw.randint(0, 6))]
        return "arguments", [draw.choice(QUICK), *words] if draw.random() < 0.9 else words

    def values(draw: random.Random) -> Case:
        knob, value = draw.choice(list(KernelConfig().to_dict())), draw.choice(WORDS)
        name, board = draw.choice(preset_names()), draw.choice(device_names())
        return "--set", [draw.choice(("estimate", "timeline")), name, "-d", board, "--set", f"{knob}={value}"]

    makers: list[Callable[[random.Random], Case]] = [
        network, device, configuration, calibration, measurements, array, report, accuracy, arguments, values,
    ]  # fmt: skip
    if weights:
        makers.append(weight)
    if models:
        makers.append(model)
    return {maker.__name__: maker for maker in makers}


REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<profile><ReportVersion><Version>2022.2</Version></ReportVersion><UserAssignments><TopModelName>top</TopModelName>
<TargetClockPeriod>3.33</TargetClockPeriod></UserAssignments><PerformanceEstimates><SummaryOfOverallLatency>
<Worst-caseLatency>100</Worst-caseLatency></SummaryOfOverallLatency></PerformanceEstimates></profile>
"""
ACCURACY = '{"results": [{"label": "ap_fixed<16,8>", "fractional_bits": 8, "accuracy": 0.9, "data": "x"}]}'


def model_files(folder: Path) -> list[tuple[str, bytes]]:
    """Return small model files of the formats that can be written here."""
    found = []
    with contextlib.suppress(ImportError):
        import onnx
        from onnx import TensorProto, helper

        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
        out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
        found.append(("m.onnx", onnx.ModelProto.SerializeToString(helper.make_model(graph))))
    with contextlib.suppress(ImportError):
        import h5py

        with h5py.File(folder / "m.h5", "w") as stream:
            stream.attrs["model_config"] = '{"class_name": "Sequential", "config": {"layers": []}}'
            stream.create_group("model_weights")
        found.append(("m.h5", (folder / "m.h5").read_bytes()))
    import json
    import zipfile

    for name in ("m.keras", "m.pt"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
            archive.writestr("metadata.json", "{}")
            archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
            archive.writestr("../../escape", b"x")
        found.append((name, (folder / name).read_bytes()))
    return found


@contextlib.contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_case(arguments: list[str], limit_s: int = LIMIT_S) -> str:
    """Run one command; return an empty text, or what is wrong."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    try:
        with time_limit(limit_s), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(list(arguments))
    except SystemExit as end:
        code = end.code
    except BaseException:
        return traceback.format_exc()
    if code not in (0, 1, 2, None):
        return f"exit code {code!r}: {err.getvalue()[-300:]}"
    if "Traceback" in err.getvalue():
        return err.getvalue()[-2000:]
    if "not done after" in err.getvalue():
        return f"hang: {err.getvalue()[-300:]}"
    return ""


def fuzz(
    cases: int, seed: int, *, stop_after: int = 20
) -> tuple[collections.Counter[str], list[tuple[list[str], str]]]:
    """Run cases; return their counts by surface and what failed."""
    counts: collections.Counter[str] = collections.Counter()
    failures: list[tuple[list[str], str]] = []
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        makers = list(surfaces(Path(name)).values())
        run_case(["simulate", "autoenc-1", "--seed", "0", "--quiet"], 300)  # compiles, where no cache is there
        for number in range(cases):
            draw = random.Random(f"{seed}/{number}")
            surface, arguments = draw.choice(makers)(draw)
            counts[surface] += 1
            problem = run_case(arguments)
            if problem:
                failures.append(([f"case {number}", *arguments], problem))
                if len(failures) >= stop_after:
                    break
    return counts, failures


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def command() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    unknown = set(QUICK) - set(COMMANDS)
    if unknown:
        parser.error(f"no such commands: {sorted(unknown)}")
    started = time.perf_counter()
    counts, failures = fuzz(options.cases, options.seed)
    for surface, count in sorted(counts.items()):
        print(f"{surface:20} {count:7,}")
    peak = peak_bytes()
    print(f"{'all':20} {counts.total():7,}  {time.perf_counter() - started:.0f} s, peak {peak / 2**20:,.0f} MiB")
    for arguments, problem in failures:
        print(f"\n{arguments!r}\n{problem}")
    print(f"{len(failures)} failures")
    return 1 if failures or peak > LIMIT_BYTES else 0


if __name__ == "__main__":
    sys.exit(command())

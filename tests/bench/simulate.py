"""How fast the simulator is, against a float runtime and other bit-accurate ways, in one run.

    python tests/bench/simulate.py [--quick]

Every row is the median of paired runs: the two contenders take turns, so that a busy machine slows both. The bits of
the fast path are compared with those of the plain one in the same run. One thread, unless a row says otherwise.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sharing import independent_speedup, work_on_command

from lstmsim.config import KernelConfig, float_config, replace_knobs
from lstmsim.model import DenseWeights, Model, random_model
from lstmsim.network import DenseLayer, LstmLayer, RepeatLayer, load_preset
from lstmsim.quantise import quantise_model
from lstmsim.simulate import Path as SimulationPath
from lstmsim.simulate import Simulator

THREADED = (("autoenc-5", 256), ("autoenc-1", 256), ("autoenc-1", 4096))
CASES = (("autoenc-5", 1), ("autoenc-5", 256), ("autoenc-1", 1), ("autoenc-1", 256))
ROUNDED = {
    "accumulator_format": "ap_fixed<24,12,AP_RND,AP_SAT>",
    "state_format": "ap_fixed<16,8,AP_RND,AP_SAT>",
    "cell_format": "ap_fixed<16,8,AP_RND,AP_SAT>",
}


@dataclass(frozen=True)
class Pair:
    ours_s: float
    theirs_s: float
    ratio: float


def paired(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    rounds: int,
    slot_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Pair:
    """Return medians over rounds in which both take turns; the ratio is the median of the rounds' ratios."""
    repeats = [max(1, int(slot_s / max(timed(call, 1), 1e-7))) for call in (ours, theirs)]
    pairs = []
    for _ in range(rounds):
        mine, other = timed(ours, repeats[0], clock), timed(theirs, repeats[1], clock)
        pairs.append(Pair(mine, other, other / mine))
    return median_pair(pairs)


def median_pair(pairs: list[Pair]) -> Pair:
    """Return the median of each figure."""
    return Pair(*(statistics.median(getattr(pair, name) for pair in pairs) for name in ("ours_s", "theirs_s", "ratio")))


def timed(call: Callable[[], Any], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


# Processor time of a contender that runs on one thread: a machine that others share does not enter it.
ONE_THREAD = time.process_time


def onnx_session(model: Model) -> Any:
    """Return an onnxruntime session of one thread for the model's float32 form, batch first."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    network = model.network
    nodes.append(helper.make_node("Transpose", ["x"], ["v"], perm=[1, 0, 2]))
    value = "v"
    for index, (layer, weights) in enumerate(zip(network.layers, model.weights, strict=True)):
        name = f"n{index}"
        if isinstance(layer, LstmLayer):
            assert isinstance(weights, tuple)
            order = [0, 3, 1, 2]  # ONNX: input, output, forget, cell
            joined = [
                np.concatenate(list(a[order])).astype(np.float32)[None]
                for a in (weights[0].kernel, weights[0].recurrent)
            ]
            bias = np.concatenate(list(weights[0].bias[order])).astype(np.float32)
            ends = np.concatenate([bias, np.zeros_like(bias)])[None]
            names = [constant(name + k, a) for k, a in zip("wrb", (*joined, ends), strict=True)]
            nodes.append(helper.make_node("LSTM", [value, *names], [name + "y", name + "h"], hidden_size=layer.units))
            if layer.return_sequences:
                axes = constant(name + "a", np.array([1], np.int64))
                nodes.append(helper.make_node("Squeeze", [name + "y", axes], [name]))
                value = name
            else:
                value = name + "h"
        elif isinstance(layer, RepeatLayer):
            shape = constant(name + "s", np.array([layer.count, 1, 1], np.int64))
            nodes.append(helper.make_node("Expand", [value, shape], [name]))
            value = name
        else:
            assert isinstance(layer, DenseLayer)
            assert isinstance(weights, DenseWeights)
            kernel = constant(name + "k", weights.kernel.T.astype(np.float32))
            nodes.append(helper.make_node("MatMul", [value, kernel], [name + "m"]))
            nodes.append(
                helper.make_node("Add", [name + "m", constant(name + "b", weights.bias.astype(np.float32))], [name])
            )
            value = name
    nodes.append(helper.make_node("Transpose", [value], ["y"], perm=[1, 0, 2]))
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", network.timesteps, network.features]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", network.output.timesteps, network.output.features]),
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(file.SerializeToString(), options, providers=["CPUExecutionProvider"])


def keras_model(model: Model) -> Any:
    """Return a Keras model of the same shape (its speed does not depend on the weights)."""
    import keras

    stack = keras.Sequential([keras.Input((model.network.timesteps, model.network.features))])
    for layer in model.network.layers:
        if isinstance(layer, LstmLayer):
            stack.add(keras.layers.LSTM(layer.units, return_sequences=layer.return_sequences))
        elif isinstance(layer, RepeatLayer):
            stack.add(keras.layers.Flatten())
            stack.add(keras.layers.RepeatVector(layer.count))
        else:
            assert isinstance(layer, DenseLayer)
            stack.add(keras.layers.Dense(layer.units))
    return stack


def int16_peak_macs_s() -> float:
    """Return the 16-bit multiply-adds a second of one core: a tile whose operands stay in the first-level cache."""
    from numba import njit

    from lstmsim.core import simd

    @njit
    def many(rows: Any, lanes: Any, sums: Any, columns: int, count: int) -> None:
        for _ in range(count):
            simd.add_tiles(
                sums, simd.PAIRS, 0, 1, np.int64(sums.ctypes.data), np.int64(sums.ctypes.data), 0,
                np.int64(rows.ctypes.data), np.int64(lanes.ctypes.data), columns, 0,
                np.int64(rows.ctypes.data), np.int64(lanes.ctypes.data), 0, 0, 0,
            )  # fmt: skip

    columns, count = 64, 20_000
    rows, lanes = np.ones((columns, 4), np.int32), np.ones((columns, 16), np.int32)
    sums = np.zeros(64, np.int32)
    many(rows, lanes, sums, columns, 1)
    best = min(timed(lambda: many(rows, lanes, sums, columns, count), 1) for _ in range(15))
    return columns * 2 * 64 * count / best


def check_bits(simulator: Simulator, inputs: Any, samples: int = 4) -> None:
    """Raise where the fast path and the plain one differ in a bit."""
    plain = Simulator(simulator.model, force=SimulationPath.PLAIN)
    picked = np.unique(np.linspace(0, len(inputs) - 1, samples).astype(int))
    if not np.array_equal(simulator.run(inputs)[picked], plain.run(inputs[picked])):
        raise SystemExit(f"{simulator.model.network.name}: the fast path differs from the plain one")


def row(name: str, batch: int, what: str, pair: Pair, extra: str = "") -> None:
    ours, theirs = 1e3 * pair.ours_s / batch, 1e3 * pair.theirs_s / batch
    print(f"{name:10} {batch:>4}  {what:34} {ours:>10.4f} {theirs:>10.4f} {pair.ratio:>9.2f}x  {extra}", flush=True)


def float_runtimes(rounds: int, slot_s: float, peak: float) -> None:
    """Rows against onnxruntime and Keras."""
    for name, batch in CASES:
        model = random_model(load_preset(name), 1)
        network = model.network
        inputs = np.random.default_rng(2).uniform(-1, 1, (batch, network.timesteps, network.features))
        single = inputs.astype(np.float32)
        simulator = Simulator(quantise_model(model, KernelConfig()))
        check_bits(simulator, single)
        session = onnx_session(model)
        gap = np.abs(session.run(None, {"x": single})[0] - model.predict(inputs)).max()
        if gap > 1e-4:
            raise SystemExit(f"{name}: onnxruntime runs another network (largest difference {gap:g})")
        ours = lambda s=simulator, x=single: s.run(x)  # noqa: E731
        pair = paired(ours, lambda s=session, x=single: s.run(None, {"x": x}), rounds, slot_s, ONE_THREAD)
        share = network.macs * batch / pair.ours_s / peak
        row(
            name,
            batch,
            "onnxruntime float32",
            pair,
            f"{100 * share:.0f} % of the int16 peak, {simulator.plan.path.value}",
        )
        if importlib.util.find_spec("keras"):
            stack = keras_model(model)
            stack.predict(single, batch_size=batch, verbose=0)
            theirs = lambda s=stack, x=single, b=batch: s.predict(x, batch_size=b, verbose=0)  # noqa: E731
            row(name, batch, "Keras predict", paired(ours, theirs, max(3, rounds // 3), slot_s))
        floats = Simulator(quantise_model(model, float_config()))
        check_bits(floats, single)
        pair = paired(
            lambda s=floats, x=single: s.run(x),
            lambda s=session, x=single: s.run(None, {"x": x}),
            rounds,
            slot_s,
            ONE_THREAD,
        )
        row(name, batch, "onnxruntime (ours: float32 in order)", pair)


def simulation(name: str, batch: int) -> Callable[..., Any]:
    """Return a call that runs a preset on random inputs, after its bits were checked."""
    model = random_model(load_preset(name), 1)
    network = model.network
    inputs = np.random.default_rng(2).uniform(-1, 1, (batch, network.timesteps, network.features)).astype(np.float32)
    simulator = Simulator(quantise_model(model, KernelConfig()))
    check_bits(simulator, inputs)
    return partial(simulator.run, inputs)


def two_threads(rounds: int, slot_s: float) -> None:
    """Rows of two threads against one, beside two processes that share nothing."""
    for name, batch in THREADED:
        one = simulation(name, batch)
        two = partial(one, threads=2)
        pair = paired(two, one, rounds, slot_s)
        processor = paired(two, one, rounds, slot_s, ONE_THREAD)  # of all threads: shows waste, not idle cores
        apart = independent_speedup([__file__, "--run-only", name, str(batch)], max(3, rounds // 3))
        row(
            name,
            batch,
            "one thread (ours: two threads)",
            pair,
            f"{1 / processor.ratio:.2f} x the processor time; two processes apart {apart:.2f}x",
        )


def run_on_command(name: str, batch: int) -> None:
    """Run for a second or so when told to."""
    call, macs = simulation(name, batch), load_preset(name).macs * batch
    work_on_command(lambda: timed(call, max(1, round(5e10 / macs))))


def csimulation(rounds: int, slot_s: float) -> None:
    """Rows against the C++ kernel compiled by g++ -O3 with ap_fixed; its own clock times it."""
    from lstmsim.device import load_device
    from lstmsim.hls.project import write_project

    model = random_model(load_preset("autoenc-5"), 1)
    network = model.network
    for what, config in (("wrap", KernelConfig()), ("round, saturate", replace_knobs(KernelConfig(), ROUNDED))):
        inputs = np.random.default_rng(2).uniform(-1, 1, (256, network.timesteps, network.features))
        simulator = Simulator(quantise_model(model, config))
        check_bits(simulator, inputs)
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder) / "project"
            write_project(model, config, load_device("u280"), project, inputs=inputs[:2])
            built = subprocess.run(["make", "bench"], cwd=project, capture_output=True, text=True)
            if "PASS" not in built.stdout:
                print(f"C-simulation ({what}): did not run: {(built.stderr or built.stdout).strip()[-200:]}")
                continue
            pairs: dict[int, list[Pair]] = {1: [], 256: []}
            for _ in range(rounds):
                theirs_s = csimulation_s(project)
                for batch, seen in pairs.items():
                    call = lambda s=simulator, x=inputs[:batch]: s.run(x)  # noqa: E731
                    ours_s = timed(call, max(1, int(slot_s / max(timed(call, 1), 1e-7))))
                    seen.append(Pair(ours_s, theirs_s * batch, theirs_s * batch / ours_s))
        for batch, seen in pairs.items():
            row(network.name, batch, f"g++ -O3 ap_fixed ({what})", median_pair(seen), simulator.plan.path.value)


def csimulation_s(project: Path) -> float:
    """Run the built C-simulation once and return its seconds per inference."""
    done = subprocess.run(
        ["./testbench_fast", "data", "bench"], cwd=project, capture_output=True, text=True, check=True
    )
    found = re.search(r"seconds_per_inference ([0-9.]+)", done.stdout)
    assert found
    return float(found[1])


def first_call() -> None:
    """Time the first call of a fresh process, with compiled kernels in the cache."""
    program = (
        "import time; start = time.perf_counter()\n"
        "import numpy as np, lstmsim\n"
        "from lstmsim.model import random_model\n"
        "from lstmsim.network import load_preset\n"
        "model = random_model(load_preset('autoenc-5'), 1)\n"
        "lstmsim.simulate(model, lstmsim.KernelConfig(), np.zeros((1, 50, 1), np.float32))\n"
        "print(time.perf_counter() - start)"
    )
    taken = [
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout) for _ in range(4)
    ]
    print(
        f"first call in a fresh process, kernels cached: {min(taken):.2f} s (median {statistics.median(taken):.2f} s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--run-only", nargs=2, metavar=("NETWORK", "BATCH"), help="one of two processes apart")
    options = parser.parse_args()
    if options.run_only:
        run_on_command(options.run_only[0], int(options.run_only[1]))
        return
    rounds, slot_s = (5, 0.05) if options.quick else (15, 0.2)
    peak = int16_peak_macs_s()
    print(f"int16 multiply-add peak of one core: {peak / 1e9:.1f} GMAC/s")
    print(f"{'network':10} {'batch':>4}  {'against':34} {'ours ms':>10} {'theirs ms':>10} {'ratio':>10}")
    if shutil.which("g++"):
        csimulation(rounds, slot_s)
    float_runtimes(rounds, slot_s, peak)
    two_threads(rounds, slot_s)
    first_call()


if __name__ == "__main__":
    main()

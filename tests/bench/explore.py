"""Speed of an exploration: designs a second, threads, cold command, peak memory, and hls4ml on the same network.

python tests/bench/explore.py [--quick] [--no-hls4ml]

Rates are medians after compilation, of runs on one and two threads in turn. A loaded machine shows in the gap between
wall and CPU seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sharing import independent_speedup, work_on_command

from lstmsim.core.sweep import EVALUATED
from lstmsim.device import load_device
from lstmsim.explore import DEFAULT_OBJECTIVES, default_space, explore
from lstmsim.explore.engine import compile_loop, run_sweep
from lstmsim.explore.problem import pack_problem
from lstmsim.network import load_preset

NETWORK, DEVICE = "autoenc-5", "u280"


def problem_of(space):
    network, device = load_preset(NETWORK), load_device(DEVICE)
    return pack_problem(
        network, device, space, DEFAULT_OBJECTIVES, (), batch=1, queue=128, accuracy=None, calibration=None
    )


def paired_rates(problem, runs: int) -> tuple[int, dict[int, tuple[float, float]], float]:
    """Return evaluated designs, median wall and CPU seconds by number of threads, and the median speed-up of a pair."""
    seconds: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(runs):
        for threads, taken in seconds.items():
            before, started = time.process_time(), time.perf_counter()
            tally = run_sweep(problem, threads)
            taken.append((time.perf_counter() - started, time.process_time() - before))
    medians = {
        threads: (statistics.median(wall for wall, _ in taken), statistics.median(cpu for _, cpu in taken))
        for threads, taken in seconds.items()
    }
    speedups = [one[0] / two[0] for one, two in zip(seconds[1], seconds[2], strict=True)]
    return int(tally.counts[EVALUATED]), medians, statistics.median(speedups)


def sweep_on_command() -> None:
    """Say when ready, wait for a line, sweep on one thread and print the seconds."""
    problem = problem_of(default_space(load_preset(NETWORK), load_device(DEVICE)))
    compile_loop(problem)
    work_on_command(lambda: run_sweep(problem, 1))


def ten_million_space():
    base = default_space(load_preset(NETWORK), load_device(DEVICE))
    clock = base.axes["clock_hz"][-1]
    return dataclasses.replace(base, axes={**base.axes, "clock_hz": (clock / 2, clock * 2 / 3, clock * 3 / 4, clock)})


def measure_memory() -> None:
    """Explore ten million designs in this process and print the peak."""
    found = explore(NETWORK, DEVICE, space=ten_million_space())
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"evaluated": found.evaluated, "peak_mb": peak_bytes / 1e6, "seconds": found.seconds}))


def cold_command() -> float:
    """Return the seconds of `lstmsim explore` in a fresh process with a warm kernel cache."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "lstmsim", "explore", NETWORK, "--device", DEVICE, "--quiet"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def hls4ml_seconds() -> dict[str, float | str]:
    """Return the seconds that hls4ml takes to convert and compile the same network once."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import hls4ml
        import keras
    except ImportError as problem:
        return {"skipped": f"hls4ml does not run here: {problem}"}
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((50, 1)),
            layers.LSTM(128),
            layers.RepeatVector(50),
            layers.LSTM(128, return_sequences=True),
            layers.TimeDistributed(layers.Dense(1)),
        ]
    )
    try:
        return {"network": NETWORK, **_convert_and_compile(hls4ml, model)}
    except Exception as problem:
        reason = f"{type(problem).__name__}: {problem}".splitlines()[0][:120]
    shorter = keras.Sequential([layers.Input((50, 1)), layers.LSTM(128)])
    try:
        return {"network": f"first layer of {NETWORK} only ({reason})", **_convert_and_compile(hls4ml, shorter)}
    except Exception as problem:
        return {"skipped": f"{reason}; and one layer: {type(problem).__name__}: {problem}".replace("\n", " ")[:300]}


def _convert_and_compile(hls4ml, model) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        config = hls4ml.utils.config_from_keras_model(model, granularity="name")
        project = hls4ml.converters.convert_from_keras_model(
            model, hls_config=config, output_dir=str(Path(folder) / "project"), backend="Vitis", io_type="io_parallel"
        )
        converted = time.perf_counter()
        project.compile()
        return {"convert_s": converted - started, "compile_s": time.perf_counter() - converted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of each")
    parser.add_argument("--no-hls4ml", action="store_true")
    parser.add_argument("--memory-only", action="store_true")
    parser.add_argument("--sweep-only", action="store_true")
    options = parser.parse_args()
    if options.sweep_only:
        sweep_on_command()
        return
    if options.memory_only:
        measure_memory()
        return
    runs = 1 if options.quick else 9
    problem = problem_of(default_space(load_preset(NETWORK), load_device(DEVICE)))
    started = time.perf_counter()
    compile_loop(problem)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; compiling or loading the loop: "
          f"{time.perf_counter() - started:.2f} s")  # fmt: skip
    evaluated, medians, speedup = paired_rates(problem, runs)
    (wall_one, cpu_one), (wall_two, cpu_two) = medians[1], medians[2]
    print(f"one thread : {evaluated:,} valid designs in {wall_one:.2f} s: {evaluated / wall_one / 1e6:.2f} M/s "
          f"({evaluated / cpu_one / 1e6:.2f} M/s of CPU time); target 5 M/s")  # fmt: skip
    apart = independent_speedup([__file__, "--sweep-only"], runs)
    print(f"two threads: {wall_two:.2f} s: {evaluated / wall_two / 1e6:.2f} M/s, {speedup:.2f} x in the median pair "
          f"(CPU time {cpu_two / cpu_one:.2f} x; two processes that share nothing gain "
          f"{apart:.2f} x); target 1.7 x")  # fmt: skip
    cold_command()
    cold = statistics.median(cold_command() for _ in range(runs))
    print(f"cold command, kernel cache warm: {cold:.2f} s; target 3 s")
    memory = subprocess.run([sys.executable, __file__, "--memory-only"], check=True, capture_output=True, text=True)
    peak = json.loads(memory.stdout.splitlines()[-1])
    print(
        f"{peak['evaluated']:,} designs: peak memory {peak['peak_mb']:.0f} MB, {peak['seconds']:.2f} s; target 500 MB"
    )
    if not options.no_hls4ml:
        other = hls4ml_seconds()
        print(f"hls4ml, one design: {json.dumps(other)}")
        if "convert_s" in other:
            one = float(other["convert_s"]) + float(other["compile_s"])
            print(f"  {one:.1f} s for one design there; {wall_one:.2f} s for all {evaluated:,} here")


if __name__ == "__main__":
    main()

"""Timing of networks on a GPU or a CPU in the paper's manner: inputs and outputs in host memory, warm runs, the median.

Several cases are timed in turns, a slice of each at a time, so that a machine that others use disturbs all alike.
On one CPU thread, runs whose processor time is well below the clock's (the system gave the processor to others) are
left out of the percentiles and counted apart; a tenth of the runs, the least disturbed, is always kept.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import ConfigError, HardwareError
from lstmsim.hardware import machine
from lstmsim.hardware.backends import Job, Runner, Target, build
from lstmsim.measurements import Measurement
from lstmsim.model import random_model
from lstmsim.network import Network, network_from_shape

MAX_BATCH = 1 << 16
MAX_REPEAT = 1_000_000
UNDISTURBED_SHARE = 0.9
"""Processor time of a run over its time on the clock, from which on it counts as undisturbed."""
LEAST_SHARE = 0.1
"""Share of the runs that is kept even where more were disturbed."""

DEVICE_RUNS = 30
"""Runs that CUDA events time, after those on the host's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to time. `repeat` runs of each case at most, in `rounds` slices, within `limit_s` seconds of each case.

    Raises:
        ConfigError: a value out of range.
    """

    backend: str = "onnxruntime"
    target: Target = "cpu"
    threads: int = 1
    repeat: int = 2000
    warm_up: int = 10
    rounds: int = 20
    limit_s: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        _within("--repeat", self.repeat, 1, MAX_REPEAT)
        _within("--threads", self.threads, 0, 1024)
        _within("--limit", self.limit_s, 0.01, 3600.0)
        _within("rounds", self.rounds, 1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What was seen of one case: seconds of a whole call for `batch` inputs.

    `median_s`, `low_s` and `high_s` are the 50th, 10th and 90th percentile of `runs` runs on the host's clock;
    `disturbed` runs are left out of them. `device_s` is the median of the accelerator's
    own clock without transfers; `power_w` is the GPU's highest reading between the rounds.
    """

    network: Network
    batch: int
    runs: int
    disturbed: int
    median_s: float
    low_s: float
    high_s: float
    library: str
    device_s: float | None = None
    power_w: float | None = None

    @property
    def spread_s(self) -> float:
        """The distance between the 10th and the 90th percentile."""
        return self.high_s - self.low_s


@dataclass(slots=True)
class _Case:
    network: Network
    batch: int
    runner: Runner
    times_s: list[float] = field(default_factory=list)
    busy_s: list[float] = field(default_factory=list)
    power_w: float | None = None


def measure(
    networks: Sequence[Network],
    batches: Sequence[int],
    plan: Plan,
    *,
    advance: Callable[[str], object] = lambda _: None,
) -> list[Timing]:
    """Time every network at every batch; `advance` is called with a few words as the work goes on.

    Raises:
        ConfigError: a batch out of range.
        MissingExtra, HardwareError: as `backends.build`; HardwareError also where a run fails.
    """
    for batch in batches:
        _within("--batch", batch, 1, MAX_BATCH)
    if not networks or not batches:
        raise ConfigError("nothing to measure: name a network and a batch")
    cases = []
    for network, batch in product(networks, batches):
        advance(f"build {network.name}, batch {batch}")
        cases.append(_prepare(network, batch, plan))
    for number in range(plan.rounds):
        for case in cases:
            advance(f"round {number + 1}: {case.network.name}, batch {case.batch}")
            _slice(case, plan)
    return [_result(case, plan) for case in cases]


def steps_of_work(networks: int, batches: int, plan: Plan) -> int:
    """Return how often `measure` calls `advance`."""
    return networks * batches * (1 + plan.rounds)


def rows(timings: Iterable[Timing], plan: Plan, *, device: str, source: str, prefix: str = "") -> list[Measurement]:
    """Return timings as measurements of a device (its name or file).

    Ids are made of `prefix` (the device where not given), backend, network and batch.
    """
    return [_row(timing, plan, device, source, prefix or device) for timing in timings]


def row_id(prefix: str, backend: str, network: Network, batch: int) -> str:
    """Return the id of a case's row."""
    return f"{prefix}-{backend}-{network.name}-b{batch}".replace(",", "-").replace("=", "")


def grid(units: Sequence[int], layers: Sequence[int], timesteps: Sequence[int], *, features: int = 32) -> list[Network]:
    """Return the networks of equal layers at every point of a grid."""
    return [
        network_from_shape(f"lstm:units={unit},layers={count},timesteps={steps},features={features}")
        for unit, count, steps in product(units, layers, timesteps)
    ]


def _within(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{what} = {value} is outside {low:g}..{high:g}")


def _prepare(network: Network, batch: int, plan: Plan) -> _Case:
    generator = np.random.default_rng(plan.seed)
    inputs = generator.uniform(-1.0, 1.0, (batch, network.timesteps, network.features)).astype(np.float32)
    job = Job(
        model=random_model(network, plan.seed),
        inputs=inputs,
        target=plan.target,
        threads=plan.threads,
        backend=plan.backend,
    )
    try:
        case = _Case(network, batch, build(job))
        _warm_up(case, plan)
    except (RuntimeError, MemoryError) as problem:
        raise _failed(network, batch, plan, problem) from None
    return case


def _failed(network: Network, batch: int, plan: Plan, problem: BaseException) -> HardwareError:
    if isinstance(problem, HardwareError):
        return problem
    text = str(problem).strip() or type(problem).__name__
    return HardwareError(f"{plan.backend} failed on {network.name!r}, batch {batch}: {text.splitlines()[0]}")


def _warm_up(case: _Case, plan: Plan) -> None:
    """Run a few times, until the time of a slice is over; the first run is always done and checked."""
    start = time.perf_counter()
    outputs = np.asarray(case.runner.run())
    expected = (case.batch, case.network.output.timesteps, case.network.output.features)
    if outputs.shape != expected or not np.isfinite(outputs).all():
        raise HardwareError(f"{plan.backend} gave {list(outputs.shape)} values, some perhaps not finite: {expected}")
    for _ in range(plan.warm_up - 1):
        if time.perf_counter() - start > plan.limit_s / plan.rounds:
            return
        case.runner.run()


def _slice(case: _Case, plan: Plan) -> None:
    """Time one round's share of the runs, one at least unless the case's time is over."""
    if sum(case.times_s) > plan.limit_s:
        return
    run, clock, processor = case.runner.run, time.perf_counter, time.process_time
    end = clock() + plan.limit_s / plan.rounds
    try:
        for _ in range(math.ceil(plan.repeat / plan.rounds)):
            busy, start = processor(), clock()
            run()
            stop = clock()
            case.busy_s.append(processor() - busy)
            case.times_s.append(stop - start)
            if stop > end:
                break
    except (RuntimeError, MemoryError) as problem:
        raise _failed(case.network, case.batch, plan, problem) from None
    if plan.target == "cuda":
        case.power_w = max(machine.gpu_power_w() or 0.0, case.power_w or 0.0) or None


def _result(case: _Case, plan: Plan) -> Timing:
    alone = _alone(case, plan)
    times = np.asarray(case.times_s)[alone]
    low, middle, high = np.percentile(times, [10, 50, 90])
    clock = case.runner.device_time_s
    return Timing(
        network=case.network,
        batch=case.batch,
        runs=len(times),
        disturbed=int(np.count_nonzero(~alone)),
        median_s=float(middle),
        low_s=float(low),
        high_s=float(high),
        library=case.runner.library,
        device_s=statistics.median(clock() for _ in range(DEVICE_RUNS)) if clock else None,
        power_w=case.power_w,
    )


def _alone(case: _Case, plan: Plan) -> NDArray[np.bool_]:
    """Return which runs had their processor for themselves; all of them where this cannot be told."""
    if plan.target != "cpu" or plan.threads != 1:
        return np.ones(len(case.times_s), dtype=np.bool_)
    shares = np.asarray(case.busy_s) / np.asarray(case.times_s)
    least = min(UNDISTURBED_SHARE, float(np.quantile(shares, 1 - LEAST_SHARE, method="lower")))
    result: NDArray[np.bool_] = shares >= least
    return result


def _row(timing: Timing, plan: Plan, device: str, source: str, prefix: str) -> Measurement:
    threads = "" if plan.target == "cuda" else f"; {plan.threads or 'default'} thread(s)"
    others = f", {timing.disturbed} disturbed" if timing.disturbed else ""
    seen = "" if timing.device_s is None else f"; {timing.device_s:.9g} s by CUDA events"
    extra: dict[str, Any] = {
        "backend": plan.backend,
        "tool": timing.library,
        "latency_spread_s": f"{timing.spread_s:.4g}",
        "power_w": "" if timing.power_w is None else f"{timing.power_w:.1f}",
        "source": source,
        "note": f"median of {timing.runs} runs{others}, spread 10..90 %{threads}{seen}",
        "mode": plan.target,
    }
    return Measurement(
        id=row_id(prefix, plan.backend, timing.network, timing.batch),
        device=device,
        network=timing.network.name,
        stage="board",
        batch=timing.batch,
        latency_s=timing.median_s,
        extra={name: text for name, text in extra.items() if text},
    )

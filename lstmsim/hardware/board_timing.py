"""Checking and timing a kernel on a board: bits against the simulator, launch overhead apart from time per input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import ConfigError, HardwareError
from lstmsim.hardware.lstm_board import LstmKernel, Share
from lstmsim.measurements import Measurement
from lstmsim.quantise import quantise_inputs, quantise_model
from lstmsim.simulate import run_raw

MAX_BATCH = 1 << 16
MAX_REPEAT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Outputs of the board against the simulator's, bit for bit. `first` is the index of the first difference."""

    values: int
    differing: int
    first: tuple[int, ...] | None = None

    @property
    def equal(self) -> bool:
        """Whether every value is the same."""
        return self.differing == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTiming:
    """Median times of `runs` calls on `batch` inputs.

    `latency_s` goes from inputs in host memory to outputs in host memory, `kernel_s` from the start of the kernel to
    its end; `spread_s` is the distance between the 10th and the 90th percentile of the latency.
    """

    batch: int
    runs: int
    latency_s: float
    kernel_s: float
    spread_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCost:
    """The line through kernel times over batches: seconds of a call without inputs, and of each input."""

    overhead_s: float
    input_s: float

    def cycles_per_input(self, clock_hz: float) -> float:
        """Return the cycles of one input at a clock."""
        return self.input_s * clock_hz


def compare(kernel: LstmKernel, inputs: NDArray[np.floating]) -> Comparison:
    """Run inputs on the board and compare every raw output with the simulator's.

    Raises:
        HardwareError: as `LstmKernel.run`.
    """
    seen = kernel.run(inputs)
    model, config = kernel.model, kernel.config
    expected = run_raw(quantise_model(model, config), quantise_inputs(model.network, config, inputs)).outputs
    different = _bits(seen) != _bits(expected)
    places = np.argwhere(different)
    return Comparison(
        values=int(different.size),
        differing=len(places),
        first=tuple(int(index) for index in places[0]) if len(places) else None,
    )


def _bits(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return floats as their bits, so that -0.0 and NaN count too."""
    return values.view(np.uint32) if values.dtype == np.float32 else values


def time_calls(
    kernel: LstmKernel,
    inputs: NDArray[np.floating],
    batches: Sequence[int],
    *,
    repeat: int = 100,
    warm_up: int = 3,
    limit_s: float = 10.0,
    advance: Callable[[str], object] = lambda _: None,
) -> list[CallTiming]:
    """Time calls of several sizes, each on a run object that is prepared once. Samples are used over again.

    Raises:
        ConfigError: a batch or `repeat` out of range.
        HardwareError: the kernel fails or does not end in time.
    """
    if not 1 <= repeat <= MAX_REPEAT:
        raise ConfigError(f"--repeat {repeat} is outside 1..{MAX_REPEAT}")
    for batch in batches:
        if not 1 <= batch <= MAX_BATCH:
            raise ConfigError(f"--batch {batch} is outside 1..{MAX_BATCH}")
    timings = []
    for batch in batches:
        advance(f"batch {batch}")
        timings.append(_time_batch(kernel, inputs, batch, repeat=repeat, warm_up=warm_up, limit_s=limit_s))
    return timings


def _time_batch(
    kernel: LstmKernel, inputs: NDArray[np.floating], batch: int, *, repeat: int, warm_up: int, limit_s: float
) -> CallTiming:
    raw = quantise_inputs(kernel.model.network, kernel.config, inputs)
    raw = raw[np.arange(batch) % len(raw)]
    calls, kernels = [], []
    with kernel.prepared(batch) as shares:
        samples = kernel.samples(shares, raw)
        for _ in range(warm_up):
            _call(kernel, shares, samples)
        end = time.monotonic() + limit_s
        for _ in range(repeat):
            call_s, kernel_s = _call(kernel, shares, samples)
            calls.append(call_s)
            kernels.append(kernel_s)
            if time.monotonic() > end:
                break
    low, middle, high = np.percentile(calls, [10, 50, 90])
    return CallTiming(
        batch=batch,
        runs=len(calls),
        latency_s=float(middle),
        kernel_s=float(np.median(kernels)),
        spread_s=float(high - low),
    )


def _call(kernel: LstmKernel, shares: list[Share], samples: list[bytes]) -> tuple[float, float]:
    """Return the seconds of a call and those of the kernel in it."""
    clock = kernel.board.clock
    begin = clock()
    kernel.write(shares, samples)
    start = clock()
    kernel.execute(shares)
    stop = clock()
    kernel.read(shares)
    return clock() - begin, stop - start


def separate(timings: Sequence[CallTiming]) -> CallCost | None:
    """Return the line through the kernel times, relative errors least squares; None for fewer than two batches."""
    if len({timing.batch for timing in timings}) < 2:
        return None
    batches = np.array([timing.batch for timing in timings], dtype=float)
    seconds = np.array([timing.kernel_s for timing in timings])
    slope, start = np.polyfit(batches, seconds, 1, w=1 / seconds)
    return CallCost(overhead_s=float(start), input_s=float(slope))


def rows(kernel: LstmKernel, timings: Iterable[CallTiming], *, device: str, source: str) -> list[Measurement]:
    """Return calls as measurements of a device.

    Raises:
        HardwareError: they were not seen on a board: emulated times are no measurements.
    """
    mode = kernel.board.mode
    if mode != "hw":
        raise HardwareError(
            f"times of mode {mode!r} are no measurements and are not written for a calibration: run on a board"
        )
    return [_row(kernel, timing, device, source) for timing in timings]


def _row(kernel: LstmKernel, timing: CallTiming, device: str, source: str) -> Measurement:
    description, network = kernel.board.description, kernel.model.network
    defaults = type(kernel.config)().to_dict()
    knobs = {name: value for name, value in kernel.config.to_dict().items() if value != defaults[name]}
    clock_hz = description.clock_hz
    return Measurement(
        id=f"{device}-xrt-{network.name}-{kernel.config.digest}-b{timing.batch}",
        device=device,
        network=network.name,
        stage="board",
        batch=timing.batch,
        knobs={name: str(value) for name, value in knobs.items()},
        latency_s=timing.latency_s,
        extra={
            "backend": "xrt",
            "latency_spread_s": f"{timing.spread_s:.4g}",
            "source": source,
            "note": f"median of {timing.runs} calls; {timing.kernel_s:.9g} s in the kernel",
            "xsa": description.xsa,
            "uuid": str(description.uuid),
            "mode": kernel.board.mode,
            **({"clock_seen_hz": f"{clock_hz:.9g}"} if clock_hz else {}),
        },
    )

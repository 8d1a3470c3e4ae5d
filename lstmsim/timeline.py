"""The schedule of one call: what every part of the kernel does when, from the stepped simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lstmsim.calibration import Calibration
from lstmsim.config import KernelConfig
from lstmsim.core.design import DENSE, INPUTS, KIND, PASSES, STEPS, UNITS
from lstmsim.device import FpgaDevice
from lstmsim.errors import ConfigError
from lstmsim.network import Network

MAX_EVENTS = 100_000
MAX_SLICES = 1_000_000
MAX_WORK = 50_000_000
COMPILE_ABOVE = 200_000
GATES = ("i", "f", "g", "o")


@dataclass(frozen=True, slots=True)
class Slice:
    """One box of the schedule. `instance` -1 is the host; times are seconds from the start of the call."""

    name: str
    kind: str
    instance: int
    track: str
    start_s: float
    end_s: float
    input: int = -1
    layer: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The schedule of one call.

    `total_s` is where the last slice ends, `estimate_s` what the closed formulas say. `detail` names the finest slices
    that are kept: "steps", "layers" or "inputs"; `dropped` counts inputs that were left out.
    """

    network: str
    device: str
    batch: int
    instances: int
    clock_hz: float
    total_s: float
    estimate_s: float
    detail: str
    dropped: int
    slices: tuple[Slice, ...]
    config: dict[str, Any]

    @property
    def difference(self) -> float:
        """How far stepped simulator and closed formulas are apart, as a share of the estimate."""
        return self.total_s / self.estimate_s - 1.0


def timeline(
    network: Network,
    device: FpgaDevice,
    config: KernelConfig | None = None,
    *,
    batch: int = 1,
    calibration: Calibration | str | None = None,
    max_events: int = MAX_EVENTS,
) -> Timeline:
    """Step through one call and return its schedule.

    Args:
        network: what runs.
        device: the FPGA that it runs on.
        config: the kernel's knobs; by default those that `estimate` takes.
        batch: inputs of the call.
        calibration: coefficients to use; by default those made from the paper's tables.
        max_events: slices to keep at most; beyond, time steps, then layers are joined.

    Raises:
        ConfigError: the call has too many bursts or inputs to step through, or a batch out of range.
    """
    import numpy as np

    from lstmsim.estimate import chosen_config, estimate, fpga_calibration
    from lstmsim.kernel_model import calibrated_values, kernel_model, latency_coefficients

    chosen = config or chosen_config(network, device, calibration)
    closed = estimate(network, device, chosen, batch=batch, calibration=calibration)
    values = calibrated_values(fpga_calibration(calibration))
    model = kernel_model(network, device, chosen, batch)
    _refuse_too_long(model.layers, model.knobs)
    slices, outs = np.zeros((batch, len(model.layers), 4)), np.zeros((batch, 2))
    c = latency_coefficients(values)
    arguments = (model.outputs, model.knobs, model.board(values), c, slices, outs)
    _stepper(_work(model.layers, model.knobs))(np.array(model.layers, dtype=np.int64), *arguments)
    slowdown = 1.0 + c.instance_slowdown * (min(model.knobs.instances, batch) - 1)
    call = _Call(model, c, slices, outs, slowdown / model.knobs.clock_hz, closed.seconds["launch"])
    detail, shown = call.detail(max_events)
    return Timeline(
        network=network.name,
        device=device.name,
        batch=batch,
        instances=min(model.knobs.instances, batch),
        clock_hz=model.knobs.clock_hz,
        total_s=call.launch_s + float(outs[:, 1].max()) * call.scale_s,
        estimate_s=closed.latency_s,
        detail=detail,
        dropped=batch - shown,
        slices=tuple(call.slices_of(detail, shown)),
        config=chosen.to_dict(),
    )


def busy_times(result: Timeline) -> dict[str, float]:
    """Return the seconds for which each track is busy, by its name; with several instances, of the first."""
    times: dict[str, float] = {}
    for piece in result.slices:
        if piece.instance <= 0:
            times[piece.track] = times.get(piece.track, 0.0) + piece.end_s - piece.start_s
    return times


def _work(layers: tuple[tuple[int, ...], ...], knobs: Any) -> int:
    from lstmsim.core.stepped import load_bursts

    bursts = sum(load_bursts(layer, knobs) * layer[PASSES] for layer in layers)
    rows = sum((layer[STEPS] if layer[KIND] == DENSE else 5) * layer[UNITS] + layer[STEPS] for layer in layers)
    return int((bursts + len(layers)) * knobs.batch + rows)


def _refuse_too_long(layers: tuple[tuple[int, ...], ...], knobs: Any) -> None:
    if len(layers) * knobs.batch > MAX_SLICES:
        raise ConfigError(
            f"{knobs.batch} inputs of {len(layers)} layers are more than the {MAX_SLICES:,} slices that a timeline "
            "holds: choose a smaller --batch"
        )
    work = _work(layers, knobs)
    if work > MAX_WORK:
        raise ConfigError(
            f"a timeline of {work:,} bursts and rows is above {MAX_WORK:,}: choose a smaller --batch, longer bursts "
            "or a wider port"
        )


def _stepper(work: int) -> Any:
    """Return the simulator, compiled where compiling pays."""
    if work > COMPILE_ABOVE:
        from lstmsim.core.compiled import compiled_step_call

        return compiled_step_call()
    from lstmsim.core.stepped import step_call

    return step_call


class _Call:
    """Turns the arrays of a stepped call into slices."""

    def __init__(self, model: Any, c: Any, slices: Any, outs: Any, scale_s: float, launch_s: float) -> None:
        self.layers, self.knobs = model.layers, model.knobs
        self.slices, self.outs, self.scale_s, self.launch_s = slices, outs, scale_s, launch_s
        self.parts = [self._step_parts(layer, c) for layer in model.layers]

    def _step_parts(self, layer: tuple[int, ...], c: Any) -> Any:
        import numpy as np

        from lstmsim.core.cycles import cell_columns
        from lstmsim.core.stepped import step_parts

        parts = np.zeros(4)
        step_parts(layer, cell_columns(self.layers), self.knobs, c, parts)
        return parts

    def detail(self, limit: int) -> tuple[str, int]:
        """Return the finest detail that fits into `limit` slices, and how many inputs are shown."""
        batch, layers = len(self.outs), self.layers
        steps = sum(layer[STEPS] * layer[PASSES] * (2 + 4) for layer in layers if layer[KIND] != DENSE)
        for name, events in (("steps", steps + 3 * len(layers) + 1), ("layers", 3 * len(layers) + 1), ("inputs", 2)):
            if events * batch < limit:
                return name, batch
        return "inputs", max(1, (limit - 1) // 2)

    def slices_of(self, detail: str, shown: int) -> Any:
        """Yield the slices of the call."""
        if self.launch_s > 0.0:
            yield Slice("launch", "launch", -1, "launch", 0.0, self.launch_s)
        busy = min(self.knobs.instances, len(self.outs))
        kept = range(shown) if shown == len(self.outs) else [*range(shown - 1), int(self.outs[:, 1].argmax())]
        for item in kept:
            where = item % busy
            if detail == "inputs":
                start = min(self.slices[item, :, 0].min(), self.slices[item, :, 2].min())
                yield self._slice(f"input {item}", "input", where, "layers", start, self.outs[item, 0], item)
            else:
                for index in range(len(self.layers)):
                    yield from self._layer(item, index, where, detail)
            yield self._slice("output", "output", where, "output", self.outs[item, 0], self.outs[item, 1], item)

    def _layer(self, item: int, index: int, where: int, detail: str) -> Any:
        layer = self.layers[index]
        load_start, load_end, start, end = map(float, self.slices[item, index])
        name = f"layer {index + 1}"
        kind = "dense" if layer[KIND] == DENSE else "layer"
        cell, port = f", cell {index + 1}" if self.knobs.layer_parallel else "", ""
        if self.knobs.systolic_steps > 1:
            flight = item // min(self.knobs.instances, len(self.outs)) % self.knobs.systolic_steps
            cell = port = f", input {flight + 1} in flight"
        if load_end > load_start:
            track = f"weights{port}"
            yield self._slice(f"{name} weights", "weight_load", where, track, load_start, load_end, item, index)
        words = f"{name} ({'dense' if kind == 'dense' else 'LSTM'} {layer[INPUTS]} to {layer[UNITS]})"
        yield self._slice(words, kind, where, f"layers{cell}", start, end, item, index)
        if kind == "layer" and detail == "steps":
            yield from self._steps(item, index, where, start, cell)

    def _steps(self, item: int, index: int, where: int, start: float, suffix: str) -> Any:
        copy, gates, update = (float(part) for part in self.parts[index][:3])
        engines = self.knobs.parallel_gates
        layer = self.layers[index]
        for step in range(layer[STEPS] * layer[PASSES]):
            name, at = f"step {step + 1}", start + step * (copy + gates + update)
            yield self._slice(name, "input", where, f"input copy{suffix}", at, at + copy, item, index)
            for engine in range(engines):
                served = " ".join(GATES[gate] for gate in range(engine, 4, engines))
                track = f"gate engine {served}{suffix}"
                yield self._slice(name, "gates", where, track, at + copy, at + copy + gates, item, index)
            done = at + copy + gates
            yield self._slice(name, "elementwise", where, f"element-wise{suffix}", done, done + update, item, index)

    def _slice(
        self, name: str, kind: str, where: int, track: str, start: float, end: float, item: int, layer: int = -1
    ) -> Slice:
        low, high = (self.launch_s + float(cycles) * self.scale_s for cycles in (start, end))
        return Slice(name, kind, where, track, low, high, item, layer)

"""What if one knob were different: latency, throughput and resources of every single change around a configuration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lstmsim.calibration import Calibration
from lstmsim.config import KernelConfig, replace_knobs
from lstmsim.core.rules import broken_rule
from lstmsim.design_choice import fits_budget
from lstmsim.device import FpgaDevice
from lstmsim.errors import ConfigError
from lstmsim.explore.problem import calibration_values, extent_of
from lstmsim.explore.space import FORMAT_KNOBS, default_space
from lstmsim.kernel_model import kernel_model
from lstmsim.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One changed knob; latency, throughput and resources are relative changes (-0.5 halves, infinite from none)."""

    knob: str
    value: Any
    config: KernelConfig
    latency_s: float
    latency: float
    throughput: float
    resources: dict[str, float]
    fits: bool
    breaks_first: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the configuration."""
        return {
            "knob": self.knob,
            "value": self.value if isinstance(self.value, int | float | str | bool) else str(self.value),
            "latency_s": self.latency_s,
            "latency_change": self.latency,
            "throughput_change": self.throughput,
            "resource_changes": self.resources,
            "fits": self.fits,
            "breaks_first": self.breaks_first,
        }


@dataclass(frozen=True, slots=True)
class _Figures:
    latency_s: float
    throughput_per_s: float
    resources: dict[str, float]


def what_if(
    network: Network,
    device: FpgaDevice,
    config: KernelConfig,
    *,
    batch: int = 1,
    queue: int = 128,
    calibration: Calibration | str | None = None,
) -> list[Change]:
    """Return every single change, fitting ones first, the one that saves most latency on top.

    Every knob takes the choices of `default_space` and, where it counts something, half and twice its value; the
    number format is changed as a whole.
    """
    values = calibration_values(calibration)

    def figures(changed: KernelConfig) -> _Figures:
        model = kernel_model(network, device, changed, batch)
        queued = kernel_model(network, device, changed, queue).latency_s(values)
        return _Figures(model.latency_s(values), queue / queued, model.usage(values)._asdict())

    now, budget = figures(config), device.budget.as_dict()
    changes = [
        _change(knob, value, changed, now, figures(changed), budget)
        for knob, value, changed in single_changes(network, device, config)
    ]
    return sorted(changes, key=lambda change: (not change.fits, change.latency, -change.throughput))


def single_changes(
    network: Network, device: FpgaDevice, config: KernelConfig
) -> Iterator[tuple[str, Any, KernelConfig]]:
    """Yield knob, value and configuration of every valid change of one knob, or of the number format."""
    space = default_space(network, device)
    for name, choices in space.axes.items():
        for value in _nearby(name, getattr(config, name), choices):
            changed = _replaced(config, {name: value})
            if changed is not None and _is_valid(network, device, changed):
                yield name, value, changed
    for formats in space.formats:
        knobs = {name: getattr(formats, name) for name in FORMAT_KNOBS}
        changed = _replaced(config, knobs)
        if changed is not None and changed != config and _is_valid(network, device, changed):
            yield "number_format", str(formats), changed


def best_change(changes: list[Change]) -> Change | None:
    """Return the change that saves most latency and fits, or None where none helps."""
    helpful = [change for change in changes if change.fits and change.latency < -1e-9]
    return min(helpful, key=lambda change: change.latency, default=None)


def _nearby(name: str, value: Any, choices: tuple[Any, ...]) -> list[Any]:
    near = list(choices)
    if isinstance(value, int) and not isinstance(value, bool):
        near += [value * 2, value // 2]
    if name == "clock_hz" and value is None:
        near = near[:-1]
    return [choice for choice in dict.fromkeys(near) if choice != value and choice != 0]


def _replaced(config: KernelConfig, knobs: dict[str, Any]) -> KernelConfig | None:
    try:
        return replace_knobs(config, knobs)
    except ConfigError:
        return None


def _is_valid(network: Network, device: FpgaDevice, config: KernelConfig) -> bool:
    packed = kernel_model(network, device, config, 1)
    return broken_rule(packed.knobs, 0, extent_of(packed.layers, device)) < 0


def _change(
    knob: str, value: Any, config: KernelConfig, now: _Figures, then: _Figures, budget: dict[str, float]
) -> Change:
    fits = fits_budget(then.resources, budget)
    over = {name: need - budget[name] for name, need in then.resources.items() if need > budget[name]}
    return Change(
        knob=knob,
        value=value,
        config=config,
        latency_s=then.latency_s,
        latency=then.latency_s / now.latency_s - 1,
        throughput=then.throughput_per_s / now.throughput_per_s - 1,
        resources={name: _relative(now.resources[name], need) for name, need in then.resources.items()},
        fits=fits,
        breaks_first=None if fits else max(over, key=lambda name: then.resources[name] / max(budget[name], 1.0)),
    )


def _relative(before: float, after: float) -> float:
    if before == after:
        return 0.0
    return after / before - 1 if before else math.inf

"""One line of advice: the single change that helps a design most and still fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstmsim.config import KernelConfig, replace_knobs
from lstmsim.design_choice import default_config, fits_budget
from lstmsim.device import FpgaDevice
from lstmsim.errors import ConfigError
from lstmsim.kernel_model import kernel_model
from lstmsim.network import Network

WORTHWHILE_SHARE = 0.03


def single_changes(config: KernelConfig, device: FpgaDevice) -> list[dict[str, Any]]:
    """Return the changes of one knob that could make a design faster."""
    changes: list[dict[str, Any]] = [
        {"resident_weights": True},
        {"double_buffer": True},
        {"elementwise_unroll": 32},
        {"engines": 2 * config.engines},
    ]
    wider = min(512, device.memory_port_bits)
    if wider > config.memory_bits:
        changes.append({"memory_bits": wider})
    if config.mac_share > 1:
        changes.append({"mac_share": config.mac_share // 2})
    if config.parallel_gates < 4:
        changes.append({"parallel_gates": 2 * config.parallel_gates})
    return changes


def advise(
    network: Network, device: FpgaDevice, config: KernelConfig, batch: int, values: Mapping[str, float]
) -> str | None:
    """Return the best single change as a sentence, or None where nothing gains 3 % or more."""
    budget = device.budget.as_dict()
    base = kernel_model(network, device, config, batch)
    now = base.latency_s(values)
    if not fits_budget(base.usage(values)._asdict(), budget):
        return _how_to_fit(network, device, config, values)
    best_gain, best_change = WORTHWHILE_SHARE, None
    for change in single_changes(config, device):
        try:
            model = kernel_model(network, device, replace_knobs(config, change), batch)
        except ConfigError:
            continue
        gain = 1 - model.latency_s(values) / now
        if gain > best_gain and fits_budget(model.usage(values)._asdict(), budget):
            best_gain, best_change = gain, change
    if best_change is None:
        return None
    (knob, value), *_ = best_change.items()
    shown = str(value).lower() if isinstance(value, bool) else value
    return f"--set {knob}={shown} would save {best_gain:.0%} of the latency and still fit"


def _how_to_fit(network: Network, device: FpgaDevice, config: KernelConfig, values: Mapping[str, float]) -> str:
    fallback = default_config(network, device, values)
    needs = kernel_model(network, device, fallback, 1).usage(values)._asdict()
    if not fits_budget(needs, device.budget.as_dict()):
        return "no design of this kernel fits the network on this device: choose a larger device or a smaller network"
    changed = [
        f"--set {name}={value}"
        for name, value in fallback.to_dict().items()
        if value != config.to_dict()[name] and name != "memory_bits"
    ]
    return "this design fits: " + " ".join(changed)

"""Latency of GPUs and CPUs: a call's overhead, its layer steps, its weights and its products.

t = base + step * layer_steps + weight * parameters + mac * batch * multiply-accumulates. On GPUs the steps rule: each
launches kernels that leave the machine idle. On CPUs the products do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from lstmsim.calibration import Calibration
from lstmsim.device import Device, ProcessorDevice, load_device
from lstmsim.errors import CalibrationError, UnknownDevice
from lstmsim.network import Network

PHASE_OF = {"base_s": "launch", "step_s": "steps", "weight_s": "weights", "mac_s": "products"}
CLASS_LOG_SIGMA = 0.5
"""Spread of an estimate for a device that was not measured, from its class: GPUs of one class differ by 1.6 x."""


@dataclass(frozen=True, slots=True)
class ProcessorCoefficients:
    """A device's coefficients, the calibration's names of them, and how much to trust them."""

    values: dict[str, float]
    names: dict[str, str]
    reasons: tuple[str, ...]
    log_sigma: float

    def parts(self, seconds: Mapping[str, float]) -> dict[str, float]:
        """Return the seconds that each coefficient accounts for."""
        return {name: seconds[PHASE_OF[name]] for name in self.names}


def processor_coefficients(device: ProcessorDevice, calibration: Calibration) -> ProcessorCoefficients:
    """Return a device's coefficients; those of an unmeasured device are the geometric means of its kind and class.

    Raises:
        CalibrationError: the calibration knows no device of this kind.
    """
    if device.name in calibration.devices:
        names = {
            name: f"{name}.{device.name}" for name in PHASE_OF if f"{name}.{device.name}" in calibration.coefficients
        }
        return ProcessorCoefficients({name: calibration.value(full) for name, full in names.items()}, names, (), 0.0)
    peers = _devices_of_the_package(calibration.devices)
    alike = [peer.name for peer in peers if peer.kind == device.kind and peer.edge == device.edge]
    alike = alike or [peer.name for peer in peers if peer.kind == device.kind]
    if not alike:
        raise CalibrationError(f"calibration {calibration.name!r} has no {device.kind}: measure {device.name!r} first")
    values = {}
    for name in PHASE_OF:
        known = [calibration.value(full) for peer in alike if (full := f"{name}.{peer}") in calibration.coefficients]
        if known:
            values[name] = math.exp(sum(map(math.log, known)) / len(known))
    reason = f"no run was measured on {device.name}: taken from {', '.join(alike)}"
    return ProcessorCoefficients(values, {}, (reason,), CLASS_LOG_SIGMA)


def _devices_of_the_package(names: Iterable[str]) -> list[Device]:
    """Return the devices that can be found by name; a machine of the user's own has its file elsewhere."""
    found = []
    for name in names:
        with suppress(UnknownDevice):
            found.append(load_device(name))
    return found


def processor_seconds(network: Network, batch: int, coefficients: dict[str, float]) -> dict[str, float]:
    """Return the seconds of one call by phase: launch, steps, weights, products."""
    return {
        "launch": coefficients["base_s"],
        "steps": coefficients["step_s"] * network.layer_steps,
        "weights": coefficients["weight_s"] * network.params,
        "products": coefficients.get("mac_s", 0.0) * network.macs * batch,
    }

"""Energy of an inference: static and switching power of FPGAs, a share of the way from idle to full for processors.

The weakest figure that is printed: no power was measured on the kernels modelled here. Every estimate has a range.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from lstmsim.core.design import Usage
from lstmsim.core.energy import PowerCoefficients, average_w, inference_joule, switching_w, traffic_bytes
from lstmsim.device import Device, FpgaDevice, ProcessorDevice
from lstmsim.errors import ConfigError
from lstmsim.files import data_folder, read_toml
from lstmsim.pack import knobs_of, layers_of

if TYPE_CHECKING:
    from lstmsim.config import KernelConfig
    from lstmsim.estimate import Estimate
    from lstmsim.network import Network

Bound = Literal["low", "typical", "high"]
SOURCE = "lstmsim/data/energy/fpga.toml and the device's idle and maximum power, all estimates"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyEstimate:
    """Energy of one input in joule and average power while it runs in watt, each with its range."""

    energy_j: float
    energy_low_j: float
    energy_high_j: float
    power_w: float
    power_low_w: float
    power_high_w: float
    source: str = SOURCE

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return asdict(self)


@cache
def _table() -> dict[str, dict[str, float]]:
    table = read_toml(data_folder("energy") / "fpga.toml")
    return {name: entry for name, entry in table.items() if isinstance(entry, dict)}


def power_coefficients(device: FpgaDevice, bound: Bound = "typical") -> PowerCoefficients:
    """Return the coefficients of `core.energy` for a device."""
    table = _table()
    return PowerCoefficients(
        static_w=float(device.static_power_w * table["static"][bound]),
        lut_j=table["lut"][bound],
        ff_j=table["ff"][bound],
        dsp_j=table["dsp"][bound],
        bram18_j=table["bram18"][bound],
        uram_j=table["uram"][bound],
        memory_j_per_byte=table["memory_byte"][bound],
    )


def energy_of(result: Estimate, network: Network, device: Device, config: KernelConfig | None = None) -> EnergyEstimate:
    """Return the energy of one input of an estimated call.

    Raises:
        ConfigError: an FPGA estimate without the configuration that it was made for.
    """
    if isinstance(device, ProcessorDevice):
        return _on_processor(result, device)
    if config is None or result.resources is None:
        raise ConfigError(f"energy on {device.name} needs the configuration that was estimated")
    knobs = knobs_of(config, device, result.batch)
    used = Usage(**result.resources)
    bytes_read = traffic_bytes(layers_of(network), knobs)
    joule: dict[Bound, float] = {}
    bounds: tuple[Bound, ...] = ("low", "typical", "high")
    for bound in bounds:
        c = power_coefficients(device, bound)
        joule[bound] = inference_joule(
            result.latency_s, result.batch, switching_w(used, knobs.clock_hz, c), bytes_read, c
        )
    watt = {bound: average_w(value, result.latency_s, result.batch) for bound, value in joule.items()}
    return EnergyEstimate(
        energy_j=joule["typical"],
        energy_low_j=joule["low"],
        energy_high_j=joule["high"],
        power_w=watt["typical"],
        power_low_w=watt["low"],
        power_high_w=watt["high"],
    )


def _on_processor(result: Estimate, device: ProcessorDevice) -> EnergyEstimate:
    share = _table()["processor_share"]
    span = device.max_power_w - device.idle_power_w
    watt = {bound: device.idle_power_w + share[bound] * span for bound in ("low", "typical", "high")}
    seconds = result.latency_s / result.batch
    return EnergyEstimate(
        energy_j=watt["typical"] * seconds,
        energy_low_j=watt["low"] * seconds,
        energy_high_j=watt["high"] * seconds,
        power_w=watt["typical"],
        power_low_w=watt["low"],
        power_high_w=watt["high"],
    )

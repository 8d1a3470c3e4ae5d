"""The kernel on an FPGA: named coefficients and packed numbers to cycles and resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lstmsim.calibration import Calibration
from lstmsim.config import KernelConfig
from lstmsim.core.cycles import call_phases, total_cycles
from lstmsim.core.design import Board, Knobs, LatencyCoefficients, Phases, ResourceCoefficients, Usage
from lstmsim.core.resources import usage
from lstmsim.device import FpgaDevice
from lstmsim.network import Network
from lstmsim.pack import board_of, input_values, knobs_of, layers_of, output_values

LAUNCH_LOG_SIGMA = 0.5
"""Uncertainty of a launch overhead that was not calibrated on the board itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelModel:
    """A network on a device, packed once and evaluated for any coefficients."""

    layers: tuple[tuple[int, ...], ...]
    features: int
    outputs: int
    knobs: Knobs
    device: FpgaDevice

    def phases(self, values: Mapping[str, float]) -> Phases:
        """Return the cycles of one call, by phase."""
        return call_phases(self.layers, self.outputs, self.knobs, self.board(values), latency_coefficients(values))

    def latency_s(self, values: Mapping[str, float]) -> float:
        """Return the seconds of one call."""
        return total_cycles(self.phases(values)) / self.knobs.clock_hz

    def usage(self, values: Mapping[str, float]) -> Usage:
        """Return the resources of the whole design."""
        return usage(self.layers, self.features, self.knobs, resource_coefficients(values))

    def board(self, values: Mapping[str, float]) -> Board:
        """Return the board's numbers, with the calibrated launch where there is one."""
        return board_of(self.device, values.get(self.launch_name, self.device.launch_s))

    @property
    def launch_name(self) -> str:
        """The coefficient that holds this board's launch overhead."""
        return f"launch_s.{self.device.name}"


def kernel_model(network: Network, device: FpgaDevice, config: KernelConfig, batch: int) -> KernelModel:
    """Pack a network, a device and a configuration into numbers."""
    return KernelModel(
        layers=layers_of(network),
        features=max(network.features, network.output.features),
        outputs=output_values(network),
        knobs=knobs_of(config, device, batch),
        device=device,
    )


def latency_coefficients(values: Mapping[str, float]) -> LatencyCoefficients:
    """Return the cycle model's coefficients out of named ones."""
    return LatencyCoefficients(*[values[name] for name in LatencyCoefficients._fields])


def resource_coefficients(values: Mapping[str, float]) -> ResourceCoefficients:
    """Return the resource model's coefficients out of named ones."""
    return ResourceCoefficients(*[values[name] for name in ResourceCoefficients._fields])


def calibrated_values(calibration: Calibration) -> dict[str, float]:
    """Return a calibration's coefficients by name.

    Raises:
        CalibrationError: one that the kernel's model needs is missing.
    """
    for name in (*LatencyCoefficients._fields, *ResourceCoefficients._fields):
        calibration.value(name)
    return {name: coefficient.value for name, coefficient in calibration.coefficients.items()}


def features_of(network: Network, config: KernelConfig, knobs: Knobs) -> dict[str, float]:
    """Return what decides whether an estimate lies inside the range that was measured."""
    layers = layers_of(network)
    return {
        "layers": len(layers),
        "largest layer (inputs + units)": max((layer[2] + layer[3] for layer in layers), default=0),
        "time steps": network.timesteps,
        "input values": input_values(network),
        "batch": knobs.batch,
        "clock in MHz": knobs.clock_hz / 1e6,
        "weight bits": config.weight_format.width_bits,
        "accumulator bits": config.accumulator_format.width_bits,
        "parallel_gates": config.parallel_gates,
        "mac_share": config.mac_share,
        "engines": config.engines,
        "instances": config.instances,
        "elementwise_unroll": config.elementwise_unroll,
        "memory_bits": config.memory_bits,
        "memory_ports": config.memory_ports,
        "layer_parallel": int(config.layer_parallel),
        "systolic_steps": config.systolic_steps,
        "resident_weights": int(config.resident_weights),
        "double_buffer": int(config.double_buffer),
    }

"""From types to the plain numbers that `core` computes with. The only place that knows both."""

from __future__ import annotations

from lstmsim.config import ACCUMULATIONS, ACTIVATIONS, WEIGHT_BANKS, WEIGHT_MEMORIES, KernelConfig
from lstmsim.core import design
from lstmsim.device import FpgaDevice
from lstmsim.fixedpoint import FloatFormat
from lstmsim.network import DenseLayer, LstmLayer, Network


def layers_of(network: Network) -> tuple[tuple[int, ...], ...]:
    """Return the layers that compute, as rows of numbers (`core.design` names the columns)."""
    rows = []
    for stage in network.stages:
        match stage.layer:
            case LstmLayer(units=units, passes=passes):
                rows.append((design.LSTM, stage.input.timesteps, stage.input.features, units, passes))
            case DenseLayer(units=units):
                rows.append((design.DENSE, stage.input.timesteps, stage.input.features, units, 1))
    return tuple(rows)


def output_values(network: Network) -> int:
    """Return the values of one output sample."""
    return network.output.timesteps * network.output.features


def input_values(network: Network) -> int:
    """Return the values of one input sample."""
    return network.timesteps * network.features


def knobs_of(config: KernelConfig, device: FpgaDevice, batch: int) -> design.Knobs:
    """Return the configuration as numbers; an unset clock takes the device's default."""
    return design.Knobs(
        parallel_gates=config.parallel_gates,
        mac_share=config.mac_share,
        engines=config.engines,
        instances=config.instances,
        layer_parallel=int(config.layer_parallel),
        systolic_steps=config.systolic_steps,
        elementwise_unroll=config.elementwise_unroll,
        accumulation=ACCUMULATIONS.index(config.accumulation),
        is_float=int(config.is_float),
        weight_bits=config.weight_format.width_bits,
        state_bits=config.state_format.width_bits,
        accumulator_bits=config.accumulator_format.width_bits,
        io_bits=config.io_format.width_bits,
        io_is_float=int(isinstance(config.io_format, FloatFormat)),
        activation=ACTIVATIONS.index(config.activation),
        table_entries=config.activation_table_size,
        memory_bits=config.memory_bits,
        memory_ports=config.memory_ports,
        widen_ports=int(config.widen_ports),
        burst_beats=config.burst_beats,
        outstanding_reads=config.outstanding_reads,
        resident_weights=int(config.resident_weights),
        double_buffer=int(config.double_buffer),
        staged_weights=int(config.staged_weights),
        weight_memory=WEIGHT_MEMORIES.index(config.weight_memory),
        clock_hz=device.clock_hz if config.clock_hz is None else config.clock_hz,
        batch=batch,
        bank_per_column=WEIGHT_BANKS.index(config.weight_banks),
    )


def board_of(device: FpgaDevice, launch_s: float) -> design.Board:
    """Return the device's memory and host as numbers, with the launch overhead to use."""
    return design.Board(
        launch_s=launch_s,
        channels=device.memory_channels,
        port_bits=device.memory_port_bits,
        bandwidth_bytes_per_s=device.memory_bandwidth_bytes_per_s,
        read_latency_s=MEMORY_READ_LATENCY_S,
    )


MEMORY_READ_LATENCY_S = 75 / 300e6  # 71-79 cycles at 300 MHz on a U200's DDR4, measured in a public burst study

"""A design as plain numbers: what the cycle and resource functions read and return.

Everything is a number or a tuple of numbers, so that the same functions run as plain Python for one estimate and are
compiled by numba for millions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# A layer is a row of numbers; these are its columns.
KIND, STEPS, INPUTS, UNITS, PASSES = 0, 1, 2, 3, 4
LSTM, DENSE = 0, 1

TREE, CASCADE, CHAIN = 0, 1, 2
LUTRAM, BRAM, URAM, SPLIT = 0, 1, 2, 3
TABLE, INTERPOLATED, PLAN, PIECEWISE = 0, 1, 2, 3

Layers = Sequence[Sequence[int]]


class Knobs(NamedTuple):
    """`KernelConfig` as numbers. Widths in bits, switches as 0 or 1."""

    parallel_gates: int
    mac_share: int
    engines: int
    instances: int
    layer_parallel: int
    systolic_steps: int
    elementwise_unroll: int
    accumulation: int
    is_float: int
    weight_bits: int
    state_bits: int
    accumulator_bits: int
    io_bits: int
    io_is_float: int
    activation: int
    table_entries: int
    memory_bits: int
    memory_ports: int
    widen_ports: int
    burst_beats: int
    outstanding_reads: int
    resident_weights: int
    double_buffer: int
    staged_weights: int
    weight_memory: int
    clock_hz: float
    batch: int
    bank_per_column: int = 0


class Board(NamedTuple):
    """What the memory and the host of a board offer to one kernel."""

    launch_s: float
    channels: int
    port_bits: int
    bandwidth_bytes_per_s: float
    read_latency_s: float


class LatencyCoefficients(NamedTuple):
    """Coefficients of the cycle model; `calibration` says where each comes from."""

    row_interval_cycles: float
    activation_cycles: float
    state_cycles: float
    float_add_cycles: float
    float_sequential_cycles: float
    narrow_beat_cycles: float
    widened_word_cycles: float
    staged_float_word_cycles: float
    instance_slowdown: float


class ResourceCoefficients(NamedTuple):
    """Coefficients of the resource model; `calibration` says where each comes from."""

    dsp_control: float
    dsp_tree: float
    dsp_dense: float
    dsp_float_control: float
    lut_control: float
    lut_fixed_mac_bit: float
    lut_tree_mac_bit: float
    lut_float_mac: float
    lut_shared_bit: float
    lut_elementwise: float
    lut_port_bit: float
    lutram_control: float
    lutram_io_bit: float
    lutram_float_mac: float
    ff_control: float
    ff_fixed_mac_bit: float
    ff_tree_mac_bit: float
    ff_float_mac: float
    ff_shared_bit: float
    ff_elementwise: float
    ff_staged_bit: float
    bram18_control: float
    bram18_port_bit: float
    bram18_tables: float


class Phases(NamedTuple):
    """Cycles of one call of the kernel, by phase; the sum is the total."""

    launch: float
    weight_load: float
    input: float
    gates: float
    elementwise: float
    dense: float
    output: float
    waiting: float


class Usage(NamedTuple):
    """Resources of a design, in the units of `device.Resources`."""

    lut: float
    lutram: float
    ff: float
    bram18: float
    uram: float
    dsp: float

"""Cycles and widths of weight loads over AXI."""

from __future__ import annotations

import math

from lstmsim.core.design import Board, Knobs, LatencyCoefficients

WIDEST_PORT_BITS = 512
SCALAR_PORT_BITS = 32
WIDENED_BITS = 256
AXI_LATENCY_CYCLES = 64.0


def weight_word_bits(knobs: Knobs) -> int:
    """Return the bits of one weight on the memory interface: 32 where the interface is float."""
    return 32 if knobs.io_is_float else knobs.weight_bits


def port_bits(rows: int, columns: int, knobs: Knobs) -> int:
    """Return the width of the port's adapter, in bits.

    Vitis HLS widens a scalar port to the widest power of two, 512 bits at most, that divides the array it reads
    (`m_axi_max_widen_bitwidth`); arrays of odd sizes keep narrow ports. Here the array is a gate's, rows x columns.
    """
    if knobs.widen_ports == 0 or knobs.memory_bits > SCALAR_PORT_BITS:
        return knobs.memory_bits
    bits = max(8, weight_word_bits(knobs))
    words = rows * columns
    while words % 2 == 0 and words > 0 and bits < WIDEST_PORT_BITS:
        words //= 2
        bits *= 2
    return max(knobs.memory_bits, bits)


def cycles_per_weight(rows: int, columns: int, knobs: Knobs, c: LatencyCoefficients) -> float:
    """Return the cycles that one weight takes from memory to its bank.

    A narrow or explicitly wide port moves whole beats at `narrow_beat_cycles` each; a port that the compiler widened
    delivers words at `widened_word_cycles`, whatever their width; a float interface around fixed arithmetic converts
    one word a cycle; float words that are staged take `staged_float_word_cycles`.
    """
    if knobs.io_is_float and knobs.staged_weights:
        return c.staged_float_word_cycles
    bits = weight_word_bits(knobs)
    if knobs.memory_bits <= SCALAR_PORT_BITS and port_bits(rows, columns, knobs) >= WIDENED_BITS:
        cycles = c.widened_word_cycles
    else:
        cycles = c.narrow_beat_cycles * bits / knobs.memory_bits
    if knobs.io_is_float and not knobs.is_float:
        cycles = max(cycles, 1.0)
    return cycles


def load_cycles(weights: int, per_weight: float, knobs: Knobs, board: Board) -> float:
    """Return the cycles of loading one layer's weights and biases.

    Never faster than the memory: every instance has its share of the board's bandwidth, and each burst costs the
    memory's read latency divided by the bursts under way.
    """
    if weights <= 0:
        return 0.0
    bits = weights * weight_word_bits(knobs)
    bursts = math.ceil(bits / (knobs.memory_bits * knobs.burst_beats))
    latency = max(AXI_LATENCY_CYCLES, board.read_latency_s * knobs.clock_hz)
    exposed = bursts * latency / knobs.outstanding_reads
    share = board.bandwidth_bytes_per_s * min(1.0, board.channels / knobs.instances) / board.channels
    memory = bits / 8.0 / max(share, 1.0) * knobs.clock_hz
    return latency + max(weights * per_weight, exposed, memory)

"""Cycles and widths of weight loads over AXI."""

from __future__ import annotations

import math

from lstmsim.core.design import Board, Knobs, LatencyCoefficients

WIDEST_PORT_BITS = 512
SCALAR_PORT_BITS = 32
WIDENED_BITS = 256
AXI_LATENCY_CYCLES = 64.0
AXI_BURST_LIMIT_BITS = 8 * 4096  # a burst never crosses a 4 KB boundary


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


def read_latency_cycles(knobs: Knobs, board: Board) -> float:
    """Return the cycles from a read request to its first beat."""
    return max(AXI_LATENCY_CYCLES, board.read_latency_s * knobs.clock_hz)


def full_burst_bits(knobs: Knobs) -> int:
    """Return the bits of a full burst: `burst_beats` beats, within AXI's limit of 4 KB."""
    return min(knobs.memory_bits * knobs.burst_beats, AXI_BURST_LIMIT_BITS)


def channel_burst_cycles(knobs: Knobs, board: Board) -> float:
    """Return the cycles for which one full burst keeps a channel of the memory busy."""
    channel = board.bandwidth_bytes_per_s / board.channels
    return full_burst_bits(knobs) / 8.0 / max(channel, 1.0) * knobs.clock_hz


def sharing_instances(knobs: Knobs, board: Board) -> int:
    """Return the busy instances on the fullest memory channel."""
    return math.ceil(min(knobs.instances, knobs.batch) / board.channels)


def full_burst_port_cycles(per_weight: float, knobs: Knobs) -> float:
    """Return the cycles that a full burst takes to cross the port."""
    return full_burst_bits(knobs) / weight_word_bits(knobs) * per_weight


def load_cycles(weights: int, per_weight: float, lead: float, knobs: Knobs, board: Board) -> float:
    """Return the cycles of loading one layer's weights and biases, burst by burst.

    A burst is asked for as soon as fewer than `outstanding_reads` are under way, answers after the read latency, and
    then takes the slower of port and memory channel. Instances on one channel take turns; the figure is that of the
    last in turn, which waits for a burst of each other instance, less the `lead` in cycles by which the first started
    before it. `core.stepped` walks through the same bursts one by one.
    """
    if weights <= 0:
        return 0.0
    sharing = sharing_instances(knobs, board)
    port, channel = full_burst_port_cycles(per_weight, knobs), channel_burst_cycles(knobs, board)
    latency, slower = read_latency_cycles(knobs, board), max(port, channel)
    shared = max(port, sharing * channel)
    window = max(latency + slower, knobs.outstanding_reads * shared)
    bursts = weights * weight_word_bits(knobs) / full_burst_bits(knobs)
    before_last = math.ceil(bursts) - 1
    last = bursts - before_last
    windows, rest = before_last // knobs.outstanding_reads, before_last % knobs.outstanding_reads
    others = (sharing - 1) * channel
    wait = max(0.0, others * min(1.0, bursts) - lead)
    if before_last > 0 and is_channel_full(port, knobs, board):
        wait -= others * (1.0 - last)  # nor are the last bursts of the others full
    return latency + wait + windows * window + rest * shared + last * slower


def is_channel_full(port: float, knobs: Knobs, board: Board) -> bool:
    """Tell whether instances keep their channel busy, given the cycles of a full burst on a port."""
    channel = channel_burst_cycles(knobs, board)
    slower = max(port, channel)
    alone = max(slower, (read_latency_cycles(knobs, board) + slower) / knobs.outstanding_reads)
    return sharing_instances(knobs, board) * channel > alone


def gap_after_load(weights: int, per_weight: float, gap: float, knobs: Knobs, board: Board) -> float:
    """Return the cycles between two neighbours in turn on a channel after a load, given those before it.

    On a full channel they end a (last) burst apart. Elsewhere a burst apart is enough for all to run freely.
    """
    if weights <= 0:
        return gap
    channel = channel_burst_cycles(knobs, board)
    bursts = weights * weight_word_bits(knobs) / full_burst_bits(knobs)
    if bursts > 1.0 and is_channel_full(full_burst_port_cycles(per_weight, knobs), knobs, board):
        return channel * (bursts - (math.ceil(bursts) - 1))
    return max(gap, channel * min(1.0, bursts))

"""Which combinations of knobs are pruned before they are evaluated: contradictions and designs that equal others."""

from __future__ import annotations

from typing import NamedTuple

from lstmsim.core.design import INTERPOLATED, SPLIT, Knobs
from lstmsim.core.memory import SCALAR_PORT_BITS, weight_word_bits

AXI_BURST_BYTES = 4096

RULES = (
    "mac_share is above the columns of the cell",
    "engines are more than the rows of the cell",
    "elementwise_unroll is above the units",
    "layer_parallel needs two LSTM layers",
    "systolic_steps are more than the time steps",
    "layer_parallel and systolic_steps exclude one another",
    "a memory port is narrower than a weight",
    "widen_ports is for ports of 32 bits or less",
    "resident weights need no second copy",
    "staged weights and a double buffer are the same second copy",
    "resident weights need no wider port",
    "resident weights are not split",
    "a piecewise activation has no table",
    "weight_banks is for shared multipliers",
    "a burst crosses 4 KB, AXI's limit",
    "the clock is above the board's",
)


class Extent(NamedTuple):
    """What a network and a board allow."""

    columns: int
    rows: int
    lstm_layers: int
    most_steps: int
    clock_max_hz: float


def broken_group_rule(knobs: Knobs, extent: Extent) -> int:
    """Return the index in RULES of the first rule that a design breaks by parallelism or ports, or -1."""
    if knobs.mac_share > extent.columns:
        return 0
    if knobs.engines > extent.rows:
        return 1
    if knobs.elementwise_unroll > extent.rows:
        return 2
    if knobs.layer_parallel and extent.lstm_layers < 2:
        return 3
    if knobs.systolic_steps > extent.most_steps:
        return 4
    if knobs.layer_parallel and knobs.systolic_steps > 1:
        return 5
    if knobs.memory_bits < weight_word_bits(knobs):
        return 6
    if knobs.widen_ports and knobs.memory_bits > SCALAR_PORT_BITS:
        return 7
    if knobs.resident_weights and (knobs.double_buffer or knobs.staged_weights):
        return 8
    if knobs.double_buffer and knobs.staged_weights:
        return 9
    if knobs.resident_weights and knobs.widen_ports:
        return 10
    return -1


def broken_resource_rule(knobs: Knobs, table_choice: int) -> int:
    """Return the index in RULES of the first rule that a design breaks by its memories or tables, or -1.

    `table_choice` is the index of the table size on its axis: where there is no table only the first is kept.
    """
    if knobs.weight_memory == SPLIT and knobs.resident_weights:
        return 11
    if knobs.activation > INTERPOLATED and table_choice > 0:
        return 12
    if knobs.bank_per_column and knobs.mac_share == 1:
        return 13
    return -1


def broken_time_rule(knobs: Knobs, extent: Extent) -> int:
    """Return the index in RULES of the first rule that a design breaks by its bursts or its clock, or -1."""
    if knobs.burst_beats * knobs.memory_bits > 8 * AXI_BURST_BYTES:
        return 14
    if knobs.clock_hz > extent.clock_max_hz:
        return 15
    return -1


def broken_rule(knobs: Knobs, table_choice: int, extent: Extent) -> int:
    """Return the index in RULES of the first rule that a design breaks, or -1."""
    rule = broken_group_rule(knobs, extent)
    if rule < 0:
        rule = broken_resource_rule(knobs, table_choice)
    return rule if rule >= 0 else broken_time_rule(knobs, extent)

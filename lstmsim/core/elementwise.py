"""What happens to a tile of sums: gates, cell and hidden state for 16 lanes at a time.

One form per element type: 32-bit integers with tables of every raw value, 64-bit integers by the plain functions,
single precision.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from lstmsim.core.activation import RELU, SIGMOID, TANH, activate
from lstmsim.core.cell import (
    ACCUMULATOR_TO_STATE,
    CELL_EXACT_TO_STATE,
    GATE_EXACT_TO_STATE,
    PRODUCT_TO_STATE,
    SUM_TO_ACCUMULATOR,
    SUM_TO_CELL,
)
from lstmsim.core.cell_float import activate_float
from lstmsim.core.fixed import assign
from lstmsim.core.jit import njit_cached
from lstmsim.core.simd import SAMPLES, WIDE, address
from lstmsim.core.simd_cells import assign32, lstm_tiles32, shift_wrap32

# Rows of `stages` in the 32-bit form, each with the ten fields of `simd_cells.assign32`: the sum in its accumulator's
# width, then in state_t; f*c + i*g in cell_t; o*tanh(c) in state_t
STAGE_WRAP, STAGE_STATE, STAGE_CELL, STAGE_HIDDEN = range(4)
GAIN, DROP, ADDEND, NEGATIVE, ODD, LOW, HIGH, OUTSIDE, BASE, MASK = range(10)
STAGE_FIELDS = 10


@njit_cached()
def _assign_all(values, at, count, out, stage):
    gain, drop, addend, negative, odd = stage[GAIN], stage[DROP], stage[ADDEND], stage[NEGATIVE], stage[ODD]
    low, high, outside, base, mask = stage[LOW], stage[HIGH], stage[OUTSIDE], stage[BASE], stage[MASK]
    if mask != -1 and addend == 0 and negative == 0 and odd == 0:
        for k in range(count):
            out[k] = shift_wrap32(values[at + k], gain, drop, base, mask)
        return
    for k in range(count):
        out[k] = assign32(values[at + k], gain, drop, addend, negative, odd, low, high, outside, base, mask)


@njit_cached()
def _sums_to_state(sums, count, out, stages):
    if stages[STAGE_WRAP, MASK] != -1:
        base, mask = stages[STAGE_WRAP, BASE], stages[STAGE_WRAP, MASK]
        for k in range(count):
            sums[k] = ((sums[k] - base) & mask) + base
    _assign_all(sums, 0, count, out, stages[STAGE_STATE])


@njit_cached()
def _cells_int32(sums, tiles, cells, at, hidden, scratch, rules):
    stages, align, sigmoid, tanh, tanh_cell = rules
    lstm_tiles32(
        address(sums), address(cells) + cells.itemsize * at, address(hidden), address(align), address(stages),
        address(sigmoid), address(tanh), address(tanh_cell), sigmoid.size - 1, tanh_cell.size - 1, tiles,
    )  # fmt: skip


@njit_cached()
def _cells_int64(sums, tiles, cells, at, hidden, scratch, rules):
    conversions, align, activations, tables = rules
    state_rule, cell_rule = activations[0], activations[1]
    to_sum, to_state = conversions[SUM_TO_ACCUMULATOR], conversions[ACCUMULATOR_TO_STATE]
    exact = conversions[GATE_EXACT_TO_STATE]
    gates = scratch[0]
    for k in range(tiles * WIDE):
        which = TANH if (k // SAMPLES) % 4 == 2 else SIGMOID
        value = assign(assign(sums[k], to_sum), to_state)
        gates[k] = activate(which, value, tables[which], state_rule, exact)
    for tile in range(tiles):
        for lane in range(SAMPLES):
            k = tile * WIDE + lane
            place = at + tile * SAMPLES + lane
            kept = (gates[k + SAMPLES] * cells[place]) << align[0]
            added = (gates[k] * gates[k + 2 * SAMPLES]) << align[1]
            cells[place] = assign(kept + added, conversions[SUM_TO_CELL])
            squashed = activate(TANH, cells[place], tables[TANH], cell_rule, conversions[CELL_EXACT_TO_STATE])
            hidden[tile * SAMPLES + lane] = assign(gates[k + 3 * SAMPLES] * squashed, conversions[PRODUCT_TO_STATE])


@njit_cached()
def _cells_float32(sums, tiles, cells, at, hidden, scratch, rules):
    kind, scale, tables = rules
    entries = tables.shape[1] - 1
    gates = scratch[0]
    for k in range(tiles * WIDE):
        which = TANH if (k // SAMPLES) % 4 == 2 else SIGMOID
        gates[k] = activate_float(which, sums[k], kind, tables[which], entries, scale)
    for tile in range(tiles):
        for lane in range(SAMPLES):
            k = tile * WIDE + lane
            place = at + tile * SAMPLES + lane
            kept = gates[k + SAMPLES] * cells[place]
            cells[place] = kept + gates[k] * gates[k + 2 * SAMPLES]
            squashed = activate_float(TANH, cells[place], kind, tables[TANH], entries, scale)
            hidden[tile * SAMPLES + lane] = gates[k + 3 * SAMPLES] * squashed


@njit_cached()
def _dense_int32(sums, tiles, function, out, rules):
    stages, _, sigmoid, tanh, _ = rules
    count = tiles * WIDE
    mask = np.uint32(sigmoid.size - 1)
    _sums_to_state(sums, count, out, stages)
    if function == RELU:
        for k in range(count):
            out[k] = max(out[k], 0)
    elif function == SIGMOID:
        for k in range(count):
            out[k] = sigmoid[np.uint32(out[k]) & mask]
    elif function == TANH:
        for k in range(count):
            out[k] = tanh[np.uint32(out[k]) & mask]


@njit_cached()
def _dense_int64(sums, tiles, function, out, rules):
    conversions, _, activations, tables = rules
    for k in range(tiles * WIDE):
        value = assign(assign(sums[k], conversions[SUM_TO_ACCUMULATOR]), conversions[ACCUMULATOR_TO_STATE])
        if function == RELU:
            value = max(value, 0)
        elif function in (SIGMOID, TANH):
            value = activate(function, value, tables[function], activations[0], conversions[GATE_EXACT_TO_STATE])
        out[k] = value


@njit_cached()
def _dense_float32(sums, tiles, function, out, rules):
    kind, scale, tables = rules
    entries = tables.shape[1] - 1
    for k in range(tiles * WIDE):
        value = sums[k]
        if function == RELU:
            value = value if value > np.float32(0.0) else np.float32(0.0)
        elif function in (SIGMOID, TANH):
            value = activate_float(function, value, kind, tables[function], entries, scale)
        out[k] = value


def update_cells(sums, tiles, cells, at, hidden, scratch, rules):
    """Turn sums [tiles, 4, 16] into cells [at:], updated in place, and hidden [tiles, 16]."""
    raise NotImplementedError("lanes exist in compiled code only")


def finish_dense(sums, tiles, function, out, rules):
    """Turn sums [tiles, 4, 16] into the outputs of a dense layer, in the same order."""
    raise NotImplementedError("lanes exist in compiled code only")


_CELLS = {types.int32: _cells_int32, types.int64: _cells_int64, types.float32: _cells_float32}
_DENSE = {types.int32: _dense_int32, types.int64: _dense_int64, types.float32: _dense_float32}


@overload(update_cells)
def _overload_update_cells(sums, tiles, cells, at, hidden, scratch, rules):
    chosen = _CELLS[sums.dtype]

    def run(sums, tiles, cells, at, hidden, scratch, rules):
        chosen(sums, tiles, cells, at, hidden, scratch, rules)

    return run


@overload(finish_dense)
def _overload_finish_dense(sums, tiles, function, out, rules):
    chosen = _DENSE[sums.dtype]

    def run(sums, tiles, function, out, rules):
        chosen(sums, tiles, function, out, rules)

    return run

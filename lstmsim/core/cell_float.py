"""The LSTM step and the dense row in IEEE single precision: every operation rounded once, none fused or reordered."""

from __future__ import annotations

import numpy as np

from lstmsim.core.activation import INTERPOLATED, PLAN, RELU, SIGMOID, TABLE, TANH
from lstmsim.core.jit import njit_cached

CANDIDATE = 2
FLOAT = np.float32


@njit_cached()
def _plan_sigmoid(value):
    magnitude = abs(value)
    if magnitude >= FLOAT(5.0):
        result = FLOAT(1.0)
    elif magnitude >= FLOAT(2.375):
        result = magnitude * FLOAT(0.03125) + FLOAT(0.84375)
    elif magnitude >= FLOAT(1.0):
        result = magnitude * FLOAT(0.125) + FLOAT(0.625)
    else:
        result = magnitude * FLOAT(0.25) + FLOAT(0.5)
    return FLOAT(1.0) - result if value < FLOAT(0.0) else result


@njit_cached()
def _from_table(kind, value, table, entries, scale):
    half = FLOAT(entries // 2)
    scaled = value * scale
    if scaled >= half:
        return table[entries] if kind == INTERPOLATED else table[entries - 1]
    if not scaled >= -half:  # NaN too
        return table[0]
    floor = np.floor(scaled)
    index = int(floor) + entries // 2
    if kind == INTERPOLATED:
        return table[index] + (table[index + 1] - table[index]) * (scaled - floor)
    return table[index]


@njit_cached()
def activate_float(function, value, kind, table, entries, scale):
    """Return sigmoid or tanh in single precision; scale = entries / (2 * range)."""
    if kind in (TABLE, INTERPOLATED):
        return _from_table(kind, value, table, entries, scale)
    one = FLOAT(1.0)
    if kind == PLAN:
        if function == SIGMOID:
            return _plan_sigmoid(value)
        return FLOAT(2.0) * _plan_sigmoid(FLOAT(2.0) * value) - one
    if function == SIGMOID:
        return min(max(value * FLOAT(0.25) + FLOAT(0.5), FLOAT(0.0)), one)
    return min(max(value, -one), one)


@njit_cached()
def add_products_float(total, weights, values):
    """Return the sum after the products of one row, in order."""
    for column in range(values.size):
        total = total + weights[column] * values[column]
    return total


@njit_cached(nogil=True)
def lstm_pass_float(
    weights, biases, inputs, reverse, hidden, cell, kind, tables, scale, hidden_out, cell_out, gate_out
):
    """As `cell.lstm_pass`, in float32; cell_out and gate_out may have size 0."""
    batch, steps, features = inputs.shape
    units = biases.shape[1]
    entries = tables.shape[1] - 1
    joined = np.empty(units + features, np.float32)
    gates = np.empty((4, units), np.float32)
    for sample in range(batch):
        for index in range(steps):
            step = steps - 1 - index if reverse else index
            for unit in range(units):  # loops: as in `cell.lstm_pass`
                joined[unit] = hidden[sample, unit]
            for feature in range(features):
                joined[units + feature] = inputs[sample, step, feature]
            for gate in range(4):
                which = TANH if gate == CANDIDATE else SIGMOID
                for unit in range(units):
                    value = add_products_float(biases[gate, unit], weights[gate, unit], joined)
                    gates[gate, unit] = activate_float(which, value, kind, tables[which], entries, scale)
            for unit in range(units):
                kept = gates[1, unit] * cell[sample, unit]
                added = gates[0, unit] * gates[2, unit]
                cell[sample, unit] = kept + added
                squashed = activate_float(TANH, cell[sample, unit], kind, tables[TANH], entries, scale)
                hidden[sample, unit] = gates[3, unit] * squashed
            for unit in range(units):
                hidden_out[sample, step, unit] = hidden[sample, unit]
                if cell_out.size:
                    cell_out[sample, step, unit] = cell[sample, unit]
                if gate_out.size:
                    for gate in range(4):
                        gate_out[sample, step, gate, unit] = gates[gate, unit]


@njit_cached(nogil=True)
def dense_rows_float(weights, biases, inputs, function, kind, tables, scale, out):
    """As `cell.dense_rows`, in float32."""
    entries = tables.shape[1] - 1
    for sample in range(inputs.shape[0]):
        for unit in range(biases.size):
            value = add_products_float(biases[unit], weights[unit], inputs[sample])
            if function == RELU:
                value = value if value > FLOAT(0.0) else FLOAT(0.0)
            elif function in (SIGMOID, TANH):
                value = activate_float(function, value, kind, tables[function], entries, scale)
            out[sample, unit] = value

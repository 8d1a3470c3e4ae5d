"""The LSTM step and the dense row on raw 64-bit integers, for every format that a 64-bit carrier holds.

This is the plain form: one operation after the other, as the C++ kernel does them. `lanes` is the fast one.
"""

from __future__ import annotations

import numpy as np

from lstmsim.core.activation import RELU, SIGMOID, TANH, activate
from lstmsim.core.fixed import DROPPED_BITS, HIGH, LOW, QUANTIZATION, assign, drop_bits
from lstmsim.core.jit import njit_cached

# Rows of the conversions of a layer
PRODUCT_TO_ACCUMULATOR, SUM_TO_ACCUMULATOR, ACCUMULATOR_TO_STATE, SUM_TO_CELL, PRODUCT_TO_STATE = range(5)
GATE_EXACT_TO_STATE, CELL_EXACT_TO_STATE = 5, 6
LAYER_CONVERSIONS = 7

# Columns of the counts that a trace keeps, per gate: assignments and those out of range
PRODUCTS, PRODUCTS_OUT, SUMS, SUMS_OUT, VALUES, VALUES_OUT = range(6)
COUNT_FIELDS = 6
CANDIDATE = 2


@njit_cached()
def out_of_range(value, conversion):
    """Tell whether an assignment overflows."""
    bits = conversion[DROPPED_BITS]
    whole = drop_bits(value, bits, conversion[QUANTIZATION]) if bits > 0 else value << -bits
    return not conversion[LOW] <= whole <= conversion[HIGH]


@njit_cached()
def add_products(total, weights, values, conversions):
    """Return the accumulator after the products of one row, in order."""
    to_product, to_sum = conversions[PRODUCT_TO_ACCUMULATOR], conversions[SUM_TO_ACCUMULATOR]
    for column in range(values.size):
        total = assign(total + assign(weights[column] * values[column], to_product), to_sum)
    return total


@njit_cached()
def count_products(total, weights, values, conversions, counts):
    """`add_products`, counting what goes out of range."""
    to_product, to_sum = conversions[PRODUCT_TO_ACCUMULATOR], conversions[SUM_TO_ACCUMULATOR]
    for column in range(values.size):
        product = weights[column] * values[column]
        counts[PRODUCTS_OUT] += out_of_range(product, to_product)
        total += assign(product, to_product)
        counts[SUMS_OUT] += out_of_range(total, to_sum)
        total = assign(total, to_sum)
    counts[PRODUCTS] += values.size
    counts[SUMS] += values.size
    return total


@njit_cached()
def row_value(bias, weights, joined, conversions, counts):
    """Return one row in the state format; counts of size 0 switch the counting off."""
    if counts.size == 0:
        total = add_products(bias, weights, joined, conversions)
    else:
        total = count_products(bias, weights, joined, conversions, counts)
        counts[VALUES] += 1
        counts[VALUES_OUT] += out_of_range(total, conversions[ACCUMULATOR_TO_STATE])
    return assign(total, conversions[ACCUMULATOR_TO_STATE])


@njit_cached(nogil=True)
def lstm_pass(
    weights,
    biases,
    inputs,
    reverse,
    hidden,
    cell,
    conversions,
    align,
    rules,
    tables,
    hidden_out,
    cell_out,
    gate_out,
    counts,
):
    """Run one pass of an LSTM layer over a batch.

    weights [4, U, U + I] (hidden columns first), biases [4, U] in the accumulator's format, inputs [B, T, I];
    hidden and cell [B, U] hold the state before and after. hidden_out [B, T, U]; cell_out [B, T, U] and gate_out
    [B, T, 4, U] may have size 0, counts [6, COUNT_FIELDS] (four gates, cell, hidden) too.
    align: left shifts that give f*c and i*g one binary point. rules: activation rules of state and cell inputs.
    """
    batch, steps, features = inputs.shape
    units = biases.shape[1]
    joined = np.empty(units + features, np.int64)
    gates = np.empty((4, units), np.int64)
    nothing = counts[0, :0] if counts.size else counts.reshape(-1)[:0]
    for sample in range(batch):
        for index in range(steps):
            step = steps - 1 - index if reverse else index
            for unit in range(units):  # loops: assigning slices compiles numba's broadcasting and its messages
                joined[unit] = hidden[sample, unit]
            for feature in range(features):
                joined[units + feature] = inputs[sample, step, feature]
            for gate in range(4):
                tally = counts[gate] if counts.size else nothing
                which = TANH if gate == CANDIDATE else SIGMOID
                for unit in range(units):
                    value = row_value(biases[gate, unit], weights[gate, unit], joined, conversions, tally)
                    gates[gate, unit] = activate(
                        which, value, tables[which], rules[0], conversions[GATE_EXACT_TO_STATE]
                    )
            for unit in range(units):
                kept = (gates[1, unit] * cell[sample, unit]) << align[0]
                added = (gates[0, unit] * gates[2, unit]) << align[1]
                cell[sample, unit] = assign(kept + added, conversions[SUM_TO_CELL])
                squashed = activate(TANH, cell[sample, unit], tables[TANH], rules[1], conversions[CELL_EXACT_TO_STATE])
                product = gates[3, unit] * squashed
                hidden[sample, unit] = assign(product, conversions[PRODUCT_TO_STATE])
                if counts.size:
                    counts[4, VALUES] += 1
                    counts[4, VALUES_OUT] += out_of_range(kept + added, conversions[SUM_TO_CELL])
                    counts[5, VALUES] += 1
                    counts[5, VALUES_OUT] += out_of_range(product, conversions[PRODUCT_TO_STATE])
            for unit in range(units):
                hidden_out[sample, step, unit] = hidden[sample, unit]
                if cell_out.size:
                    cell_out[sample, step, unit] = cell[sample, unit]
                if gate_out.size:
                    for gate in range(4):
                        gate_out[sample, step, gate, unit] = gates[gate, unit]


@njit_cached(nogil=True)
def dense_rows(weights, biases, inputs, function, conversions, rules, tables, out, counts):
    """Run a dense layer: weights [U, I], biases [U] in the accumulator's format, inputs [N, I], out [N, U]."""
    for sample in range(inputs.shape[0]):
        for unit in range(biases.size):
            value = row_value(biases[unit], weights[unit], inputs[sample], conversions, counts)
            if function == RELU:
                value = max(value, 0)
            elif function in (SIGMOID, TANH):
                value = activate(function, value, tables[function], rules[0], conversions[GATE_EXACT_TO_STATE])
            out[sample, unit] = value

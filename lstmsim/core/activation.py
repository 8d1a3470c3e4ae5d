"""Sigmoid and tanh of the kernel, on raw 64-bit integers: by table, interpolated, PLAN or piecewise linear."""

from __future__ import annotations

import numpy as np

from lstmsim.core.fixed import assign
from lstmsim.core.jit import njit_cached

TABLE, INTERPOLATED, PLAN, PIECEWISE = range(4)
SIGMOID, TANH, RELU, LINEAR = range(4)

# What an activation needs to know about its input: kind, fractional bits, bits of the raw integer below one table
# entry (negative where the input is coarser), entries of the table, bits after the point of the exact PLAN or
# piecewise result.
KIND, FRACTION, BITS_BELOW_ENTRY, ENTRIES, EXACT_FRACTION = range(5)
ACTIVATION_FIELDS = 5


@njit_cached()
def table_value(value, table, rule):
    """Return the entry whose span holds `value`."""
    entries, bits = rule[ENTRIES], rule[BITS_BELOW_ENTRY]
    index = value >> bits if bits >= 0 else min(max(value, -entries), entries) << min(-bits, 40)
    return table[min(max(index + entries // 2, 0), entries - 1)]


@njit_cached()
def interpolated_value(value, table, rule):
    """Return the straight line between the two entries around `value`, rounded down."""
    entries, bits = rule[ENTRIES], rule[BITS_BELOW_ENTRY]
    if bits < 0:
        index = min(max(value, -entries), entries) << min(-bits, 40)
        return table[min(max(index + entries // 2, 0), entries)]
    index = (value >> bits) + entries // 2
    if index < 0:
        return table[0]
    if index >= entries:
        return table[entries]
    rest = value & ((np.int64(1) << bits) - 1)
    return table[index] + (((table[index + 1] - table[index]) * rest) >> bits)


@njit_cached()
def _plan_sigmoid(value, fraction, exact):
    """Return PLAN's sigmoid of value * 2**-fraction, times 2**exact; exact = max(fraction, 0) + 5."""
    magnitude = min(abs(value), (np.int64(8) << fraction) if fraction > 0 else np.int64(8))
    magnitude <<= exact - 5 - fraction
    unit = np.int64(1) << (exact - 5)
    if magnitude >= 5 * unit:
        result = unit << 5
    elif 8 * magnitude >= 19 * unit:
        result = magnitude + 27 * unit
    elif magnitude >= unit:
        result = 4 * magnitude + 20 * unit
    else:
        result = 8 * magnitude + 16 * unit
    return (unit << 5) - result if value < 0 else result


@njit_cached()
def exact_value(function, value, rule):
    """Return a PLAN or piecewise result, exact, with EXACT_FRACTION bits after the point."""
    fraction, exact = rule[FRACTION], rule[EXACT_FRACTION]
    one = np.int64(1) << exact
    if rule[KIND] == PLAN:
        if function == SIGMOID:
            return _plan_sigmoid(value, fraction, exact)
        return 2 * _plan_sigmoid(2 * value, fraction, exact) - one
    bound = (np.int64(4) << fraction) if fraction > 0 else np.int64(4)
    scaled = min(max(value, -bound), bound) << (exact - 2 - fraction)
    if function == SIGMOID:
        return min(max(scaled + (one >> 1), 0), one)
    return min(max(4 * scaled, -one), one)


@njit_cached()
def activate(function, value, table, rule, to_state):
    """Return sigmoid or tanh of a raw integer, as the raw integer of the state format."""
    if rule[KIND] == TABLE:
        return table_value(value, table, rule)
    if rule[KIND] == INTERPOLATED:
        return interpolated_value(value, table, rule)
    return assign(exact_value(function, value, rule), to_state)


@njit_cached()
def activate_array(function, values, table, rule, to_state, out):
    """`activate` for each element of a flat int64 array."""
    for index in range(values.size):
        out[index] = activate(function, values[index], table, rule, to_state)

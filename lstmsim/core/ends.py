"""What enters and leaves the lanes: interface values to the first rows of the arena, its last rows to outputs."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from lstmsim.core.fixed import (
    HIGH,
    LOW,
    QUANTIZATION,
    RND,
    RND_CONV,
    RND_INF,
    RND_ZERO,
    TRN,
    TRN_ZERO,
    assign,
    assign_float,
    limit,
)
from lstmsim.core.jit import njit_cached
from lstmsim.core.simd import PAIRS
from lstmsim.core.simd_cells import pair32

# What a run needs to know about its ends
INPUT_FEATURES, INPUT_STEPS, INPUT_ROW, FINAL_AT, FINAL_STRIDE, FINAL_STEPS, FINAL_FEATURES, FRACTION = range(8)
FLOAT_INTERFACE, SAME_INPUT, SAME_OUTPUT, MODE, ALONE, SKIP_ZERO_STATE, FINAL_ROW = range(8, 15)
END_FIELDS = 15

EASY = 2.0**30  # scaled inputs below this fit 32 bits


def to_state(arena, value, conversions, ends, scale):
    """Return one interface value in the state format of the arena."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(to_state)
def _overload_to_state(arena, value, conversions, ends, scale):
    if arena.dtype == types.float32:
        return lambda arena, value, conversions, ends, scale: np.float32(value)
    if isinstance(value, types.Integer):

        def from_raw(arena, value, conversions, ends, scale):
            return value if ends[SAME_INPUT] else assign(value, conversions[1])

        return from_raw

    def from_float(arena, value, conversions, ends, scale):
        exact = np.float64(np.float32(value)) if ends[FLOAT_INTERFACE] else np.float64(value)
        raw = assign_float(exact, scale[0], ends[FRACTION], conversions[0])
        return raw if ends[SAME_INPUT] else assign(raw, conversions[1])

    return from_float


def to_interface(out, value, conversions, ends, scale):
    """Return one value of the state format as the output array holds it."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(to_interface)
def _overload_to_interface(out, value, conversions, ends, scale):
    if isinstance(value, types.Float):
        return lambda out, value, conversions, ends, scale: value

    def raw_value(out, value, conversions, ends, scale):
        return np.int64(value) if ends[SAME_OUTPUT] else assign(np.int64(value), conversions[2])

    if isinstance(out.dtype, types.Integer):
        return raw_value

    def float_value(out, value, conversions, ends, scale):
        if ends[FLOAT_INTERFACE]:
            return np.float64(np.float32(np.float64(value) * scale[1]))
        raw = np.int64(value) if ends[SAME_OUTPUT] else assign(np.int64(value), conversions[2])
        return np.float64(raw) * scale[1]

    return float_value


def join_columns(arena, first, second):
    """Return the element that holds two columns."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(join_columns)
def _overload_join_columns(arena, first, second):
    if arena.dtype == types.int32:
        return lambda arena, first, second: pair32(np.int32(first), np.int32(second))
    return lambda arena, first, second: first


@njit_cached()
def _round_row(values, whole, count, mode, scale):
    """Quantise a row of floats without overflow; false where a value needs the exact way (huge, tiny or not finite)."""
    doubtful = 0
    for k in range(count):
        value = np.float64(values[k])
        scaled = value * scale
        easy = abs(scaled) < EASY
        doubtful += not easy or (scaled == 0.0 and value != 0.0)
        whole[k] = np.int64(np.int32(np.floor(scaled))) if easy else np.int64(0)
    if mode != TRN and doubtful == 0:
        for k in range(count):
            value = np.float64(values[k])
            rest = value * scale - np.float64(whole[k])
            negative, odd = bool(value < 0.0), bool((whole[k] & 1) != 0)
            if mode == TRN_ZERO:
                up = negative and rest > 0.0
            else:
                tie = negative
                if mode == RND:
                    tie = True
                elif mode == RND_INF:
                    tie = not negative
                elif mode == RND_CONV:
                    tie = odd
                elif mode != RND_ZERO:
                    tie = False
                up = rest > 0.5 or (rest == 0.5 and tie)
            whole[k] += up
    return doubtful == 0


@njit_cached()
def _all_finite(values, count):
    doubtful = False
    for k in range(count):
        doubtful |= values[k] - values[k] != 0.0
    return not doubtful


@njit_cached()
def _state_row(values, row, count, arena, conversions, ends, scale):
    """Convert a row to state_t, raw (or float32 in a float kernel), value by value; false where one is not finite."""
    if not _all_finite(values, count):
        return False
    for k in range(count):
        row[k] = to_state(arena, values[k], conversions, ends, scale)
    return True


def convert_row(values, row, count, arena, conversions, ends, scale):
    """Convert a row, the fast way where the values allow it; false where one is not finite."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(convert_row)
def _overload_convert_row(values, row, count, arena, conversions, ends, scale):
    if arena.dtype == types.float32 or isinstance(values.dtype, types.Integer):
        return lambda values, row, count, arena, conversions, ends, scale: _state_row(
            values, row, count, arena, conversions, ends, scale
        )

    def from_floats(values, row, count, arena, conversions, ends, scale):
        if ends[FLOAT_INTERFACE] or not _round_row(values, row, count, conversions[0, QUANTIZATION], scale[0]):
            return _state_row(values, row, count, arena, conversions, ends, scale)
        low, high = conversions[0, LOW], conversions[0, HIGH]
        beyond = False
        for k in range(count):
            beyond |= row[k] < low or row[k] > high
        if beyond:
            for k in range(count):
                row[k] = limit(row[k], conversions[0])
        if not ends[SAME_INPUT]:
            for k in range(count):
                row[k] = assign(row[k], conversions[1])
        return True

    return from_floats


@njit_cached()
def read_inputs(inputs, first, last, lanes, arena, row, conversions, ends, scale):
    """Convert samples first to last into the arena's first rows; false where one is not finite.

    row: working space of one more than the features, int64 or float32 as the kernel computes.
    """
    features, stride = ends[INPUT_FEATURES], ends[INPUT_ROW]
    row[features] = 0
    for sample in range(first, last):
        for step in range(ends[INPUT_STEPS]):
            if not convert_row(inputs[sample, step], row, features, arena, conversions, ends, scale):
                return False
            at = step * stride + sample - first
            if ends[MODE] == PAIRS:
                for pair in range((features + 1) >> 1):
                    arena[at + pair * lanes] = join_columns(arena, row[2 * pair], row[2 * pair + 1])
            else:
                for feature in range(features):
                    arena[at + feature * lanes] = row[feature]
    return True


def column_of(arena, element, odd):
    """Return one of the two columns of an element."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(column_of)
def _overload_column_of(arena, element, odd):
    if arena.dtype == types.int32:
        return lambda arena, element, odd: np.int32(np.int16(element >> (16 * odd)))
    return lambda arena, element, odd: element


def finish_row(out, row, count, conversions, ends, scale):
    """Convert a row of state_t to interface values."""
    raise NotImplementedError("lanes exist in compiled code only")


@overload(finish_row)
def _overload_finish_row(out, row, count, conversions, ends, scale):
    def one_by_one(out, row, count, conversions, ends, scale):
        for k in range(count):
            out[k] = to_interface(out, row[k], conversions, ends, scale)

    def scaled(out, row, count, conversions, ends, scale):
        if ends[SAME_OUTPUT] and not ends[FLOAT_INTERFACE]:
            factor = scale[1]
            for k in range(count):
                out[k] = np.float64(row[k]) * factor
        else:
            for k in range(count):
                out[k] = to_interface(out, row[k], conversions, ends, scale)

    return scaled if isinstance(out.dtype, types.Float) and isinstance(row.dtype, types.Integer) else one_by_one


@njit_cached()
def write_outputs(outputs, first, last, lanes, arena, row, conversions, ends, scale):
    """Convert the arena's last rows into samples first to last; row is working space."""
    features = ends[FINAL_FEATURES]
    for sample in range(first, last):
        for step in range(ends[FINAL_STEPS]):
            at = ends[FINAL_AT] + step * ends[FINAL_STRIDE] + sample - first
            if ends[MODE] == PAIRS:
                for pair in range((features + 1) >> 1):
                    element = arena[at + pair * lanes]
                    row[2 * pair] = column_of(arena, element, 0)
                    row[2 * pair + 1] = column_of(arena, element, 1)
            else:
                for feature in range(features):
                    row[feature] = arena[at + feature * lanes]
            finish_row(outputs[sample, step], row, features, conversions, ends, scale)

"""Assignment to an ap_fixed type, on raw 64-bit integers.

A conversion is eight integers, indexed by the constants below; `lstmsim.quantise.conversion` makes them from two
formats. The definitions are those of Xilinx's open ap_fixed headers.
"""

from __future__ import annotations

import math

import numpy as np

from lstmsim.core.jit import njit_cached

DROPPED_BITS, QUANTIZATION, OVERFLOW, LOW, HIGH, WIDTH, SIGNED, SATURATED_BITS = range(8)
CONVERSION_FIELDS = 8

TRN, TRN_ZERO, RND, RND_ZERO, RND_MIN_INF, RND_INF, RND_CONV = range(7)
WRAP, SAT, SAT_ZERO, SAT_SYM = range(4)

# A shift by more bits than a value has gives what this one gives: 0, or -1 where the rest is cut off downwards.
LONGEST_SHIFT_BITS = 62


@njit_cached()
def drop_bits(value, bits, mode):
    """Return value * 2**-bits as a whole number, by one of the seven quantization modes; bits > 0."""
    floor = value >> bits
    rest = value - (floor << bits)
    if mode == TRN or rest == 0:
        return floor
    if mode == TRN_ZERO:
        return floor + 1 if value < 0 else floor
    half = np.int64(1) << (bits - 1)
    if rest != half:
        return floor + 1 if rest > half else floor
    if mode == RND:
        up = True
    elif mode == RND_MIN_INF:
        up = False
    elif mode == RND_ZERO:
        up = value < 0
    elif mode == RND_INF:
        up = value >= 0
    else:
        up = (floor & 1) == 1
    return floor + 1 if up else floor


@njit_cached()
def _low_bits(value, width):
    if width >= 64:
        return value
    return value & ((np.int64(1) << width) - 1)


@njit_cached()
def _as_signed(value, width):
    unused = 64 - width
    return (value << unused) >> unused


@njit_cached()
def outside(value, negative, conversion):
    """Return what an out-of-range value becomes; only its sign and its lowest bits, `value`, are used."""
    mode = conversion[OVERFLOW]
    if mode == SAT_ZERO:
        return np.int64(0)
    if mode != WRAP:
        return conversion[LOW] if negative else conversion[HIGH]
    width, count = conversion[WIDTH], conversion[SATURATED_BITS]
    if count == 0:
        return _as_signed(value, width) if conversion[SIGNED] else _low_bits(value, width)
    kept = _low_bits(value, width - count)
    if not conversion[SIGNED]:
        return kept | (((np.int64(1) << count) - 1) << (width - count))
    filler = ((np.int64(1) << (count - 1)) - 1) << (width - count)
    if negative:
        return _as_signed(kept | (np.int64(1) << (width - 1)), width)
    return kept | filler


@njit_cached()
def limit(value, conversion):
    """Return a whole number after the overflow mode."""
    if conversion[LOW] <= value <= conversion[HIGH]:
        return value
    return outside(value, value < 0, conversion)


@njit_cached()
def assign(value, conversion):
    """Return the raw integer that `value` becomes on assignment: quantization first, then overflow."""
    bits = conversion[DROPPED_BITS]
    if bits > 0:
        return limit(drop_bits(value, bits, conversion[QUANTIZATION]), conversion)
    return limit(value << -bits, conversion)


@njit_cached()
def assign_array(values, conversion, out):
    """`assign` for each element of a flat int64 array."""
    for index in range(values.size):
        out[index] = assign(values[index], conversion)


@njit_cached()
def _bit_length(value):
    count = 0
    while value:
        value >>= 1
        count += 1
    return count


@njit_cached()
def assign_mantissa(mantissa, exponent, conversion):
    """Assign mantissa * 2**exponent, |mantissa| < 2**60; exact for every exponent."""
    bits = -exponent
    if bits > 0:
        return limit(drop_bits(mantissa, min(bits, LONGEST_SHIFT_BITS), conversion[QUANTIZATION]), conversion)
    if mantissa == 0:
        return np.int64(0)
    if _bit_length(abs(mantissa)) - bits <= 62:
        return limit(mantissa << -bits, conversion)
    low = mantissa << -bits if bits > -64 else np.int64(0)
    return outside(low, mantissa < 0, conversion)


@njit_cached()
def assign_scaled(mantissas, exponents, conversion, out):
    """`assign_mantissa` for each element of flat arrays."""
    for index in range(mantissas.size):
        out[index] = assign_mantissa(mantissas[index], exponents[index], conversion)


@njit_cached()
def assign_float(value, scale, fraction, conversion):
    """Assign a finite float64, scale = 2.0**fraction with the target's fractional bits."""
    scaled = value * scale
    magnitude = abs(scaled)
    if magnitude < 2.0**50 and (magnitude > 2.0**-900 or value == 0.0):
        floor = math.floor(scaled)
        rest = scaled - floor
        whole = np.int64(floor)
        mode = conversion[QUANTIZATION]
        if mode != TRN and rest != 0.0:
            if mode == TRN_ZERO:
                whole += value < 0.0
            elif rest != 0.5:
                whole += rest > 0.5
            else:
                whole += drop_bits(np.int64(2 * whole + 1), 1, mode) - whole
        return limit(whole, conversion)
    mantissa, exponent = math.frexp(value)
    return assign_mantissa(np.int64(mantissa * 2.0**53), exponent - 53 + fraction, conversion)

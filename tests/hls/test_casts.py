"""Every 8-bit value, assigned to narrower formats in every pair of modes, by compiled ap_fixed and by us."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
from hls_compiled import compile_library

from lstmsim.fixedpoint import FixedFormat, Overflow, Quantization
from lstmsim.hls.headers import cpp_type
from lstmsim.quantise import convert

OVERFLOWS = [(overflow, 0) for overflow in Overflow] + [(Overflow.WRAP, bits) for bits in (1, 2, 3)]
SHAPES = ((True, 5, 2), (False, 4, 1))  # signed, width, integer bits
SOURCES = tuple(FixedFormat(width_bits=8, integer_bits=4, signed=signed) for signed in (True, False))
TARGETS = tuple(
    FixedFormat(
        width_bits=width,
        integer_bits=integer,
        signed=signed,
        quantization=quantization,
        overflow=overflow,
        saturation_bits=bits,
    )
    for (signed, width, integer), quantization, (overflow, bits) in itertools.product(SHAPES, Quantization, OVERFLOWS)
)
FLAGS = ("-std=c++14", "-O0", "-fPIC", "-Wno-unknown-pragmas")


def test_casts_of_every_mode_pair(compile_cache, tmp_path):
    source = tmp_path / "casts.cpp"
    source.write_text(_program())
    library = ctypes.CDLL(str(compile_library(source, {}, compile_cache, FLAGS)))
    got = np.zeros((len(SOURCES), len(TARGETS), 256), np.int64)
    library.casts(got.ctypes.data_as(ctypes.c_void_p))
    for row, given in zip(got, SOURCES, strict=True):
        values = np.arange(given.raw_min, given.raw_max + 1, dtype=np.int64)
        for compiled, target in zip(row, TARGETS, strict=True):
            np.testing.assert_array_equal(convert(given, target, values), compiled, err_msg=f"{given} to {target}")


def _program() -> str:
    calls = [
        f"  cast<{cpp_type(given)}, {cpp_type(target)} >({given.raw_min}, out); out += 256;"
        for given in SOURCES
        for target in TARGETS
    ]
    return f"""
#include <cstdint>
#include "number.hpp"
template <class FROM, class TO>
void cast(int first, std::int64_t *out) {{
    for (int k = 0; k < 256; ++k) {{
        FROM value = Bits<FROM>::set(first + k);
        TO assigned = value;
        out[k] = Bits<TO>::get(assigned).to_int64();
    }}
}}
extern "C" void casts(std::int64_t *out) {{
{chr(10).join(calls)}
}}
"""

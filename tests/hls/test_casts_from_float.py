"""Doubles and floats assigned to formats of every mode, by compiled ap_fixed and by us."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest
from hls_compiled import compile_library

from lstmsim.fixedpoint import FixedFormat, Overflow, Quantization
from lstmsim.hls.headers import cpp_type
from lstmsim.quantise import raw_from_float

OVERFLOWS = [(overflow, 0) for overflow in Overflow] + [(Overflow.WRAP, 1), (Overflow.WRAP, 3)]
SHAPES = (
    (True, 8, 4), (False, 8, 4), (True, 9, -3), (False, 6, 11), (True, 5, 9), (True, 16, 8), (True, 33, 7),
    (True, 64, 20),
)  # signed, width, integer bits  # fmt: skip
MODES = tuple(itertools.product(Quantization, OVERFLOWS))
TARGETS = tuple(
    FixedFormat(
        width_bits=width,
        integer_bits=integer,
        signed=signed,
        quantization=quantization,
        overflow=overflow,
        saturation_bits=bits,
    )
    for index, (signed, width, integer) in enumerate(SHAPES)
    for number, (quantization, (overflow, bits)) in enumerate(MODES)
    if index < 2 or (number + index) % 3 == 0  # two shapes in all modes, the others in a third of them
)
FLAGS = ("-std=c++14", "-O0", "-fPIC", "-Wno-unknown-pragmas")


def _values() -> np.ndarray:
    drawn = np.random.default_rng(6)
    halves = np.arange(-40, 41) / 32  # every tie and quarter of a 1/16 step
    edges = [
        s * (2.0**e + d) for s in (1, -1) for e in (-9, -4, 0, 2, 3, 4, 7, 8, 11, 31) for d in (0, 2**-5, -(2**-5))
    ]
    tiny = [0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, -1e-300, 1e-20, -1e-20]
    huge = [1e15, -1e15, 2.0**52 + 1, -(2.0**53) - 2, 2.0**62, -(2.0**63), 2.0**63, 1e19, -1e25, 1e300, -1e300]
    near = np.nextafter(halves, np.inf), np.nextafter(halves, -np.inf)
    spread = drawn.normal(0, 1, 200) * 2.0 ** drawn.integers(-12, 14, 200)
    return np.concatenate([halves, edges, tiny, huge, *near, spread])


def _singles(values: np.ndarray) -> np.ndarray:
    return values[np.abs(values) < 1e38].astype(np.float32)


@pytest.fixture(scope="module")
def library(compile_cache, tmp_path_factory):
    source = tmp_path_factory.mktemp("casts") / "casts_from_float.cpp"
    calls = [f"  cast<{cpp_type(target)} >(in, count, out); out += count;" for target in TARGETS]
    source.write_text(
        f"""
#include <cstdint>
#include "number.hpp"
template <class TO, class FROM>
void cast(const FROM *in, int count, std::int64_t *out) {{
    for (int k = 0; k < count; ++k) {{
        TO assigned = in[k];
        out[k] = Bits<TO>::get(assigned).to_int64();
    }}
}}
template <class FROM> void casts(const FROM *in, int count, std::int64_t *out) {{
{chr(10).join(calls)}
}}
extern "C" void from_double(const double *in, int count, std::int64_t *out) {{ casts(in, count, out); }}
extern "C" void from_float(const float *in, int count, std::int64_t *out) {{ casts(in, count, out); }}
"""
    )
    return ctypes.CDLL(str(compile_library(source, {}, compile_cache, FLAGS)))


def _compiled(library, name: str, values: np.ndarray) -> np.ndarray:
    got = np.zeros((len(TARGETS), len(values)), np.int64)
    getattr(library, name)(
        np.ascontiguousarray(values).ctypes.data_as(ctypes.c_void_p), len(values), got.ctypes.data_as(ctypes.c_void_p)
    )
    return got


@pytest.mark.parametrize("name", ["from_double", "from_float"])
def test_values_become_the_same_integers(library, name):
    values = _values() if name == "from_double" else _singles(_values())

    for target, compiled in zip(TARGETS, _compiled(library, name, values), strict=True):
        ours = raw_from_float(target, values)
        wrong = np.flatnonzero(ours != compiled)
        assert not wrong.size, f"{target}: {values[wrong[0]]!r} is {ours[wrong[0]]}, compiled {compiled[wrong[0]]}"


def test_infinities_and_nan(library):
    values = np.array([np.inf, -np.inf, np.nan, -np.nan])
    for target, compiled in zip(TARGETS, _compiled(library, "from_double", values), strict=True):
        np.testing.assert_array_equal(raw_from_float(target, values), compiled, err_msg=str(target))


def test_every_mode_is_compared():
    assert {(one.quantization, one.overflow) for one in TARGETS} == set(itertools.product(Quantization, Overflow))
    assert {one.saturation_bits for one in TARGETS} == {0, 1, 3}

from __future__ import annotations

import itertools
import sys
from pathlib import Path as FilePath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(FilePath(__file__).parents[2]))

from lstmsim.core.fixed import assign_float
from lstmsim.errors import ConfigError
from lstmsim.fixedpoint import FLOAT32, FixedFormat, Overflow, Quantization, parse_format
from lstmsim.quantise import conversion, convert, float_from_raw, raw_from_float
from tests.reference.integers import from_float


@st.composite
def formats(draw) -> FixedFormat:
    width, overflow = draw(st.integers(1, 64)), draw(st.sampled_from(list(Overflow)))
    return FixedFormat(
        width_bits=width,
        integer_bits=draw(st.integers(-128, 128)),
        signed=draw(st.booleans()),
        quantization=draw(st.sampled_from(list(Quantization))),
        overflow=overflow,
        saturation_bits=draw(st.integers(0, width)) if overflow is Overflow.WRAP else 0,
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(formats())
def test_text_and_back(number):
    assert parse_format(str(number)) == number
    assert parse_format(f"  {str(number).replace(',', ' , ')} ") == number


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 64), st.integers(-64, 128), st.booleans())
def test_the_other_spellings(width, fraction, signed):
    number = FixedFormat(width_bits=width, integer_bits=width - fraction, signed=signed)
    assert parse_format(f"fxp-{'s' if signed else 'u'}{width}/{fraction}") == number
    assert parse_format(f"{'' if signed else 'u'}Q{width - fraction}.{fraction}") == number


def test_spellings_by_hand():
    number = FixedFormat(width_bits=16, integer_bits=8)
    assert all(parse_format(text) == number for text in ("ap_fixed<16,8>", "fxp-s16/8", "Q8.8", "q8.8"))
    assert parse_format("uQ0.8") == parse_format("ap_ufixed<8,0>") == parse_format("fxp-u8/8")
    assert parse_format("Q-2.10") == parse_format("ap_fixed<8,-2>")
    assert parse_format("ap_fixed<8,4,AP_RND,AP_WRAP,2>").saturation_bits == 2
    assert parse_format("float") is FLOAT32


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ap_fixed<8,4,AP_TRN,AP_WRAP_SM>", "AP_WRAP_SM"),
        ("ap_fixed<8,4,AP_RNDD>", "AP_RND"),
        ("ap_fixed<8,4,AP_RND,AP_SATT>", "AP_SAT"),
        ("ap_fixed<8>", "2 to 5"),
        ("ap_fixed<8,4,AP_TRN,AP_SAT,2>", "saturation bits"),
        ("ap_fixed<8,4,AP_TRN,AP_WRAP,9>", "do not fit"),
        ("ap_fixed<8,4,AP_TRN,AP_WRAP,-1>", "do not fit"),
        ("ap_fixed<8.5,4>", "whole numbers"),
        ("ap_fixed<0,0>", "outside 1..64"),
        ("ap_fixed<65,8>", "outside 1..64"),
        ("ap_fixed<16,200>", "outside -128..128"),
        ("fxp-s16", "not understood"),
        ("fxp-c16/8", "not understood"),
        ("Q8", "not understood"),
        ("Q0.0", "outside 1..64"),
        ("ap_int<8>", "not understood"),
        ("", "not understood"),
    ],
)
def test_texts_that_are_refused(text, told):
    with pytest.raises(ConfigError, match=told) as problem:
        parse_format(text)
    assert "\n" not in str(problem.value)


def test_other_types_are_refused():
    for value in (None, 8, 1.5, b"Q8.8", ["Q8.8"]):
        with pytest.raises(ConfigError, match="text"):
            parse_format(value)


@pytest.mark.parametrize(
    ("text", "low", "high", "step"),
    [
        ("ap_fixed<8,-3>", -(2.0**-4), 2.0**-4 - 2.0**-11, 2.0**-11),  # all bits far below the point
        ("ap_ufixed<8,-3>", 0.0, 2.0**-3 - 2.0**-11, 2.0**-11),
        ("ap_fixed<8,12>", -2048.0, 2032.0, 16.0),  # the last bit is worth 16
        ("ap_ufixed<4,6>", 0.0, 60.0, 4.0),
        ("ap_fixed<1,1>", -1.0, 0.0, 1.0),
        ("ap_fixed<64,64>", -(2.0**63), 2.0**63, 1.0),
    ],
)
def test_ranges(text, low, high, step):
    number = parse_format(text)
    assert (number.value_min, number.value_max, number.step) == (low, high, step)


@pytest.mark.parametrize("text", ["ap_fixed<8,-3>", "ap_fixed<8,12>", "ap_ufixed<8,-3>", "ap_ufixed<4,6>"])
def test_negative_and_large_integer_bits_hold_their_values(text):
    number = parse_format(text)
    raw = np.arange(number.raw_min, number.raw_max + 1)
    values = float_from_raw(number, raw)
    assert values[0] == number.value_min
    assert values[-1] == number.value_max
    np.testing.assert_array_equal(raw_from_float(number, values), raw)
    wide = FixedFormat(width_bits=40, integer_bits=20)
    np.testing.assert_array_equal(convert(wide, number, convert(number, wide, raw)), raw)


@pytest.mark.parametrize(
    ("quantization", "ties"),
    [
        (Quantization.TRN, [-2, -1, 0, 1]),
        (Quantization.TRN_ZERO, [-1, 0, 0, 1]),
        (Quantization.RND, [-1, 0, 1, 2]),
        (Quantization.RND_ZERO, [-1, 0, 0, 1]),
        (Quantization.RND_MIN_INF, [-2, -1, 0, 1]),
        (Quantization.RND_INF, [-2, -1, 1, 2]),
        (Quantization.RND_CONV, [-2, 0, 0, 2]),
    ],
)
def test_halves_and_tiny_values(quantization, ties):
    number = FixedFormat(width_bits=8, integer_bits=8, quantization=quantization)
    assert raw_from_float(number, np.array([-1.5, -0.5, 0.5, 1.5])).tolist() == ties
    tiny = raw_from_float(number, np.array([-0.0, 0.0, 5e-324, -5e-324]))
    assert tiny.tolist() == [0, 0, 0, -1 if quantization is Quantization.TRN else 0]


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [
        (Overflow.WRAP, [0, 0, 0, 0, -56]),
        (Overflow.SAT_ZERO, [0, 0, 0, 0, 0]),
        (Overflow.SAT, [127, -128, 127, -128, 127]),
        (Overflow.SAT_SYM, [127, -127, 127, -127, 127]),
    ],
)
def test_infinities(overflow, expected):
    number = FixedFormat(width_bits=8, integer_bits=8, overflow=overflow)
    assert raw_from_float(number, np.array([np.inf, -np.inf, np.nan, -np.nan, 200.0])).tolist() == expected


FLOATS = [
    sign * value
    for sign, value in itertools.product(
        (1.0, -1.0),
        (
            0.0,
            0.125,
            0.25,
            0.3,
            0.375,
            0.75,
            1.25,
            15.9,
            16.0,
            31.75,
            32.3,
            77.7,
            1e14 + 0.5,
            2.0**60,
            2.0**70 + 2.0**19,
            1e300,
            5e-324,
        ),
    )
]


@pytest.mark.parametrize(
    ("overflow", "bits"),
    [*((overflow, 0) for overflow in Overflow), (Overflow.WRAP, 1), (Overflow.WRAP, 3), (Overflow.WRAP, 8)],
)
@pytest.mark.parametrize("quantization", list(Quantization))
@pytest.mark.parametrize(
    ("width", "integer", "signed"),
    [(8, 6, True), (8, 6, False), (8, -56, True), (8, -120, True), (8, 62, False), (64, 64, True), (60, 62, False)],
)
def test_floats_are_assigned_as_exact_fractions_are(width, integer, signed, quantization, overflow, bits):
    number = FixedFormat(
        width_bits=width, integer_bits=integer, signed=signed, quantization=quantization, overflow=overflow,
        saturation_bits=bits,
    )  # fmt: skip
    exact = [from_float(value, number) for value in FLOATS]
    assert raw_from_float(number, np.array(FLOATS)).tolist() == exact
    fraction = number.fractional_bits
    fields = conversion(number, fraction)
    assert [int(assign_float(value, 2.0**fraction, fraction, fields)) for value in FLOATS] == exact

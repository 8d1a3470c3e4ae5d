from __future__ import annotations

import sys

import numpy as np
import pytest

from lstmsim.errors import ConfigError, MissingExtra
from lstmsim.fixedpoint import FixedFormat, Overflow, Quantization, parse_format
from lstmsim.fxp import from_fxp, to_fxp
from lstmsim.quantise import convert, float_from_raw, raw_from_float

SHAPES = ((16, 8, True), (7, 3, False), (9, -2, True), (6, 11, True), (1, 1, True), (40, 12, True), (64, 20, True))


def _format(width: int, integer: int, signed: bool, quantization: Quantization, overflow: Overflow) -> FixedFormat:
    return FixedFormat(
        width_bits=width, integer_bits=integer, signed=signed, quantization=quantization, overflow=overflow
    )


@pytest.mark.parametrize("overflow", [Overflow.WRAP, Overflow.SAT])
@pytest.mark.parametrize("quantization", list(Quantization))
@pytest.mark.parametrize("shape", SHAPES)
def test_there_and_back(shape, quantization, overflow):
    pytest.importorskip("fxpmath")
    number = _format(*shape, quantization, overflow)
    drawn = np.random.default_rng(1).integers(number.raw_min, number.raw_max, (3, 4), endpoint=True, dtype=np.int64)
    drawn.flat[:2] = number.raw_min, number.raw_max
    raw, told = from_fxp(to_fxp(drawn, number))
    assert told == number
    np.testing.assert_array_equal(raw, drawn)


@pytest.mark.parametrize("overflow", [Overflow.WRAP, Overflow.SAT])
@pytest.mark.parametrize("quantization", list(Quantization))
@pytest.mark.parametrize("signed", [True, False])
def test_every_8_bit_value_is_assigned_alike(quantization, overflow, signed):
    fxpmath = pytest.importorskip("fxpmath")
    source = FixedFormat(width_bits=8, integer_bits=4)
    for width, integer in ((5, 2), (4, 5), (6, 1)):
        target = _format(width, integer, signed, quantization, overflow)
        values = np.arange(source.raw_min, source.raw_max + 1)
        assigned, _ = from_fxp(fxpmath.Fxp(to_fxp(values, source), like=to_fxp(np.array([0]), target)))
        np.testing.assert_array_equal(assigned, convert(source, target, values))
        floats = fxpmath.Fxp(float_from_raw(source, values), like=to_fxp(np.array([0]), target))
        np.testing.assert_array_equal(from_fxp(floats)[0], raw_from_float(target, float_from_raw(source, values)))


def test_largest_unsigned_values():
    fxpmath = pytest.importorskip("fxpmath")
    number = parse_format("ap_ufixed<64,60>")
    top = np.array([2**64 - 1, 2**63 + 5], np.uint64)
    held = to_fxp(top, number)
    assert [int(value) for value in held.val] == top.tolist()
    with pytest.raises(ConfigError, match="int64"):
        from_fxp(held)
    with pytest.raises(ConfigError, match="65"):
        from_fxp(fxpmath.Fxp(0, True, 65, 8))


@pytest.mark.parametrize(
    "text",
    ["ap_fixed<8,4,AP_TRN,AP_SAT_ZERO>", "ap_fixed<8,4,AP_TRN,AP_SAT_SYM>", "ap_fixed<8,4,AP_TRN,AP_WRAP,2>"],
)
def test_modes_that_fxpmath_lacks_are_refused(text):
    pytest.importorskip("fxpmath")
    with pytest.raises(ConfigError, match="fxpmath cannot overflow"):
        to_fxp(np.array([1]), parse_format(text))


def test_objects_that_are_no_ap_fixed_are_refused():
    fxpmath = pytest.importorskip("fxpmath")
    for values, told in (
        (fxpmath.Fxp(0.5, True, 8, 4, rounding="ceil"), "ceil"),
        (fxpmath.Fxp(0.5 + 1j, True, 8, 4), "complex"),
        (fxpmath.Fxp(0.5, True, 8, 4, scale=2), "scale"),
        (np.zeros(3), "ndarray"),
    ):
        with pytest.raises(ConfigError, match=told):
            from_fxp(values)


def test_values_that_are_no_raw_integers_are_refused():
    number = parse_format("ap_fixed<8,4>")
    for raw, told in ((np.array([0.5]), "raw_from_float"), (np.array([200]), "outside"), (np.array([], int), "empty")):
        with pytest.raises(ConfigError, match=told):
            to_fxp(raw, number)


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fxpmath", None)
    with pytest.raises(MissingExtra, match=r"lstmsim\[fxpmath\]"):
        to_fxp(np.array([1]), parse_format("ap_fixed<8,4>"))
    with pytest.raises(MissingExtra, match=r"lstmsim\[fxpmath\]"):
        from_fxp(np.array([1]))

"""Formats and values to and from fxpmath, a bit-accurate fixed-point library in Python.

fxpmath is imported when one of these functions is called.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import ConfigError, MissingExtra
from lstmsim.fixedpoint import MAX_WIDTH_BITS, FixedFormat, Overflow, Quantization

ROUNDINGS = {
    Quantization.TRN: "floor",
    Quantization.TRN_ZERO: "trunc",
    Quantization.RND: "nearest_posinf",
    Quantization.RND_ZERO: "nearest_zero",
    Quantization.RND_MIN_INF: "nearest_neginf",
    Quantization.RND_INF: "nearest_away",
    Quantization.RND_CONV: "around",
}
OVERFLOWS = {Overflow.WRAP: "wrap", Overflow.SAT: "saturate"}

_QUANTIZATIONS = {
    **{name: mode for mode, name in ROUNDINGS.items()},
    "bit_trunc": Quantization.TRN,
    "fix": Quantization.TRN_ZERO,
}
_OVERFLOW_MODES = {name: mode for mode, name in OVERFLOWS.items()}


def to_fxp(raw: NDArray[np.int64], number: FixedFormat) -> Any:
    """Return raw integers of a format as a `fxpmath.Fxp`; what is assigned to it is rounded and limited alike.

    Raises:
        ConfigError: a mode that fxpmath lacks (AP_SAT_ZERO, AP_SAT_SYM, saturated bits), or integers out of range.
        MissingExtra: fxpmath is not installed.
    """
    if number.overflow not in OVERFLOWS or number.saturation_bits:
        raise ConfigError(
            f"fxpmath cannot overflow as {number} does: it has AP_WRAP and AP_SAT, without saturated bits"
        )
    whole = np.asarray(raw)
    if whole.dtype.kind not in "iu":
        raise ConfigError(f"raw values are integers, not {whole.dtype}: quantise.raw_from_float makes them from floats")
    if not whole.size:
        raise ConfigError("fxpmath holds no empty array: give at least one value")
    if not number.raw_min <= int(whole.min()) <= int(whole.max()) <= number.raw_max:
        raise ConfigError(
            f"raw integers {whole.min()}..{whole.max()} are outside {number.raw_min}..{number.raw_max} of {number}"
        )
    carrier = np.int64 if number.signed else np.uint64
    return _class()(
        whole.astype(object if number.width_bits == MAX_WIDTH_BITS else carrier),
        raw=True,
        signed=number.signed,
        n_word=number.width_bits,
        n_frac=number.fractional_bits,
        rounding=ROUNDINGS[number.quantization],
        overflow=OVERFLOWS[number.overflow],
    )


def from_fxp(values: Any) -> tuple[NDArray[np.int64], FixedFormat]:
    """Return the raw integers of a `fxpmath.Fxp`, in its shape, and the format that assigns alike.

    Raises:
        ConfigError: no Fxp, complex or scaled values, rounding up ("ceil"), or a format wider than 64 bits.
        MissingExtra: fxpmath is not installed.
    """
    if not isinstance(values, _class()):
        raise ConfigError(f"a fxpmath.Fxp is needed, not {type(values).__name__}")
    if values.vdtype is complex or np.iscomplexobj(values.val):
        raise ConfigError(f"{values.dtype} holds complex numbers, which ap_fixed has not: convert .real and .imag")
    if values.scaled:
        raise ConfigError(
            f"{values.dtype} has a scale or bias, which ap_fixed has not: convert it to a plain Fxp first"
        )
    rounding, overflow = values.config.rounding, values.config.overflow
    if rounding not in _QUANTIZATIONS:
        raise ConfigError(f"ap_fixed has no mode that rounds like fxpmath's {rounding!r}: use one of {_names()}")
    number = FixedFormat(
        width_bits=int(values.n_word),
        integer_bits=int(values.n_word) - int(values.n_frac),
        signed=bool(values.signed),
        quantization=_QUANTIZATIONS[rounding],
        overflow=_OVERFLOW_MODES[overflow],
    )
    raw = np.asarray(values.val)
    if int(raw.max()) >= 1 << 63:
        raise ConfigError(f"raw integer {int(raw.max())} of {number} does not fit the 63 bits and sign of an int64")
    return raw.astype(np.int64), number


def _names() -> str:
    return ", ".join(repr(name) for name in sorted(_QUANTIZATIONS))


def _class() -> Any:
    try:
        from fxpmath import Fxp
    except ImportError:
        raise MissingExtra("fxpmath", "fxpmath", "exchanging values with fxpmath") from None
    return Fxp

"""Number formats: ap_fixed<W,I,Q,O> as Xilinx defines it, and IEEE single precision.

Only the standard library is imported here: a format is a fact that the estimator, the simulator, the generated
C++ header and the command line share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from lstmsim.errors import ConfigError, nearest

MAX_WIDTH_BITS = 64


class Quantization(Enum):
    """What happens to the bits below the last one kept, when a value is assigned."""

    TRN = "AP_TRN"
    TRN_ZERO = "AP_TRN_ZERO"
    RND = "AP_RND"
    RND_ZERO = "AP_RND_ZERO"
    RND_MIN_INF = "AP_RND_MIN_INF"
    RND_INF = "AP_RND_INF"
    RND_CONV = "AP_RND_CONV"


class Overflow(Enum):
    """What happens to a value outside the range, when it is assigned."""

    WRAP = "AP_WRAP"
    SAT = "AP_SAT"
    SAT_ZERO = "AP_SAT_ZERO"
    SAT_SYM = "AP_SAT_SYM"


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """IEEE 754 binary32, the type `float` of the kernel."""

    @property
    def width_bits(self) -> int:
        """Storage in bits."""
        return 32

    def __str__(self) -> str:
        return "float"


FLOAT32 = FloatFormat()


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedFormat:
    """ap_[u]fixed<width_bits, integer_bits, quantization, overflow, saturation_bits>.

    A raw integer v stands for v * 2**-fractional_bits. `integer_bits` includes the sign bit, may be negative and may
    exceed the width. `saturation_bits` is ap_fixed's N, for AP_WRAP only.

    Raises:
        ConfigError: a width outside 1..64 or a combination that ap_fixed does not define.
    """

    width_bits: int
    integer_bits: int
    signed: bool = True
    quantization: Quantization = Quantization.TRN
    overflow: Overflow = Overflow.WRAP
    saturation_bits: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.width_bits <= MAX_WIDTH_BITS:
            raise ConfigError(f"width {self.width_bits} of a fixed-point format is outside 1..{MAX_WIDTH_BITS} bits")
        if not -128 <= self.integer_bits <= 128:
            raise ConfigError(f"{self.integer_bits} integer bits of a fixed-point format are outside -128..128")
        if self.saturation_bits and self.overflow is not Overflow.WRAP:
            raise ConfigError(f"saturation bits go with AP_WRAP only, not with {self.overflow.value}")
        if not 0 <= self.saturation_bits <= self.width_bits:
            raise ConfigError(f"{self.saturation_bits} saturation bits do not fit a width of {self.width_bits}")

    @property
    def fractional_bits(self) -> int:
        """Bits after the binary point; negative where the last bit is worth more than 1."""
        return self.width_bits - self.integer_bits

    @property
    def raw_min(self) -> int:
        """The smallest raw integer."""
        return -(1 << (self.width_bits - 1)) if self.signed else 0

    @property
    def raw_max(self) -> int:
        """The largest raw integer."""
        return (1 << (self.width_bits - 1)) - 1 if self.signed else (1 << self.width_bits) - 1

    @property
    def step(self) -> float:
        """The value of the last bit."""
        return 2.0**-self.fractional_bits

    @property
    def value_min(self) -> float:
        """The smallest value."""
        return self.raw_min * self.step

    @property
    def value_max(self) -> float:
        """The largest value."""
        return self.raw_max * self.step

    def __str__(self) -> str:
        parts = [str(self.width_bits), str(self.integer_bits)]
        if self.saturation_bits or self.overflow is not Overflow.WRAP:
            parts += [self.quantization.value, self.overflow.value]
        elif self.quantization is not Quantization.TRN:
            parts.append(self.quantization.value)
        if self.saturation_bits:
            parts.append(str(self.saturation_bits))
        return f"{'ap_fixed' if self.signed else 'ap_ufixed'}<{','.join(parts)}>"


NumberFormat = FixedFormat | FloatFormat

_AP_FIXED = re.compile(r"ap_(u?)fixed<([^<>]*)>")
_FXP = re.compile(r"fxp-([su])(\d+)/(-?\d+)")
_Q = re.compile(r"(u?)q(-?\d+)\.(-?\d+)")


def parse_format(text: str) -> NumberFormat:
    """Read "float", "ap_fixed<16,8,AP_RND,AP_SAT>", fxpmath's "fxp-s16/8" or "Q8.8" (integer bits with sign).

    Raises:
        ConfigError: any other text, or a format that ap_fixed does not define.
    """
    if not isinstance(text, str):
        raise ConfigError(f"a number format is text such as 'float' or 'ap_fixed<16,8>', not {text!r}")
    compact = "".join(text.split())
    if compact.lower() in {"float", "float32"}:
        return FLOAT32
    if found := _AP_FIXED.fullmatch(compact):
        return _from_ap_fixed(text, signed=not found[1], parts=found[2].split(","))
    if found := _FXP.fullmatch(compact):
        width, fraction = int(found[2]), int(found[3])
        return FixedFormat(width_bits=width, integer_bits=width - fraction, signed=found[1] == "s")
    if found := _Q.fullmatch(compact.lower()):
        integer, fraction = int(found[2]), int(found[3])
        return FixedFormat(width_bits=integer + fraction, integer_bits=integer, signed=not found[1])
    raise ConfigError(
        f"number format {text!r} is not understood: "
        "write 'float', 'ap_fixed<16,8,AP_RND,AP_SAT>', 'fxp-s16/8' or 'Q8.8'"
    )


def _from_ap_fixed(text: str, *, signed: bool, parts: list[str]) -> FixedFormat:
    if not 2 <= len(parts) <= 5:
        raise ConfigError(f"number format {text!r} needs 2 to 5 parts: ap_fixed<W,I,Q,O,N>")
    try:
        width, integer = int(parts[0]), int(parts[1])
        saturation = int(parts[4]) if len(parts) == 5 else 0
    except ValueError:
        raise ConfigError(f"number format {text!r}: width, integer and saturation bits are whole numbers") from None
    return FixedFormat(
        width_bits=width,
        integer_bits=integer,
        signed=signed,
        quantization=_quantization(parts[2]) if len(parts) > 2 else Quantization.TRN,
        overflow=_overflow(parts[3]) if len(parts) > 3 else Overflow.WRAP,
        saturation_bits=saturation,
    )


def _quantization(name: str) -> Quantization:
    try:
        return Quantization(name)
    except ValueError:
        known = [mode.value for mode in Quantization]
        raise ConfigError(f"unknown quantization mode {name!r}. {nearest(name, known)}") from None


def _overflow(name: str) -> Overflow:
    if name == "AP_WRAP_SM":
        raise ConfigError("AP_WRAP_SM (sign-magnitude wrapping) is not supported: use AP_WRAP, AP_SAT or AP_SAT_SYM")
    try:
        return Overflow(name)
    except ValueError:
        known = [mode.value for mode in Overflow]
        raise ConfigError(f"unknown overflow mode {name!r}. {nearest(name, known)}") from None

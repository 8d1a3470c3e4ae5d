"""Numbers for people: milliseconds and megahertz exist only here."""

from __future__ import annotations

import math

_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def time_text(seconds: float) -> str:
    """Return seconds with three digits and a fitting unit."""
    if not math.isfinite(seconds):
        return "-"
    for factor, unit in _TIMES:
        if abs(seconds) >= factor:
            return f"{seconds / factor:.3g} {unit}" if seconds / factor < 1000 else f"{seconds / factor:,.0f} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def frequency_text(hertz: float) -> str:
    """Return a clock in MHz."""
    return f"{hertz / 1e6:.4g} MHz"


def percent_text(share: float) -> str:
    """Return a share in percent, with one digit below ten."""
    if not math.isfinite(share):
        return "none there"
    return f"{share * 100:.1f} %" if abs(share) < 0.1 else f"{share * 100:,.0f} %"


def rate_text(per_second: float) -> str:
    """Return a rate a second, with k or M."""
    for factor, unit in ((1e6, "M"), (1e3, "k")):
        if per_second >= factor:
            return f"{per_second / factor:.3g} {unit}/s"
    return f"{per_second:.3g} /s"


def bar(share: float, width: int = 20) -> str:
    """Return a bar of eighths of a character."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")

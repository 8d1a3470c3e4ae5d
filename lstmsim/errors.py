"""Every error that lstmsim raises on purpose. The command line turns each into one line and exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LstmsimError(Exception):
    """Base class. The message names the value, the limit and the remedy, in one line."""


class ConfigError(LstmsimError, ValueError):
    """A knob, key or option has a value that cannot be used."""


class UnknownDevice(LstmsimError, LookupError):
    """No device of that name or file."""


class UnknownNetwork(LstmsimError, LookupError):
    """No network of that name or file."""


class DoesNotFit(LstmsimError):
    """The kernel needs more of a resource than the device has."""


class ModelFormatError(LstmsimError, ValueError):
    """A model file, its weights or an input array cannot be used."""


class ReportError(LstmsimError, ValueError):
    """A synthesis or run-time report cannot be read."""


class CalibrationError(LstmsimError, ValueError):
    """Measurements or a calibration cannot be used."""


class DataError(LstmsimError, ValueError):
    """A data set cannot be used."""


class HardwareError(LstmsimError, RuntimeError):
    """A board, driver or runtime is missing or did not answer."""


class MissingExtra(LstmsimError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package!r}: pip install 'lstmsim[{extra}]'")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest known name, else the list of known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return "Known: " + ", ".join(names) + "."

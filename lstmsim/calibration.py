"""Calibrations: coefficients with their uncertainty, and what they were made from, as TOML."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Any

from lstmsim.errors import CalibrationError, nearest
from lstmsim.files import check_keys, data_folder, read_toml, write_text

SCHEMA_VERSION = 1
LARGEST_SPREAD = 10.0
"""Largest standard deviation of a logarithm that a calibration may state: a factor of 22,000."""
Z90 = 1.6448536269514722
"""Half-width of a 90 % interval in standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """One fitted number. `log_stderr` is its standard error relative to the value (of its logarithm)."""

    name: str
    value: float
    log_stderr: float
    unit: str
    low: float
    high: float
    prior: float
    prior_log_sigma: float
    rows: tuple[str, ...] = ()
    source: str = ""

    @property
    def stderr(self) -> float:
        """Standard error in the coefficient's unit."""
        return self.value * self.log_stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fitted model.

    `covariance` is of the logarithms of the coefficients, in the order of `coefficients`; `log_sigma` the spread of
    the logarithm of measured over predicted, by quantity; `ranges` the smallest and largest value of each feature
    among the measurements; `devices` those that were measured; `left_out` the relative error of each row predicted
    without it.
    """

    name: str
    kind: str
    stage: str
    devices: tuple[str, ...]
    coefficients: dict[str, Coefficient]
    covariance: tuple[tuple[float, ...], ...]
    log_sigma: dict[str, float]
    ranges: dict[str, tuple[float, float]]
    made_from: tuple[str, ...]
    made_with: str = ""
    quality: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, float] = field(default_factory=dict)

    def value(self, name: str) -> float:
        """Return a coefficient's value.

        Raises:
            CalibrationError: the calibration has no such coefficient.
        """
        if name not in self.coefficients:
            raise CalibrationError(
                f"calibration {self.name!r} has no coefficient {name!r}: make it again with `lstmsim calibrate`"
            )
        return self.coefficients[name].value

    def log_sigma_of(self, gradient: Mapping[str, float], quantity: str = "latency_s") -> float:
        """Return the standard deviation of a prediction's logarithm.

        `gradient` holds the derivative of the prediction's logarithm by each coefficient's logarithm.
        """
        names = list(self.coefficients)
        slopes = [gradient.get(name, 0.0) for name in names]
        variance = self.log_sigma.get(quantity, 0.0) ** 2
        for slope, row in zip(slopes, self.covariance, strict=True):
            if slope:
                variance += slope * sum(other * value for other, value in zip(slopes, row, strict=True))
        return math.sqrt(max(variance, 0.0))

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the calibration as TOML, atomically."""
        write_text(path, calibration_toml(self), force=force)


def load_calibration(source: str | os.PathLike[str] | Traversable) -> Calibration:
    """Return a calibration from a TOML file, or by the name of one that comes with the package.

    Raises:
        CalibrationError: a missing file, a missing or unknown key, or numbers that contradict one another.
    """
    if isinstance(source, str) and not source.endswith(".toml"):
        known = sorted(entry.name.removesuffix(".toml") for entry in data_folder("calibrations").iterdir())
        if source not in known:
            raise CalibrationError(f"unknown calibration {source!r}. {nearest(source, known)} Or give a .toml file.")
        source = data_folder("calibrations") / f"{source}.toml"
    table = read_toml(source, error=CalibrationError)
    where = f"calibration {str(getattr(source, 'name', source))!r}"
    return _from_table(table, where)


_KEYS = {
    "schema", "name", "kind", "stage", "devices", "coefficients", "covariance", "log_sigma", "ranges", "made_from",
    "made_with", "quality", "left_out",
}  # fmt: skip
_COEFFICIENT_KEYS = {
    "value", "stderr", "log_stderr", "unit", "low", "high", "prior", "prior_log_sigma", "rows", "source",
}  # fmt: skip


def _from_table(table: dict[str, Any], where: str) -> Calibration:
    check_keys(table, _KEYS, where, CalibrationError)
    missing = _KEYS - {"quality", "made_with", "left_out"} - set(table)
    if missing:
        raise CalibrationError(f"{where}: the key {sorted(missing)[0]!r} is missing")
    if table["schema"] != SCHEMA_VERSION:
        raise CalibrationError(f"{where}: schema {table['schema']!r} is not {SCHEMA_VERSION}: make it again")
    try:
        coefficients = {name: _coefficient(name, entry, where) for name, entry in table["coefficients"].items()}
        calibration = Calibration(
            name=str(table["name"]),
            kind=str(table["kind"]),
            stage=str(table["stage"]),
            devices=tuple(map(str, table["devices"])),
            coefficients=coefficients,
            covariance=tuple(tuple(float(value) for value in row) for row in table["covariance"]),
            log_sigma={str(name): float(value) for name, value in table["log_sigma"].items()},
            ranges={str(name): (float(low), float(high)) for name, (low, high) in table["ranges"].items()},
            made_from=tuple(map(str, table["made_from"])),
            made_with=str(table.get("made_with", "")),
            quality={str(name): float(value) for name, value in table.get("quality", {}).items()},
            left_out={str(name): float(value) for name, value in table.get("left_out", {}).items()},
        )
    except (TypeError, ValueError, AttributeError) as problem:
        raise CalibrationError(f"{where}: a value has the wrong type: {problem}") from None
    _check_spreads(calibration, where)
    size = len(coefficients)
    if len(calibration.covariance) != size or any(len(row) != size for row in calibration.covariance):
        raise CalibrationError(f"{where}: the covariance is not {size} x {size}")
    return calibration


def _check_spreads(calibration: Calibration, where: str) -> None:
    for name, value in calibration.log_sigma.items():
        if not 0.0 <= value <= LARGEST_SPREAD:
            raise CalibrationError(f"{where}: log_sigma of {name!r} = {value:g} is outside 0..{LARGEST_SPREAD:g}")
    for value in (value for row in calibration.covariance for value in row):
        if not abs(value) <= LARGEST_SPREAD**2:
            raise CalibrationError(f"{where}: a covariance of {value:g} is outside +-{LARGEST_SPREAD**2:g}")
    for name, bounds in calibration.ranges.items():
        if not all(math.isfinite(bound) for bound in bounds):
            raise CalibrationError(f"{where}: the range of {name!r} is not finite")


def _coefficient(name: str, entry: Any, where: str) -> Coefficient:
    if not isinstance(entry, dict):
        raise CalibrationError(f"{where}: coefficient {name!r} is not a table")
    check_keys(entry, _COEFFICIENT_KEYS, f"{where}, coefficient {name!r}", CalibrationError)
    missing = _COEFFICIENT_KEYS - {"rows", "source", "stderr"} - set(entry)
    if missing:
        raise CalibrationError(f"{where}, coefficient {name!r}: the key {sorted(missing)[0]!r} is missing")
    numbers = {key: float(entry[key]) for key in ("value", "log_stderr", "low", "high", "prior", "prior_log_sigma")}
    if not all(math.isfinite(value) and value >= 0 for value in numbers.values()) or numbers["value"] <= 0:
        raise CalibrationError(f"{where}, coefficient {name!r}: numbers must be finite and positive")
    if not numbers["low"] <= numbers["value"] <= numbers["high"]:
        raise CalibrationError(f"{where}, coefficient {name!r}: value {numbers['value']:g} is outside its bounds")
    return Coefficient(
        name=name,
        unit=str(entry["unit"]),
        rows=tuple(map(str, entry.get("rows", ()))),
        source=str(entry.get("source", "")),
        **numbers,
    )


def calibration_toml(calibration: Calibration) -> str:
    """Return a calibration as TOML text; `load_calibration` reads it back."""
    lines = [
        f"schema = {SCHEMA_VERSION}",
        f"name = {_text(calibration.name)}",
        f"kind = {_text(calibration.kind)}",
        f"stage = {_text(calibration.stage)}",
        f"devices = {_texts(calibration.devices)}",
        f"made_with = {_text(calibration.made_with)}",
        f"made_from = {_texts(calibration.made_from)}",
        "covariance = [",
        *("    [" + ", ".join(f"{value:.6g}" for value in row) + "]," for row in calibration.covariance),
        "]",
    ]
    tables = {"log_sigma": calibration.log_sigma, "quality": calibration.quality, "left_out": calibration.left_out}
    for heading, values in tables.items():
        lines += ["", f"[{heading}]", *(f"{_text(name)} = {value:.6g}" for name, value in values.items())]
    lines += ["", "[ranges]"]
    lines += [f"{_text(name)} = [{low:.12g}, {high:.12g}]" for name, (low, high) in calibration.ranges.items()]
    for coefficient in calibration.coefficients.values():
        lines += ["", *_coefficient_lines(coefficient)]
    return "\n".join(lines) + "\n"


def _coefficient_lines(coefficient: Coefficient) -> list[str]:
    return [
        f"[coefficients.{_text(coefficient.name)}]",
        f"value = {coefficient.value:.6g}",
        f"stderr = {coefficient.stderr:.3g}",
        f"log_stderr = {coefficient.log_stderr:.4g}",
        f"unit = {_text(coefficient.unit)}",
        f"low = {coefficient.low:.6g}",
        f"high = {coefficient.high:.6g}",
        f"prior = {coefficient.prior:.6g}",
        f"prior_log_sigma = {coefficient.prior_log_sigma:.4g}",
        f"source = {_text(coefficient.source)}",
        f"rows = {_texts(coefficient.rows)}",
    ]


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


def _texts(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"

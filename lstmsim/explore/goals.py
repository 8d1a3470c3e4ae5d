"""Objectives by name, and constraints as people write them: 1ms, 50%, 5k/s, 20W."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lstmsim.errors import ConfigError, nearest

# name on the command line -> (metric of core.sweep, 1 where smaller is better)
METRIC_NAMES: dict[str, tuple[str, int]] = {
    "latency": ("latency_s", 1),
    "throughput": ("throughput_per_s", -1),
    "dsp": ("dsp", 1),
    "lut": ("lut", 1),
    "lutram": ("lutram", 1),
    "ff": ("ff", 1),
    "bram": ("bram18", 1),
    "uram": ("uram", 1),
    "power": ("power_w", 1),
    "energy": ("energy_j", 1),
    "accuracy": ("accuracy", -1),
}
RESOURCES = ("lut", "lutram", "ff", "bram", "uram", "dsp")
DEFAULT_OBJECTIVES = ("latency", "throughput", "dsp", "lut", "bram", "energy")
MAX_OBJECTIVES = 8

_PREFIXES = {"p": 1e-12, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "K": 1e3, "M": 1e6}
_UNITS = {"latency": "s", "throughput": "/s", "power": "W", "energy": "J", "accuracy": ""}
_EXAMPLES = {"latency": "1ms", "throughput": "5k/s", "power": "20W", "energy": "3mJ", "accuracy": "99%"}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(.*)")


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on one metric: at most `limit` where `smaller`, else at least; `text` as the user wrote it."""

    name: str
    smaller: bool
    limit: float
    text: str

    @property
    def metric(self) -> str:
        """The metric of `core.sweep` that is bound."""
        return METRIC_NAMES[self.name][0]

    def __str__(self) -> str:
        return f"--{'max' if self.smaller else 'min'}-{self.name} {self.text}"


def parse_objectives(names: Iterable[str]) -> tuple[str, ...]:
    """Return objectives in the order given, once each; words may hold several, separated by commas.

    Raises:
        ConfigError: an unknown name, none, or more than 8.
    """
    found: list[str] = []
    for word in names:
        for name in filter(None, (part.strip().lower() for part in word.split(","))):
            if name not in METRIC_NAMES:
                raise ConfigError(f"unknown objective {name!r}. {nearest(name, METRIC_NAMES)}")
            if name not in found:
                found.append(name)
    if not 1 <= len(found) <= MAX_OBJECTIVES:
        raise ConfigError(f"{len(found)} objectives: give 1 to {MAX_OBJECTIVES} of " + ", ".join(METRIC_NAMES))
    return tuple(found)


def parse_constraint(bound: str, text: str, budget: Mapping[str, float] | None = None) -> Constraint:
    """Read one constraint such as ("max-latency", "1ms") or ("max-dsp", "50%").

    `budget` gives what a percentage of a resource is of, by metric.

    Raises:
        ConfigError: an unknown bound, or a value without sense.
    """
    side, _, name = bound.partition("-")
    known = [f"{'max' if METRIC_NAMES[metric][1] > 0 else 'min'}-{metric}" for metric in METRIC_NAMES]
    if bound not in known:
        raise ConfigError(f"unknown constraint {bound!r}. {nearest(bound, known)}")
    return Constraint(name, side == "max", parse_quantity(name, text, budget), text.strip())


def parse_quantity(name: str, text: str, budget: Mapping[str, float] | None = None) -> float:
    """Return a metric's value in SI units (shares 0..1, resources as counts); errors as in `parse_constraint`."""
    compact = "".join(str(text).split())
    found = _QUANTITY.fullmatch(compact)
    if not found:
        raise _not_understood(name, text)
    value, unit = float(found[1]), found[2]
    if not 0 <= value < float("inf"):
        raise ConfigError(f"--{name} {text!r} is outside 0..infinity")
    if name in RESOURCES:
        return _resource_count(name, text, value, unit, budget)
    if name == "accuracy":
        return _share(text, value, unit)
    suffix = _UNITS[name]
    if unit.endswith("Hz") and name == "throughput":
        unit = unit.removesuffix("Hz") + "/s"
    prefix = unit.removesuffix(suffix) if unit.endswith(suffix) else unit
    if prefix not in _PREFIXES:
        raise _not_understood(name, text)
    return value * _PREFIXES[prefix]


def _resource_count(name: str, text: str, value: float, unit: str, budget: Mapping[str, float] | None) -> float:
    if unit == "%":
        if budget is None:
            raise ConfigError(f"--max-{name} {text!r}: a percentage needs a device with a budget")
        return value / 100 * budget[METRIC_NAMES[name][0]]
    if unit not in {"", "k", "K", "M"}:
        raise _not_understood(name, text)
    return value * _PREFIXES[unit]


def _share(text: str, value: float, unit: str) -> float:
    share = value / 100 if unit == "%" else value
    if unit not in {"", "%"} or share > 1:
        raise ConfigError(f"--min-accuracy {text!r} is not a share such as 99% or 0.99")
    return share


def _not_understood(name: str, text: str) -> ConfigError:
    example = _EXAMPLES.get(name, "50% or 4000")
    return ConfigError(f"{text!r} is not a value of {name}: write it like {example}")

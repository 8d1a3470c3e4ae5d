"""KernelConfig: every knob of the kernel, once, for estimator, simulator, C++ header and board runner."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lstmsim.errors import ConfigError, nearest
from lstmsim.files import check_keys, read_toml
from lstmsim.fixedpoint import FLOAT32, FixedFormat, FloatFormat, NumberFormat, parse_format

FIXED16 = FixedFormat(width_bits=16, integer_bits=8)
ACCUMULATOR32 = FixedFormat(width_bits=32, integer_bits=16)

ACTIVATIONS = ("table", "interpolated", "plan", "piecewise")
ACCUMULATIONS = ("tree", "cascade", "chain")
WEIGHT_MEMORIES = ("lutram", "bram", "uram", "split")
WEIGHT_BANKS = ("multiplier", "column")


def _knob(default: Any, doc: str, *, choices: tuple[Any, ...] = ()) -> Any:
    return field(default=default, metadata={"doc": doc, "choices": choices})


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelConfig:
    """One design of the LSTM kernel. Sizes follow from the network; everything that a designer chooses is here.

    Raises:
        ConfigError: a value out of range, or two knobs that contradict one another.
    """

    # Parallelism (the paper's section 4.1)
    parallel_gates: int = _knob(4, "gate engines that run side by side", choices=(1, 2, 4))
    mac_share: int = _knob(1, "columns of a row that share one multiplier; 1 unrolls the row fully")
    engines: int = _knob(1, "copies of the gate engines, each with its share of the rows")
    instances: int = _knob(1, "complete LSTM kernels on the device, each with its own inputs")
    layer_parallel: bool = _knob(False, "technique 1: one cell a layer, layers work on different inputs")
    systolic_steps: int = _knob(1, "technique 2: time steps of different inputs in flight in one cell")
    elementwise_unroll: int = _knob(1, "units whose cell and hidden state are updated side by side")
    accumulation: str = _knob(
        "tree",
        "how a row is added: tree in levels, cascade one after the other with rows pipelined, chain without overlap",
        choices=ACCUMULATIONS,
    )

    # Number formats (technique 4)
    weight_format: NumberFormat = _knob(FIXED16, "weights and biases")
    state_format: NumberFormat = _knob(FIXED16, "inputs, hidden state and gate outputs")
    cell_format: NumberFormat = _knob(FIXED16, "cell state")
    accumulator_format: NumberFormat = _knob(ACCUMULATOR32, "sums of products")
    io_format: NumberFormat = _knob(FIXED16, "values on the memory interface; float is converted on the way")
    activation: str = _knob("table", "how sigmoid and tanh are computed", choices=ACTIVATIONS)
    activation_table_size: int = _knob(1024, "entries of an activation table, a power of two")
    activation_range: int = _knob(8, "the table covers [-range, range), a power of two")

    # Memory
    memory_bits: int = _knob(32, "width of a memory port in bits", choices=(16, 32, 64, 128, 256, 512, 1024))
    memory_ports: int = _knob(1, "memory interfaces of one instance")
    widen_ports: bool = _knob(
        False, "the compiler widens a port of 32 bits or less to the widest word that divides the weight array"
    )
    burst_beats: int = _knob(16, "beats of one burst on a memory port")
    outstanding_reads: int = _knob(16, "bursts under way at once on a memory port")
    resident_weights: bool = _knob(False, "weights of all layers stay on the device between inferences")
    double_buffer: bool = _knob(False, "weights of the next layer load while this one runs; takes a second copy")
    staged_weights: bool = _knob(False, "weights land in one array and are copied to the one that the engines read")
    weight_memory: str = _knob(
        "lutram",
        "memory that holds the weights of a layer; split: one copy in LUTRAM, one in BRAM",
        choices=WEIGHT_MEMORIES,
    )
    weight_banks: str = _knob(
        "multiplier", "one bank of weights a multiplier, or one a column even where columns share", choices=WEIGHT_BANKS
    )

    clock_hz: float | None = _knob(None, "kernel clock in Hz; the device's default where unset")

    def __post_init__(self) -> None:
        for knob in fields(self):
            _check_value(knob, getattr(self, knob.name))
        _check_agreement(self)

    @property
    def is_float(self) -> bool:
        """Whether the arithmetic inside the kernel is IEEE single precision."""
        return isinstance(self.weight_format, FloatFormat)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name this configuration; the kernel writes them back."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the knobs as plain values, formats as text; `config_from_dict` reads them back."""
        values = {knob.name: getattr(self, knob.name) for knob in fields(self)}
        return {
            name: str(value) if isinstance(value, FixedFormat | FloatFormat) else value
            for name, value in values.items()
        }


LIMITS: dict[str, tuple[int, int]] = {
    "mac_share": (1, 1 << 21),
    "engines": (1, 1 << 20),
    "instances": (1, 64),
    "systolic_steps": (1, 1 << 20),
    "elementwise_unroll": (1, 1 << 20),
    "activation_table_size": (2, 1 << 16),
    "activation_range": (1, 64),
    "memory_ports": (1, 64),
    "burst_beats": (1, 256),
    "outstanding_reads": (1, 256),
}
_POWERS_OF_TWO = {"activation_table_size", "activation_range"}
CLOCK_LIMITS_HZ = (1e6, 1e9)


def config_from_dict(table: Mapping[str, Any], where: str = "configuration") -> KernelConfig:
    """Return the configuration that plain values describe; unset knobs keep their defaults.

    Raises:
        ConfigError: an unknown knob (the nearest is suggested) or a value that cannot be used.
    """
    return replace_knobs(KernelConfig(), table, where)


def replace_knobs(config: KernelConfig, table: Mapping[str, Any], where: str = "configuration") -> KernelConfig:
    """Return a copy with some knobs changed; values may be text, as on a command line."""
    known = {knob.name: knob for knob in fields(KernelConfig)}
    check_keys(table, known, where)
    return dataclasses.replace(config, **{name: _coerce(known[name], value) for name, value in table.items()})


def config_from_toml(path: Any) -> KernelConfig:
    """Return the configuration in a TOML file: one line a knob. Errors as in `config_from_dict`."""
    return config_from_dict(read_toml(path), f"configuration file {str(path)!r}")


def parse_assignments(assignments: tuple[str, ...] | list[str]) -> dict[str, str]:
    """Read `KNOB=VALUE` words as given to --set.

    Raises:
        ConfigError: a word without "=".
    """
    table = {}
    for word in assignments:
        name, separator, value = word.partition("=")
        if not separator or not value.strip():
            raise ConfigError(f"--set {word!r} is not of the form KNOB=VALUE, such as engines=2")
        table[name.strip()] = value.strip()
    return table


def fixed_config(total_bits: int, integer_bits: int, **knobs: Any) -> KernelConfig:
    """Return a configuration with one fixed-point format throughout and an accumulator of twice its width."""
    narrow = FixedFormat(width_bits=total_bits, integer_bits=integer_bits)
    wide = FixedFormat(width_bits=2 * total_bits, integer_bits=2 * integer_bits)
    formats = {"weight_format": narrow, "state_format": narrow, "cell_format": narrow, "io_format": narrow}
    return KernelConfig(**{**formats, "accumulator_format": wide, **knobs})


def float_config(**knobs: Any) -> KernelConfig:
    """Return a configuration in single precision throughout."""
    names = ("weight_format", "state_format", "cell_format", "accumulator_format", "io_format")
    return KernelConfig(**{**dict.fromkeys(names, FLOAT32), **knobs})


def _coerce(knob: dataclasses.Field[Any], value: Any) -> Any:
    """Turn text from a command line or TOML into the knob's type; `_check_value` judges the result."""
    kind = str(knob.type)
    if kind == "NumberFormat" and not isinstance(value, FixedFormat | FloatFormat):
        return parse_format(value)
    if not isinstance(value, str):
        return float(value) if kind == "float | None" and type(value) is int else value
    text = value.strip()
    if kind == "bool":
        if text.lower() not in _TRUTH:
            raise ConfigError(f"{knob.name} = {value!r} is not true or false")
        return _TRUTH[text.lower()]
    try:
        if kind == "int":
            return int(text)
        if kind == "float | None":
            return None if text.lower() in {"none", "default"} else parse_frequency_hz(text)
    except ValueError:
        raise ConfigError(f"{knob.name} = {value!r} is not a number") from None
    return text


_TRUTH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def parse_frequency_hz(text: str) -> float:
    """Read "300e6", "300MHz" or "0.3 GHz" as Hz; ValueError where it is none of them."""
    compact = "".join(text.split()).lower()
    for suffix, factor in (("ghz", 1e9), ("mhz", 1e6), ("khz", 1e3), ("hz", 1.0)):
        if compact.endswith(suffix):
            return float(compact.removesuffix(suffix)) * factor
    return float(compact)


def _check_value(knob: dataclasses.Field[Any], value: Any) -> None:
    kind, name = str(knob.type), knob.name
    if kind == "NumberFormat":
        if not isinstance(value, FixedFormat | FloatFormat):
            raise ConfigError(f"{name} = {value!r} is not a number format such as ap_fixed<16,8> or float")
        return
    if kind == "float | None":
        low, high = CLOCK_LIMITS_HZ
        if value is not None and not (isinstance(value, float | int) and low <= value <= high):
            raise ConfigError(f"{name} = {value!r} is outside {low:g}..{high:g} Hz")
        return
    expected: type[Any] = {"int": int, "bool": bool, "str": str}[kind]
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ConfigError(f"{name} = {value!r} is not of type {kind}")
    choices = knob.metadata["choices"]
    if choices and value not in choices:
        hint = nearest(value, choices) if kind == "str" else "Known: " + ", ".join(map(str, choices)) + "."
        raise ConfigError(f"{name} = {value!r} is unknown. {hint}")
    if name in LIMITS and not LIMITS[name][0] <= value <= LIMITS[name][1]:
        raise ConfigError(f"{name} = {value!r} is outside {LIMITS[name][0]}..{LIMITS[name][1]}")
    if name in _POWERS_OF_TWO and not math.log2(value).is_integer():
        raise ConfigError(f"{name} = {value!r} is not a power of two")


def _check_agreement(config: KernelConfig) -> None:
    inside = (config.weight_format, config.state_format, config.cell_format, config.accumulator_format)
    floats = [isinstance(number, FloatFormat) for number in inside]
    if any(floats) and not all(floats):
        raise ConfigError(
            "weight_format, state_format, cell_format and accumulator_format are either all float or all fixed; "
            "io_format alone may differ"
        )
    if config.is_float and not isinstance(config.io_format, FloatFormat):
        raise ConfigError(f"io_format = {config.io_format} does not go with a float kernel: use float")

"""Design spaces: the choices on every knob, what each combination is called, and the arrays that the loop reads."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from lstmsim.config import (
    ACCUMULATIONS,
    ACTIVATIONS,
    WEIGHT_BANKS,
    WEIGHT_MEMORIES,
    KernelConfig,
    config_from_dict,
    fixed_config,
    float_config,
    replace_knobs,
)
from lstmsim.core.sweep import AXES
from lstmsim.device import FpgaDevice
from lstmsim.errors import ConfigError, nearest
from lstmsim.files import read_toml
from lstmsim.fixedpoint import FLOAT32, FixedFormat, FloatFormat, NumberFormat, parse_format
from lstmsim.network import DenseLayer, LstmLayer, Network

if TYPE_CHECKING:
    from lstmsim.core.sweep import Tables

FORMAT_KNOBS = ("weight_format", "state_format", "cell_format", "accumulator_format", "io_format")
KNOB_AXES = AXES[1:]
MAX_DESIGNS = 1 << 40
MAX_CHOICES = 4096
WIDE_CELL_COLUMNS = 512
"""Cells with more columns share multipliers more: fully unrolled rows would fit no device that we know of."""
_NAMES: dict[str, tuple[str, ...]] = {
    "accumulation": ACCUMULATIONS,
    "activation": ACTIVATIONS,
    "weight_memory": WEIGHT_MEMORIES,
    "weight_banks": WEIGHT_BANKS,
}


@dataclass(frozen=True, slots=True)
class Formats:
    """The five number formats of one design."""

    weight_format: NumberFormat
    state_format: NumberFormat
    cell_format: NumberFormat
    accumulator_format: NumberFormat
    io_format: NumberFormat

    def __str__(self) -> str:
        text = str(self.weight_format)
        if self.state_format != self.weight_format:
            text += f" x {self.state_format}"
        return text if self.io_format == self.state_format else f"{text}, {self.io_format} I/O"


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignSpace:
    """Choices on every axis; a design is one index, in mixed radix over `core.sweep.AXES`.

    `axes` holds the choices of every knob but the formats, as values of KernelConfig (clocks in Hz).
    `dropped_formats` counts combinations of formats that no kernel has.
    """

    formats: tuple[Formats, ...]
    axes: dict[str, tuple[Any, ...]]
    dropped_formats: int = 0

    def __post_init__(self) -> None:
        if set(self.axes) != set(KNOB_AXES):
            raise ConfigError(f"a space has the axes {', '.join(KNOB_AXES)}")
        for name, choices in (("formats", self.formats), *self.axes.items()):
            if not 1 <= len(choices) <= MAX_CHOICES:
                raise ConfigError(f"axis {name} has {len(choices)} choices: 1..{MAX_CHOICES} are possible")
            if len(set(choices)) != len(choices):
                raise ConfigError(f"axis {name} names a choice twice: {choices!r}")
        if self.size > MAX_DESIGNS:
            raise ConfigError(f"the space has {self.size:.3g} designs: shorten axes to {MAX_DESIGNS:.3g} at most")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Choices on every axis, in the order of AXES."""
        return (len(self.formats), *(len(self.axes[name]) for name in KNOB_AXES))

    @property
    def size(self) -> int:
        """Combinations, before any is pruned."""
        return math.prod(self.sizes)

    def digits(self, index: int) -> tuple[int, ...]:
        """Return the choice on every axis of a design."""
        if not 0 <= index < self.size:
            raise ConfigError(f"design {index} is outside 0..{self.size - 1}")
        digits = []
        for size in reversed(self.sizes):
            index, digit = divmod(index, size)
            digits.append(digit)
        return tuple(reversed(digits))

    def config_at(self, index: int) -> KernelConfig:
        """Return the configuration of a design."""
        first, *rest = self.digits(index)
        knobs = {name: self.axes[name][digit] for name, digit in zip(KNOB_AXES, rest, strict=True)}
        chosen = self.formats[first]
        return KernelConfig(**knobs, **{name: getattr(chosen, name) for name in FORMAT_KNOBS})

    def index_of(self, config: KernelConfig, default_clock_hz: float) -> int | None:
        """Return the index of a configuration, or None where the space has no such design."""
        chosen = Formats(*[getattr(config, name) for name in FORMAT_KNOBS])
        if chosen not in self.formats:
            return None
        index = self.formats.index(chosen)
        for name in KNOB_AXES:
            value = getattr(config, name)
            if name == "clock_hz" and value is None:
                value = default_clock_hz
            if value not in self.axes[name]:
                return None
            index = index * len(self.axes[name]) + self.axes[name].index(value)
        return index

    def tables(self, accuracy: Mapping[Formats, float] | None = None) -> Tables:
        """Return the space as the arrays that `core.sweep` reads."""
        import numpy as np

        from lstmsim.core.sweep import Tables

        values = np.zeros((len(AXES), max(self.sizes)), np.int64)
        for row, name in enumerate(KNOB_AXES, start=1):
            if name != "clock_hz":
                values[row, : len(self.axes[name])] = [_as_integer(name, value) for value in self.axes[name]]
        return Tables(
            values=values,
            clocks_hz=np.array(self.axes["clock_hz"], np.float64),
            sizes=np.array(self.sizes, np.int64),
            formats=np.array([_format_row(choice) for choice in self.formats], np.int64),
            accuracy=np.array([(accuracy or {}).get(choice, math.nan) for choice in self.formats], np.float64),
        )


def _as_integer(name: str, value: Any) -> int:
    return _NAMES[name].index(value) if name in _NAMES else int(value)


def _format_row(choice: Formats) -> tuple[int, ...]:
    return (
        int(isinstance(choice.weight_format, FloatFormat)),
        choice.weight_format.width_bits,
        choice.state_format.width_bits,
        choice.accumulator_format.width_bits,
        choice.io_format.width_bits,
        int(isinstance(choice.io_format, FloatFormat)),
    )


def _formats_of(config: KernelConfig) -> Formats:
    return Formats(*[getattr(config, name) for name in FORMAT_KNOBS])


def default_space(network: Network, device: FpgaDevice) -> DesignSpace:
    """Return the space that `lstmsim explore` searches by default: sizes follow the network, memories the device."""
    units = [stage.layer.units for stage in network.stages if isinstance(stage.layer, LstmLayer | DenseLayer)]
    most = max(units, default=1)
    columns = max((stage.input.features + stage.output.features for stage in network.stages), default=1)
    fixed16 = fixed_config(16, 8)
    configs = (
        fixed_config(8, 4),
        fixed16,
        dataclasses.replace(fixed16, io_format=FLOAT32),
        float_config(),
    )
    memories = ("lutram", "bram", "uram", "split") if device.budget.uram > 0 else ("lutram", "bram", "split")
    return DesignSpace(
        formats=tuple(map(_formats_of, configs)),
        axes={
            "parallel_gates": (1, 2, 4),
            "mac_share": (1, 2, 4, 8, 16) if columns <= WIDE_CELL_COLUMNS else (4, 16, 64, 256, 1024),
            "engines": (1, 2, 4),
            "instances": (1, 2, 4),
            "layer_parallel": (False, True),
            "systolic_steps": (1, 2),
            "elementwise_unroll": _distinct(1, min(32, most), most),
            "accumulation": ACCUMULATIONS,
            "memory_bits": (32, 128, 512),
            "widen_ports": (False, True),
            "resident_weights": (False, True),
            "double_buffer": (False, True),
            "staged_weights": (False, True),
            "activation": ("table",),
            "activation_table_size": (1024,),
            "activation_range": (8,),
            "memory_ports": (1, 2),
            "weight_memory": memories,
            "weight_banks": WEIGHT_BANKS,
            "burst_beats": (16,),
            "outstanding_reads": (16,),
            "clock_hz": _distinct(device.clock_hz / 2, device.clock_hz),
        },
    )


def _distinct(*values: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def load_space(path: Any, network: Network, device: FpgaDevice) -> DesignSpace:
    """Return the default space with the axes of a TOML file in place of its own: `engines = [1, 2, 3]`.

    `number_format` sets all five formats at once (accumulators twice as wide); each format knob may have a list of its
    own instead, and combinations that no kernel has are dropped.

    Raises:
        ConfigError: an unknown knob, or a value that the knob cannot take.
    """
    table = read_toml(path)
    where = f"space file {str(path)!r}"
    known = {knob.name for knob in fields(KernelConfig)} | {"number_format"}
    for name, choices in table.items():
        if name not in known:
            raise ConfigError(f"{where}: unknown knob {name!r}. {nearest(name, known)}")
        if not isinstance(choices, list) or not choices:
            raise ConfigError(f"{where}: {name} is a list of choices such as [1, 2, 4]")
    base = default_space(network, device)
    formats, dropped = _formats_from(table, where)
    axes = {name: _axis(name, table[name], where) if name in table else choices for name, choices in base.axes.items()}
    return DesignSpace(formats=formats or base.formats, axes=axes, dropped_formats=dropped)


def _axis(name: str, choices: list[Any], where: str) -> tuple[Any, ...]:
    made = [getattr(config_from_dict({name: choice}, where), name) for choice in choices]
    if name == "clock_hz" and None in made:
        raise ConfigError(f"{where}: clock_hz names frequencies, such as 300e6")
    return tuple(made)


def _formats_from(table: Mapping[str, Any], where: str) -> tuple[tuple[Formats, ...], int]:
    given = {name: table[name] for name in FORMAT_KNOBS if name in table}
    bases = [_uniform(text) for text in table.get("number_format", ())] or ([KernelConfig()] if given else [])
    made: list[Formats] = []
    dropped = 0
    for base, choice in itertools.product(bases, _product(given)):
        formats = {name: parse_format(choice[name]) if name in choice else getattr(base, name) for name in FORMAT_KNOBS}
        if _makes_a_kernel(Formats(**formats)):
            made.append(_formats_of(replace_knobs(base, formats, where)))
        else:
            dropped += 1
    if bases and not made:
        raise ConfigError(
            f"{where}: no combination of the formats makes a kernel: all are float or all fixed, I/O apart"
        )
    return tuple(dict.fromkeys(made)), dropped


def _makes_a_kernel(choice: Formats) -> bool:
    """Return whether all formats inside are float or all fixed, and a float kernel has a float interface."""
    inside = (choice.weight_format, choice.state_format, choice.cell_format, choice.accumulator_format)
    floats = {isinstance(number, FloatFormat) for number in inside}
    return len(floats) == 1 and (floats == {False} or isinstance(choice.io_format, FloatFormat))


def _product(choices: Mapping[str, list[Any]]) -> Iterable[dict[str, Any]]:
    for combination in itertools.product(*choices.values()):
        yield dict(zip(choices, combination, strict=True))


def _uniform(text: Any) -> KernelConfig:
    number = parse_format(text)
    if isinstance(number, FixedFormat):
        return fixed_config(number.width_bits, number.integer_bits)
    return float_config()

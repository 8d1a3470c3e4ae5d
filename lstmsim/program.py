"""A quantised model laid out for `core.lanes`: packed weights and places in the arena."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstmsim.assignments import (
    carrier,
    element_rules,
    is_associative,
    may_skip_zeros,
    sum_constants,
    tile_mode,
    truncated,
)
from lstmsim.core import ends, fixed, lanes, simd
from lstmsim.engine import FUNCTION_CODES, accumulator_biases, fixed_formats
from lstmsim.fixedpoint import FixedFormat, FloatFormat
from lstmsim.network import LstmLayer, RepeatLayer, ReshapeLayer
from lstmsim.plan import Path, SimulationPlan
from lstmsim.quantise import Integers, QuantisedDense, QuantisedModel, QuantisedPass, Raw, conversion

SAMPLES, GATES, WIDE = simd.SAMPLES, simd.GATES, simd.WIDE


class NotLaidOut(Exception):
    """This network cannot be laid out in lanes; the plain engine runs it."""


@dataclass(frozen=True, slots=True)
class StatePlace:
    """Where the state of one pass lies in the state arrays."""

    units: int
    hidden: int
    cell: int


@dataclass(frozen=True, slots=True)
class Program:
    """Arguments of `core.lanes.run_blocks` that do not depend on the data."""

    lanes: int
    rows: Integers
    ends: Integers
    conversions: Integers
    scale: Any
    weights: Raw
    biases: Raw
    sum_constants: Raw
    rules: tuple[Any, ...]
    arena_size: int
    hidden_size: int
    cell_size: int
    states: tuple[tuple[StatePlace, ...], ...]

    @property
    def paired(self) -> bool:
        """Whether two columns share an element."""
        return bool(self.ends[ends.MODE] == simd.PAIRS)


@dataclass(slots=True)
class _View:
    """Values between two layers: where they lie in the arena."""

    at: int
    stride: int
    steps: int
    features: int
    region: int


@dataclass(slots=True)
class _Builder:
    model: QuantisedModel
    path: Path
    alone: bool
    rows: list[Integers] = field(default_factory=list)
    weights: list[Raw] = field(default_factory=list)
    biases: list[Raw] = field(default_factory=list)
    weights_size: int = 0
    biases_size: int = 0
    hidden_size: int = 0
    cell_size: int = 0
    region_sizes: list[int] = field(default_factory=lambda: [0, 0])
    pending: list[tuple[Integers, _View]] = field(default_factory=list)

    @property
    def width(self) -> int:
        return 1 if self.alone else SAMPLES

    @property
    def paired(self) -> bool:
        return self.path is Path.PAIRS

    @property
    def dtype(self) -> Any:
        return carrier(self.path)

    @property
    def associative(self) -> bool:
        return is_associative(self.path)

    def columns(self, features: int) -> int:
        """Return the columns that so many features take."""
        return (features + 1) // 2 if self.paired else features

    def pack(self, kernel: Raw, tiles: int) -> int:
        """Lay out [tiles * 4 or 64 rows, columns] as [tiles, columns, rows of a tile]; return its place."""
        rows = kernel.shape[0] // tiles
        columns = kernel.shape[1]
        if self.paired:
            even = np.zeros((kernel.shape[0], 2 * self.columns(columns)), np.int16)
            even[:, :columns] = kernel
            kernel = np.ascontiguousarray(even).view(np.int32)
        packed = kernel.reshape(tiles, rows, kernel.shape[1]).transpose(0, 2, 1).astype(self.dtype)
        place = self.weights_size
        self.weights.append(packed.reshape(-1))
        self.weights_size += packed.size
        return place

    def tiled(self, array: Raw, *, gates: bool) -> tuple[Raw, int]:
        """Order rows by tile: [4, units, ...] (LSTM) or [units, ...] (dense) to [tiles * rows, ...], zero-filled."""
        rest = array.shape[2:] if gates else array.shape[1:]
        units = array.shape[1] if gates else array.shape[0]
        if gates:
            group = SAMPLES if self.alone else 1
            tiles = -(-units // group)
            tiles += (tiles & 1) if self.paired and not self.alone else 0
            full = np.zeros((GATES, tiles * group, *rest), array.dtype)
            full[:, :units] = array
            ordered = full.reshape(GATES, tiles, group, *rest).swapaxes(0, 1)
            return ordered.reshape(-1, *rest), tiles
        rows = WIDE if self.alone else GATES
        tiles = -(-units // rows)
        full = np.zeros((tiles * rows, *rest), array.dtype)
        full[:units] = array
        return full, tiles

    def place_biases(self, biases: Raw, *, gates: bool) -> int:
        """Append biases, with the fractional bits of the sum; return their place."""
        ready = accumulator_biases(self.model.config, biases)
        if self.associative:
            weight, state, accumulator, _ = fixed_formats(self.model.config)
            ready = ready >> (accumulator.fractional_bits - weight.fractional_bits - state.fractional_bits)
        ordered, _ = self.tiled(ready, gates=gates)
        place = self.biases_size
        self.biases.append(truncated(ordered, self.dtype))
        self.biases_size += ordered.size
        return place

    def lstm(self, layer: LstmLayer, passes: tuple[QuantisedPass, ...], view: _View) -> tuple[_View, list[StatePlace]]:
        """Append the passes of an LSTM layer."""
        if len(passes) == 2 and self.paired and layer.units & 1:
            raise NotLaidOut("two passes with an odd number of units")
        groups = SAMPLES * -(-layer.units // SAMPLES) if self.alone else layer.units + (layer.units & self.paired)
        features = layer.units * len(passes)
        exact = layer.return_sequences and layer.direction == "forward"
        stride = self.columns(features if exact else features - layer.units + groups) * self.width
        output = _View(0, stride, view.steps, features, 1 - view.region)
        slack = self.columns(groups) * self.width
        self.region_sizes[output.region] = max(
            self.region_sizes[output.region], stride * (view.steps if layer.return_sequences else 2) + slack
        )
        places = []
        for number, one in enumerate(passes):
            row = np.zeros(lanes.PROGRAM_FIELDS, np.int64)
            row[lanes.IS_LSTM], row[lanes.STEPS] = 1, view.steps
            row[lanes.REVERSE], row[lanes.KEEP] = one.reverse, layer.return_sequences
            row[lanes.HIDDEN_COLUMNS] = self.columns(layer.units)
            row[lanes.INPUT_COLUMNS] = self.columns(view.features)
            row[lanes.CONSTANT_INPUT] = self.associative and view.stride == 0 and view.steps > 1
            kernel, tiles = self.tiled(one.weights, gates=True)
            row[lanes.TILES] = tiles
            row[lanes.HIDDEN_WEIGHTS] = self.pack(kernel[:, : layer.units], tiles)
            row[lanes.INPUT_WEIGHTS] = self.pack(kernel[:, layer.units :], tiles)
            row[lanes.BIASES] = self.place_biases(one.biases, gates=True)
            row[lanes.OUTPUT_AT] = number * self.columns(layer.units) * self.width
            row[lanes.OUTPUT_STRIDE] = stride
            row[lanes.STATE_HIDDEN], row[lanes.STATE_CELL] = self.hidden_size, self.cell_size
            places.append(StatePlace(layer.units, self.hidden_size, self.cell_size))
            self.hidden_size += self.columns(layer.units) * self.width
            self.cell_size += tiles * SAMPLES
            self.append(row, view, output)
        if not layer.return_sequences:
            output = _View((view.steps - 1 & 1) * stride, 0, 1, features, output.region)
        return output, places

    def dense(self, layer: QuantisedDense, view: _View) -> _View:
        """Append a dense layer."""
        kernel, tiles = self.tiled(layer.weights, gates=False)
        units = layer.biases.size
        stride = self.columns(units) * self.width
        output = _View(0, stride, view.steps, units, 1 - view.region)
        slack = self.columns(len(kernel) if self.alone else 4 * tiles) * self.width
        size = stride * view.steps + slack
        self.region_sizes[output.region] = max(self.region_sizes[output.region], size)
        row = np.zeros(lanes.PROGRAM_FIELDS, np.int64)
        row[lanes.FUNCTION], row[lanes.STEPS], row[lanes.TILES] = FUNCTION_CODES[layer.activation], view.steps, tiles
        row[lanes.INPUT_COLUMNS] = self.columns(view.features)
        row[lanes.INPUT_WEIGHTS] = self.pack(kernel, tiles)
        row[lanes.BIASES] = self.place_biases(layer.biases, gates=False)
        row[lanes.OUTPUT_STRIDE] = stride
        self.append(row, view, output)
        return output

    def append(self, row: Integers, view: _View, output: _View) -> None:
        """Append a row that reads and writes these views; regions get their places at the end."""
        row[lanes.INPUT_AT], row[lanes.INPUT_STRIDE] = view.at, view.stride
        self.rows.append(row)
        self.pending.append((row, view))

    def reshape(self, layer: ReshapeLayer, view: _View) -> _View:
        """Read the same values in rows of another length."""
        if (view.steps, view.features) == (layer.timesteps, layer.features):
            return view
        odd = self.paired and (view.features & 1 or layer.features & 1)
        if odd or (view.steps > 1 and view.stride != self.columns(view.features) * self.width):
            raise NotLaidOut("reshape of rows that do not lie side by side")
        return _View(view.at, self.columns(layer.features) * self.width, layer.timesteps, layer.features, view.region)


def make_program(model: QuantisedModel, plan: SimulationPlan, *, alone: bool) -> Program:
    """Return the program for blocks of 16 samples, or for samples one by one.

    Raises:
        NotLaidOut: a network that only the plain engine runs.
    """
    builder = _Builder(model, plan.path, alone)
    network = model.network
    view = _View(0, builder.columns(network.features) * builder.width, network.timesteps, network.features, 0)
    builder.region_sizes[0] = view.stride * view.steps
    states: list[tuple[StatePlace, ...]] = []
    for layer, kept in zip(network.layers, model.layers, strict=True):
        places: list[StatePlace] = []
        if isinstance(layer, LstmLayer):
            assert isinstance(kept, tuple)
            view, places = builder.lstm(layer, kept, view)
        elif isinstance(kept, QuantisedDense):
            view = builder.dense(kept, view)
        elif isinstance(layer, RepeatLayer):
            view = _View(view.at, 0, layer.count, view.features, view.region)
        else:
            assert isinstance(layer, ReshapeLayer)
            view = builder.reshape(layer, view)
        states.append(tuple(places))
    return _finished(builder, view, tuple(states))


def _finished(builder: _Builder, view: _View, states: tuple[tuple[StatePlace, ...], ...]) -> Program:
    base = (0, builder.region_sizes[0])
    for row, source in builder.pending:
        row[lanes.INPUT_AT] += base[source.region]
        row[lanes.OUTPUT_AT] += base[1 - source.region]
    both_ends, conversions, scale = _ends(builder, view, base[view.region])
    nothing = np.zeros((0, lanes.PROGRAM_FIELDS), np.int64)
    return Program(
        lanes=1 if builder.alone else SAMPLES,
        rows=np.array(builder.rows) if builder.rows else nothing,
        ends=both_ends,
        conversions=conversions,
        scale=scale,
        weights=np.concatenate(builder.weights),
        biases=np.concatenate(builder.biases),
        sum_constants=sum_constants(builder.model, builder.path),
        rules=element_rules(builder.model, builder.path),
        arena_size=sum(builder.region_sizes) + WIDE,
        hidden_size=builder.hidden_size,
        cell_size=builder.cell_size,
        states=states,
    )


def _ends(builder: _Builder, view: _View, base: int) -> tuple[Integers, Integers, Any]:
    config, network = builder.model.config, builder.model.network
    row = np.zeros(ends.END_FIELDS, np.int64)
    row[ends.INPUT_FEATURES], row[ends.INPUT_STEPS] = network.features, network.timesteps
    row[ends.INPUT_ROW] = builder.columns(network.features) * builder.width
    row[ends.FINAL_AT], row[ends.FINAL_STRIDE] = base + view.at, view.stride
    row[ends.FINAL_ROW] = builder.columns(view.features) * builder.width
    row[ends.FINAL_STEPS], row[ends.FINAL_FEATURES] = view.steps, view.features
    row[ends.FLOAT_INTERFACE] = isinstance(config.io_format, FloatFormat)
    row[ends.MODE], row[ends.ALONE] = tile_mode(builder.model, builder.path), builder.alone
    row[ends.SKIP_ZERO_STATE] = may_skip_zeros(config)
    conversions = np.zeros((3, fixed.CONVERSION_FIELDS), np.int64)
    scale = np.ones(2)
    state, io = config.state_format, config.io_format
    if isinstance(state, FixedFormat):
        first = io if isinstance(io, FixedFormat) else state
        row[ends.FRACTION] = first.fractional_bits
        row[ends.SAME_INPUT] = row[ends.SAME_OUTPUT] = first == state
        conversions[0] = conversion(first, first.fractional_bits)
        conversions[1] = conversion(state, first.fractional_bits, same_type=first == state)
        conversions[2] = conversion(first, state.fractional_bits, same_type=first == state)
        scale[:] = 2.0**first.fractional_bits, 2.0**-first.fractional_bits
    return row, conversions, scale

"""The plain engine: layers of a quantised model run one operation after the other, on a 64-bit carrier or in float32.

It serves every format and machine, and records what a trace needs. `lanes` gives the same bits faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.config import KernelConfig
from lstmsim.core import activation, cell, cell_float
from lstmsim.fixedpoint import FixedFormat
from lstmsim.network import LstmLayer, RepeatLayer, ReshapeLayer, Stage
from lstmsim.quantise import (
    Integers,
    QuantisedDense,
    QuantisedModel,
    QuantisedPass,
    Raw,
    bits_below_entry,
    conversion,
    convert,
    exact_fraction,
)

ACTIVATION_CODES = {
    "table": activation.TABLE,
    "interpolated": activation.INTERPOLATED,
    "plan": activation.PLAN,
    "piecewise": activation.PIECEWISE,
}
FUNCTION_CODES = {
    "sigmoid": activation.SIGMOID,
    "tanh": activation.TANH,
    "relu": activation.RELU,
    "linear": activation.LINEAR,
    "softmax": activation.LINEAR,  # computed on the host, from the outputs
}


@dataclass(frozen=True, slots=True)
class PassState:
    """State of one pass of an LSTM layer: hidden in state_t, cell in cell_t, both [batch, units], raw."""

    hidden: Raw
    cell: Raw


@dataclass(frozen=True, slots=True)
class PassRecord:
    """All that one pass computed, raw: hidden and cell [batch, T, units], gates [batch, T, 4, units] after activation.

    counts: [6, core.cell.COUNT_FIELDS] (four gates, cell, hidden) where a trace is on, else empty.
    """

    hidden: Raw
    cell: Raw
    gates: Raw
    counts: Integers


LayerRecord = tuple[PassRecord, ...]
State = tuple[tuple[PassState, ...], ...]


def layer_conversions(config: KernelConfig) -> Integers:
    """Return the conversions of a layer, rows as `core.cell` names them; fixed kernels only."""
    weight, state, accumulator, kept = fixed_formats(config)
    product = weight.fractional_bits + state.fractional_bits
    common = state.fractional_bits + max(kept.fractional_bits, state.fractional_bits)
    rows = np.empty((cell.LAYER_CONVERSIONS, 8), np.int64)
    rows[cell.PRODUCT_TO_ACCUMULATOR] = conversion(accumulator, product)
    rows[cell.SUM_TO_ACCUMULATOR] = conversion(accumulator, accumulator.fractional_bits)
    rows[cell.ACCUMULATOR_TO_STATE] = conversion(state, accumulator.fractional_bits, same_type=accumulator == state)
    rows[cell.SUM_TO_CELL] = conversion(kept, common)
    rows[cell.PRODUCT_TO_STATE] = conversion(state, 2 * state.fractional_bits)
    rows[cell.GATE_EXACT_TO_STATE] = conversion(state, exact_fraction(state))
    rows[cell.CELL_EXACT_TO_STATE] = conversion(state, exact_fraction(kept))
    return rows


def activation_rules(config: KernelConfig) -> Integers:
    """Return what activations of state_t and of cell_t need to know, rows as `core.activation` names the columns."""
    _, state, _, kept = fixed_formats(config)
    rows = np.empty((2, activation.ACTIVATION_FIELDS), np.int64)
    for row, number in zip(rows, (state, kept), strict=True):
        row[activation.KIND] = ACTIVATION_CODES[config.activation]
        row[activation.FRACTION] = number.fractional_bits
        row[activation.BITS_BELOW_ENTRY] = bits_below_entry(config, number)
        row[activation.ENTRIES] = config.activation_table_size
        row[activation.EXACT_FRACTION] = exact_fraction(number)
    return rows


def fixed_formats(config: KernelConfig) -> tuple[FixedFormat, FixedFormat, FixedFormat, FixedFormat]:
    """Return the formats of weights, state, accumulator and cell of a fixed kernel."""
    weight, state = config.weight_format, config.state_format
    accumulator, kept = config.accumulator_format, config.cell_format
    assert isinstance(weight, FixedFormat)
    assert isinstance(state, FixedFormat)
    assert isinstance(accumulator, FixedFormat)
    assert isinstance(kept, FixedFormat)
    return weight, state, accumulator, kept


def cell_alignment(config: KernelConfig) -> Integers:
    """Return the left shifts that give f*c and i*g one binary point."""
    _, state, _, kept = fixed_formats(config)
    difference = state.fractional_bits - kept.fractional_bits
    return np.array([max(difference, 0), max(-difference, 0)], np.int64)


def joined_tables(model: QuantisedModel) -> Raw:
    """Return both tables as one array [2, entries]; single precision has a spare last entry where it needs none."""
    pair = np.stack([model.tables.sigmoid, model.tables.tanh])
    if model.config.is_float and model.config.activation == "table":
        pair = np.concatenate([pair, pair[:, -1:]], axis=1)
    return np.ascontiguousarray(pair)


def accumulator_biases(config: KernelConfig, biases: Raw) -> Raw:
    """Return biases of weight_t in acc_t."""
    if config.is_float:
        return biases
    weight, _, accumulator, _ = fixed_formats(config)
    return convert(weight, accumulator, biases)


def zero_state(model: QuantisedModel, batch: int) -> State:
    """Return the state that a kernel starts with, one entry a layer; layers without state have none."""
    kind = np.float32 if model.config.is_float else np.int64
    return tuple(
        tuple(
            PassState(np.zeros((batch, one.biases.shape[1]), kind), np.zeros((batch, one.biases.shape[1]), kind))
            for one in layer
        )
        if isinstance(layer, tuple)
        else ()
        for layer in model.layers
    )


def run_layers(
    model: QuantisedModel, values: Raw, state: State, *, record: bool, count: bool
) -> tuple[Raw, State, tuple[LayerRecord, ...]]:
    """Run all layers on state_t values [batch, timesteps, features].

    Returns: values after the last layer, state after the last step, and, where asked for, the records of each layer.
    """
    after, records = [], []
    runner = _Runner(model, record=record, count=count)
    for stage, layer, before in zip(model.network.stages, model.layers, state, strict=True):
        left: tuple[PassState, ...] = ()
        made: LayerRecord = ()
        if isinstance(layer, tuple):
            values, left, made = runner.lstm(stage, layer, values, before)
        elif isinstance(layer, QuantisedDense):
            values, made = runner.dense(layer, values)
        else:
            values = reshaped(stage, values)
        after.append(left)
        records.append(made)
    return values, tuple(after), tuple(records)


def reshaped(stage: Stage, values: NDArray[Any]) -> NDArray[Any]:
    """Return values after a repeat or reshape layer."""
    match stage.layer:
        case RepeatLayer(count=repeats):
            return np.repeat(values, repeats, axis=1)
        case ReshapeLayer(timesteps=timesteps, features=features):
            return values.reshape(len(values), timesteps, features)
    raise TypeError(f"{stage.layer!r} computes")


class _Runner:
    """What the layers of a model share."""

    def __init__(self, model: QuantisedModel, *, record: bool, count: bool) -> None:
        self.config = model.config
        self.record, self.count = record, count
        self.tables = joined_tables(model)
        if model.config.is_float:
            self.kind = ACTIVATION_CODES[model.config.activation]
            size, reach = model.config.activation_table_size, model.config.activation_range
            self.scale = np.float32(size / (2 * reach))
        else:
            self.conversions = layer_conversions(model.config)
            self.rules = activation_rules(model.config)
            self.align = cell_alignment(model.config)

    def lstm(
        self, stage: Stage, layer: tuple[QuantisedPass, ...], values: Raw, before: tuple[PassState, ...]
    ) -> tuple[Raw, tuple[PassState, ...], LayerRecord]:
        """Run all passes of an LSTM layer."""
        assert isinstance(stage.layer, LstmLayer)
        outputs, after, records = [], [], []
        for one, start in zip(layer, before, strict=True):
            record, left = self._pass(one, values, start)
            if stage.layer.return_sequences:
                outputs.append(record.hidden)
            else:
                outputs.append(left.hidden[:, None])
            after.append(left)
            if self.record:
                records.append(record)
        joined = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=2)
        return np.ascontiguousarray(joined), tuple(after), tuple(records)

    def _pass(self, one: QuantisedPass, values: Raw, start: PassState) -> tuple[PassRecord, PassState]:
        batch, steps, _ = values.shape
        units = one.biases.shape[1]
        kind = one.weights.dtype
        hidden, kept = start.hidden.astype(kind), start.cell.astype(kind)
        hidden_out = np.empty((batch, steps, units), kind)
        recorded = steps if self.record else 0
        cell_out = np.empty((batch, recorded, units), kind)
        gate_out = np.empty((batch, recorded, 4, units), kind)
        counts = np.zeros((6 if self.count else 0, cell.COUNT_FIELDS), np.int64)
        biases = accumulator_biases(self.config, one.biases)
        shared = (one.weights, biases, values, one.reverse, hidden, kept)
        if self.config.is_float:
            cell_float.lstm_pass_float(*shared, self.kind, self.tables, self.scale, hidden_out, cell_out, gate_out)
        else:
            cell.lstm_pass(
                *shared, self.conversions, self.align, self.rules, self.tables, hidden_out, cell_out, gate_out, counts
            )
        return PassRecord(hidden_out, cell_out, gate_out, counts), PassState(hidden, kept)

    def dense(self, layer: QuantisedDense, values: Raw) -> tuple[Raw, LayerRecord]:
        """Run a dense layer on every time step."""
        batch, steps, features = values.shape
        flat = np.ascontiguousarray(values).reshape(batch * steps, features)
        out = np.empty((len(flat), layer.biases.size), layer.weights.dtype)
        function = FUNCTION_CODES[layer.activation]
        biases = accumulator_biases(self.config, layer.biases)
        counts = np.zeros((1 if self.count else 0, cell.COUNT_FIELDS), np.int64)
        if self.config.is_float:
            cell_float.dense_rows_float(layer.weights, biases, flat, function, self.kind, self.tables, self.scale, out)
        else:
            tally = counts.reshape(-1)
            cell.dense_rows(
                layer.weights, biases, flat, function, self.conversions, self.rules, self.tables, out, tally
            )
        result = out.reshape(batch, steps, layer.biases.size)
        nothing = np.empty((batch, 0, 0), result.dtype)
        record = (PassRecord(result, nothing, nothing[..., None], counts),) if self.record else ()
        return result, record

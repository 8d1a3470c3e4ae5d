"""Constants of every assignment on the way from sums to states, as the lanes read them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmsim.config import KernelConfig
from lstmsim.core import cell, elementwise, fixed, simd
from lstmsim.engine import (
    ACTIVATION_CODES,
    activation_rules,
    cell_alignment,
    fixed_formats,
    joined_tables,
    layer_conversions,
)
from lstmsim.fixedpoint import FixedFormat, Overflow, Quantization
from lstmsim.plan import Path, code_tables
from lstmsim.quantise import Integers, QuantisedModel, Raw, conversion

_IN_ORDER_MODES = {
    Overflow.WRAP: simd.ROUND_WRAP,
    Overflow.SAT: simd.ROUND_SATURATE,
    Overflow.SAT_SYM: simd.ROUND_SATURATE,
    Overflow.SAT_ZERO: simd.ROUND_ZERO,
}


def carrier(path: Path) -> Any:
    """Return the numpy type that sums and states have on this path."""
    if path is Path.FLOAT:
        return np.float32
    return np.int64 if path in (Path.PRODUCTS64, Path.IN_ORDER64) else np.int32


def is_associative(path: Path) -> bool:
    """Tell whether products enter the sum whole and in any order."""
    return path in (Path.PAIRS, Path.PRODUCTS32, Path.PRODUCTS64)


def may_skip_zeros(config: KernelConfig) -> bool:
    """Tell whether products with a hidden state of zero may be left out: not where they could flip a sign or clamp."""
    accumulator = config.accumulator_format
    return isinstance(accumulator, FixedFormat) and accumulator.overflow is not Overflow.SAT_SYM


def tile_mode(model: QuantisedModel, path: Path) -> int:
    """Return how tiles add on this path, a mode of `core.simd`."""
    if path is Path.PAIRS:
        return simd.PAIRS
    if path in (Path.PRODUCTS32, Path.PRODUCTS64, Path.FLOAT):
        return simd.PRODUCTS
    _, _, accumulator, _ = fixed_formats(model.config)
    return _IN_ORDER_MODES[accumulator.overflow]


def _rounding(mode: Quantization, drop: int) -> tuple[int, int, int]:
    """Return the addends of `simd.emit_drop`: always, where the value is negative, where its floor is odd."""
    if drop <= 0:
        return 0, 0, 0
    half = 1 << (drop - 1)
    return {
        Quantization.TRN: (0, 0, 0),
        Quantization.TRN_ZERO: (0, 2 * half - 1, 0),
        Quantization.RND: (half, 0, 0),
        Quantization.RND_ZERO: (half - 1, 1, 0),
        Quantization.RND_MIN_INF: (half - 1, 0, 0),
        Quantization.RND_INF: (half, -1, 0),
        Quantization.RND_CONV: (half - 1, 0, 1),
    }[mode]


def sum_constants(model: QuantisedModel, path: Path) -> Raw:
    """Return the constants of a sum in order, fields as in `core.simd`."""
    constants = np.zeros(simd.SUM_FIELDS, carrier(path))
    if path is Path.FLOAT:
        return constants
    weight, state, accumulator, _ = fixed_formats(model.config)
    drop = weight.fractional_bits + state.fractional_bits - accumulator.fractional_bits
    whole = np.zeros(simd.SUM_FIELDS, np.int64)
    whole[simd.SUM_DROP], whole[simd.SUM_GAIN] = max(drop, 0), max(-drop, 0)
    whole[simd.SUM_ADD], whole[simd.SUM_NEGATIVE], whole[simd.SUM_ODD] = _rounding(accumulator.quantization, drop)
    row = conversion(accumulator, 0)
    whole[simd.SUM_LOW], whole[simd.SUM_HIGH] = row[fixed.LOW], row[fixed.HIGH]
    whole[simd.SUM_MASK] = -1 if accumulator.width_bits == 64 else (1 << accumulator.width_bits) - 1
    return truncated(whole, carrier(path))


def element_rules(model: QuantisedModel, path: Path) -> tuple[Any, ...]:
    """Return what `core.elementwise` needs to turn sums into states on this path."""
    config = model.config
    if path is Path.FLOAT:
        scale = np.float32(config.activation_table_size / (2 * config.activation_range))
        return ACTIVATION_CODES[config.activation], scale, joined_tables(model)
    align = cell_alignment(config)
    if carrier(path) is np.int64:
        conversions = layer_conversions(config)
        if is_associative(path):
            conversions[cell.SUM_TO_ACCUMULATOR] = conversions[cell.PRODUCT_TO_ACCUMULATOR]
        return conversions, align, activation_rules(config), joined_tables(model)
    tables = code_tables(model)
    whole = (tables.sigmoid, tables.tanh, tables.tanh_of_cell)
    return (_stages(model, path), align.astype(np.int32), *(table.astype(np.int32) for table in whole))


def _stages(model: QuantisedModel, path: Path) -> Raw:
    weight, state, accumulator, kept = fixed_formats(model.config)
    product = weight.fractional_bits + state.fractional_bits
    common = state.fractional_bits + max(state.fractional_bits, kept.fractional_bits)
    stages = np.zeros((4, elementwise.STAGE_FIELDS), np.int64)
    stages[elementwise.STAGE_WRAP, elementwise.MASK] = -1
    source = accumulator.fractional_bits
    if is_associative(path):
        source = product
        bits = accumulator.width_bits - (accumulator.fractional_bits - product)
        if accumulator.overflow is Overflow.WRAP and bits < 32:
            low = -(1 << (bits - 1)) if accumulator.signed else 0
            stages[elementwise.STAGE_WRAP, elementwise.MASK] = (1 << bits) - 1
            stages[elementwise.STAGE_WRAP, elementwise.BASE] = low
    stages[elementwise.STAGE_STATE] = _stage(state, source, same_type=not is_associative(path) and accumulator == state)
    stages[elementwise.STAGE_CELL] = _stage(kept, common)
    stages[elementwise.STAGE_HIDDEN] = _stage(state, 2 * state.fractional_bits)
    return truncated(stages, np.int32)


def _stage(target: FixedFormat, source_fraction: int, *, same_type: bool = False) -> Integers:
    row = conversion(target, source_fraction, same_type=same_type)
    stage = np.zeros(elementwise.STAGE_FIELDS, np.int64)
    drop = int(row[fixed.DROPPED_BITS])
    stage[elementwise.DROP], stage[elementwise.GAIN] = max(drop, 0), max(-drop, 0)
    rounding = _rounding(target.quantization, drop)
    stage[elementwise.ADDEND], stage[elementwise.NEGATIVE], stage[elementwise.ODD] = rounding
    stage[elementwise.LOW], stage[elementwise.HIGH] = row[fixed.LOW], row[fixed.HIGH]
    stage[elementwise.OUTSIDE], stage[elementwise.MASK] = -1, -1
    if target.overflow is Overflow.SAT_ZERO:
        stage[elementwise.OUTSIDE] = 0
    elif target.overflow is Overflow.WRAP:
        limits = np.iinfo(np.int32)
        stage[elementwise.LOW], stage[elementwise.HIGH] = limits.min, limits.max
        stage[elementwise.BASE] = target.raw_min
        stage[elementwise.MASK] = (1 << target.width_bits) - 1
    return stage


def truncated(values: Raw, kind: Any) -> Raw:
    """Return values of another integer type, keeping the low bits."""
    if kind is np.int32:
        return np.ascontiguousarray(values.astype(np.int64).view(np.int32).reshape(*values.shape, 2)[..., 0])
    return values.astype(kind)

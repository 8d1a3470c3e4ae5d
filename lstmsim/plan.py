"""Which form of the arithmetic gives the kernel's bits fastest: an analysis of bit growth decides, layer by layer.

A form is taken only where it is proven equal. Sums may be re-associated, or formed modulo 2**32, where no product
loses a bit on its way into the accumulator and either the accumulator wraps or no partial sum can leave its range.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from lstmsim.core import activation, cell, fixed
from lstmsim.core.activation import activate_array
from lstmsim.engine import (
    accumulator_biases,
    activation_rules,
    cell_alignment,
    fixed_formats,
    joined_tables,
    layer_conversions,
)
from lstmsim.fixedpoint import FixedFormat, Overflow
from lstmsim.network import LstmLayer, RepeatLayer, ReshapeLayer
from lstmsim.quantise import Integers, QuantisedDense, QuantisedModel, QuantisedPass


class Path(Enum):
    """Forms of the arithmetic, the fastest first."""

    PAIRS = "16-bit pairs"  # vpmaddwd: two 16-bit products at a time into a 32-bit sum
    PRODUCTS32 = "32-bit products"  # any order, 32-bit lanes
    IN_ORDER32 = "32-bit in order"  # rounding and saturation after every product, 32-bit lanes
    PRODUCTS64 = "64-bit products"
    IN_ORDER64 = "64-bit in order"
    FLOAT = "float32 lanes"
    PLAIN = "plain"  # one operation after the other, on a 64-bit carrier or in float32


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """What the analysis says of one layer (numbered from 1): its best path and why nothing faster is proven."""

    layer: int
    path: Path
    reason: str
    sum_bits: int  # bits of the largest partial sum of products, sign included; 0 where it was not needed


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """The path of the whole network, which is that of its slowest layer, and what each layer would allow.

    hidden_low, hidden_high: range of hidden states that the proof relies on, raw, per layer; an initial state
    outside it takes the plain path.
    """

    path: Path
    layers: tuple[LayerPlan, ...]
    hidden_ranges: tuple[tuple[int, int], ...]

    @property
    def reason(self) -> str:
        """Why nothing faster is taken."""
        slowest = [plan for plan in self.layers if plan.path is self.path]
        return f"layer {slowest[0].layer}: {slowest[0].reason}" if slowest else ""


_ORDER = list(Path)
_LANES_32 = (Path.PAIRS, Path.PRODUCTS32, Path.IN_ORDER32)


@dataclass(frozen=True, slots=True)
class CodeTables:
    """sigmoid and tanh for every raw integer of state_t, tanh for every one of cell_t; indexed by the low bits."""

    sigmoid: Integers
    tanh: Integers
    tanh_of_cell: Integers


def code_tables(model: QuantisedModel) -> CodeTables:
    """Return the activations of all raw integers; for formats of at most 16 bits."""
    _, state, _, kept = fixed_formats(model.config)
    rules, tables = activation_rules(model.config), joined_tables(model)
    conversions = layer_conversions(model.config)
    of_state, of_cell = conversions[cell.GATE_EXACT_TO_STATE], conversions[cell.CELL_EXACT_TO_STATE]

    def tabulate(function: int, number: FixedFormat, rule: Integers, to_state: Integers) -> Integers:
        codes = np.arange(1 << number.width_bits, dtype=np.int64)
        values = np.where(codes > number.raw_max, codes - (1 << number.width_bits), codes)
        out = np.empty_like(values)
        activate_array(function, values, tables[function], rule, to_state, out)
        return out

    return CodeTables(
        tabulate(activation.SIGMOID, state, rules[0], of_state),
        tabulate(activation.TANH, state, rules[0], of_state),
        tabulate(activation.TANH, kept, rules[1], of_cell),
    )


def make_plan(model: QuantisedModel, *, pairs: bool = True, force: Path | None = None) -> SimulationPlan:
    """Return the fastest path that is proven equal to the plain one.

    Args:
        pairs: whether the processor multiplies 16-bit pairs (AVX2).
        force: take this path instead, where it is proven too; PLAIN always is.
    """
    if model.config.is_float:
        path = force if force is Path.PLAIN else Path.FLOAT
        plans = tuple(LayerPlan(n + 1, path, "single precision, in order", 0) for n in range(len(model.layers)))
        return SimulationPlan(path, plans, tuple((0, 0) for _ in model.layers))
    return _Analysis(model, pairs=pairs, force=force).plan()


class _Analysis:
    """Bit growth through the layers of a fixed-point model."""

    def __init__(self, model: QuantisedModel, *, pairs: bool, force: Path | None) -> None:
        self.model, self.pairs, self.force = model, pairs, force
        self.weight, self.state, self.accumulator, self.cell = fixed_formats(model.config)
        self.product_fraction = self.weight.fractional_bits + self.state.fractional_bits
        self.gain = self.accumulator.fractional_bits - self.product_fraction
        self.narrow = all(_fits(number, 16) for number in (self.weight, self.state, self.cell))
        self.obstacle_32 = self._elementwise_obstacle() if self.narrow else "weights, state or cell exceed 16 bits"

    def plan(self) -> SimulationPlan:
        """Return the plan."""
        values = (self.state.raw_min, self.state.raw_max)
        plans: list[LayerPlan] = []
        ranges: list[tuple[int, int]] = []
        hidden = self._hidden_range()
        for number, (layer, kept) in enumerate(zip(self.model.network.layers, self.model.layers, strict=True), 1):
            if isinstance(layer, LstmLayer):
                assert isinstance(kept, tuple)
                plans.append(self._layer(number, kept, values, hidden))
                values = hidden
            elif isinstance(kept, QuantisedDense):
                plans.append(self._layer(number, (kept,), values, None))
                values = (self.state.raw_min, self.state.raw_max)
            elif isinstance(layer, ReshapeLayer):
                plans.append(LayerPlan(number, _ORDER[0], "", 0))
            else:
                assert isinstance(layer, RepeatLayer)
            ranges.append(hidden)
        slowest = max((_ORDER.index(plan.path) for plan in plans), default=_ORDER.index(Path.PLAIN))
        path = _ORDER[slowest]
        if self.force is not None:
            path = self._forced(path)
        return SimulationPlan(path, tuple(plans), tuple(ranges))

    def _forced(self, path: Path) -> Path:
        assert self.force is not None
        return self.force if _ORDER.index(self.force) >= _ORDER.index(path) and self._allows(self.force) else path

    def _allows(self, path: Path) -> bool:
        """Tell whether a slower path than the best is open: each in-order path stands on its own."""
        if path is Path.PLAIN:
            return True
        if path is Path.IN_ORDER32:
            return not self._in_order_obstacle(32)
        if path in (Path.IN_ORDER64, Path.PRODUCTS64):
            return not self._in_order_obstacle(64) and (path is Path.IN_ORDER64 or self.gain >= 0)
        return path is Path.PRODUCTS32

    def _layer(
        self,
        number: int,
        passes: tuple[QuantisedPass | QuantisedDense, ...],
        inputs: tuple[int, int],
        hidden: tuple[int, int] | None,
    ) -> LayerPlan:
        plans = [self._rows(number, one.weights, one.biases, inputs, hidden) for one in passes]
        return max(plans, key=lambda plan: _ORDER.index(plan.path))

    def _rows(
        self, number: int, weights: Integers, biases: Integers, inputs: tuple[int, int], hidden: tuple[int, int] | None
    ) -> LayerPlan:
        reasons = []
        low, high = self._sum_range(weights, biases, inputs, hidden)
        bits = max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1
        obstacle = self._associative_obstacle(biases, low, high)
        if not obstacle:
            if self._wraps(32) or (bits <= 32 and self._stays(low, high)):
                if not self.obstacle_32 and not self._state_obstacle(bits if bits <= 32 else 32):
                    path = Path.PAIRS if self.pairs else Path.PRODUCTS32
                    why = "no partial sum can leave the accumulator" if not self._wraps(32) else "the sum is modular"
                    return LayerPlan(number, path, f"products enter the sum whole and {why}", bits)
                reasons.append(self.obstacle_32 or self._state_obstacle(min(bits, 32)))
            else:
                reasons.append(f"the sum needs {bits} bits")
        else:
            reasons.append(obstacle)
        narrow = self._in_order_obstacle(32)
        if obstacle and not narrow:
            return LayerPlan(number, Path.IN_ORDER32, "; ".join(reasons), bits)
        wide = self._in_order_obstacle(64)
        reasons += [reason for reason in (narrow if obstacle else "", wide) if reason]
        if not wide and not obstacle and (bits <= 62 or self._wraps(64)):
            return LayerPlan(number, Path.PRODUCTS64, "; ".join(reasons), bits)
        return LayerPlan(number, Path.PLAIN if wide else Path.IN_ORDER64, "; ".join(reasons), bits)

    def _sum_range(
        self, weights: Integers, biases: Integers, inputs: tuple[int, int], hidden: tuple[int, int] | None
    ) -> tuple[int, int]:
        """Return bounds of every partial sum, in any order, with the fractional bits of a product."""
        units = weights.shape[-2] if hidden is not None else 0
        largest = max(abs(self.state.raw_min), self.state.raw_max) * max(abs(self.weight.raw_min), self.weight.raw_max)
        if largest * (weights.shape[-1] + 1) >= 1 << 62:
            bound = largest * (weights.shape[-1] + 1)
            return -bound, bound
        lows = np.full(weights.shape[-1], min(inputs[0], 0), np.int64)
        highs = np.full(weights.shape[-1], max(inputs[1], 0), np.int64)
        if hidden is not None:
            lows[:units], highs[:units] = min(hidden[0], 0), max(hidden[1], 0)
        first, second = weights * lows, weights * highs
        # Every single product counts at its worst; a partial sum can hold any of them.
        tops = np.maximum(np.maximum(first, second), 0).sum(axis=-1)
        bottoms = np.minimum(np.minimum(first, second), 0).sum(axis=-1)
        aligned = _shifted(accumulator_biases(self.model.config, biases), -self.gain)
        high = int((tops + np.maximum(aligned, 0)).max())
        low = int((bottoms + np.minimum(aligned, 0)).min())
        return low, high

    def _associative_obstacle(self, biases: Integers, low: int, high: int) -> str:
        """Return why the order or the width of a sum matters, or nothing."""
        if self.gain < 0:
            return f"each product loses {-self.gain} bits on its way into the accumulator"
        if self.gain > 40:
            return "the accumulator is far finer than a product"
        aligned = accumulator_biases(self.model.config, biases)
        if (aligned & ((1 << self.gain) - 1)).any():
            return "biases are finer than products"
        if self._wraps(64) or self._stays(low, high):
            return ""
        return f"a sum may leave the range of {self.accumulator}"

    def _stays(self, low: int, high: int) -> bool:
        """Tell whether sums between these bounds never overflow the accumulator."""
        symmetric = self.accumulator.overflow is Overflow.SAT_SYM and self.accumulator.signed
        floor = -self.accumulator.raw_max if symmetric else self.accumulator.raw_min
        return floor <= low << self.gain and high << self.gain <= self.accumulator.raw_max

    def _wraps(self, carrier_bits: int) -> bool:
        """Tell whether the accumulator is modular and a carrier of so many bits holds all of its bits."""
        modular = self.accumulator.overflow is Overflow.WRAP and not self.accumulator.saturation_bits
        carried = self.accumulator.width_bits + (not self.accumulator.signed)
        return modular and carried - max(self.gain, 0) <= carrier_bits

    def _in_order_obstacle(self, carrier_bits: int) -> str:
        """Return why sums in order do not fit lanes of 32 or 64 bits, or nothing."""
        if self.accumulator.saturation_bits:
            return "saturated bits of a wrapping accumulator"
        if carrier_bits == 32 and self.obstacle_32:
            return self.obstacle_32
        operand = 16 if carrier_bits == 32 else 32
        if not (_fits(self.weight, operand) and _fits(self.state, operand)):
            return f"weights or state exceed {operand} bits"
        if self.accumulator.raw_max.bit_length() + 1 > carrier_bits - 1 and not self._is_full_wrap(carrier_bits):
            return f"a sum of {self.accumulator} exceeds {carrier_bits} bits"
        product = self.weight.width_bits + self.state.width_bits
        modular = self.accumulator.overflow is Overflow.WRAP
        if not modular and product + max(self.gain, 0) > carrier_bits:
            return f"a product aligned with the accumulator exceeds {carrier_bits} bits"
        if abs(self.gain) > carrier_bits - 4:
            return "the accumulator's binary point is too far from that of a product"
        return self._state_obstacle(carrier_bits, in_order=True) if carrier_bits == 32 else ""

    def _is_full_wrap(self, carrier_bits: int) -> bool:
        plain = self.accumulator.overflow is Overflow.WRAP and self.accumulator.signed
        return plain and self.accumulator.width_bits == carrier_bits

    def _state_obstacle(self, bits: int, *, in_order: bool = False) -> str:
        """Return why a 32-bit sum cannot be assigned to state_t on 32 bits, or nothing."""
        fraction = self.accumulator.fractional_bits if in_order else self.product_fraction
        carried = self.accumulator.width_bits + 1 if in_order else bits
        return _shift_obstacle(fraction - self.state.fractional_bits, carried, self.state, "a sum")

    def _elementwise_obstacle(self) -> str:
        """Return why gates and states do not fit 32 bits, or nothing."""
        if self.state.saturation_bits or self.cell.saturation_bits:
            return "saturated bits of a wrapping state or cell"
        tables = code_tables(self.model)
        gate, squashed = _largest(tables.sigmoid), max(_largest(tables.tanh), _largest(tables.tanh_of_cell))
        kept = max(abs(self.cell.raw_min), self.cell.raw_max)
        left, right = (int(shift) for shift in cell_alignment(self.model.config))
        total = (gate * kept << left) + (gate * squashed << right)
        common = self.state.fractional_bits + max(self.state.fractional_bits, self.cell.fractional_bits)
        if total >= 1 << 31:
            return f"f*c + i*g needs {total.bit_length() + 1} bits"
        return _shift_obstacle(
            common - self.cell.fractional_bits, total.bit_length() + 1, self.cell, "f*c + i*g"
        ) or _shift_obstacle(self.state.fractional_bits, (gate * squashed).bit_length() + 1, self.state, "o*tanh(c)")

    def _hidden_range(self) -> tuple[int, int]:
        """Return bounds of a hidden state: those of o * tanh(c), where they stay in state_t, and zero."""
        full = (self.state.raw_min, self.state.raw_max)
        if not self.narrow:
            return full
        tables = code_tables(self.model)
        gates = (int(tables.sigmoid.min()), int(tables.sigmoid.max()))
        squashed = (int(tables.tanh_of_cell.min()), int(tables.tanh_of_cell.max()))
        corners = np.array([gate * value for gate in gates for value in squashed], np.int64)
        step = layer_conversions(self.model.config)[cell.PRODUCT_TO_STATE].copy()
        step[fixed.LOW], step[fixed.HIGH] = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        out = np.empty_like(corners)
        fixed.assign_array(corners, step, out)
        low, high = min(int(out.min()), 0), max(int(out.max()), 0)
        return (low, high) if full[0] < low and high <= full[1] else full


def _fits(number: FixedFormat, bits: int) -> bool:
    return number.width_bits + (not number.signed) <= bits


def _largest(values: NDArray[np.int64]) -> int:
    return int(np.abs(values).max())


def _shifted(values: Integers, shift: int) -> Integers:
    return values << shift if shift >= 0 else -((-values) >> -shift)


def _shift_obstacle(drop: int, bits: int, target: FixedFormat, what: str) -> str:
    if drop > 30:
        return f"{what} loses {drop} bits at once"
    modular = target.overflow is Overflow.WRAP and not target.saturation_bits
    if drop < 0 and not (modular and drop > -31) and bits - drop > 32:
        return f"{what} aligned with {target} exceeds 32 bits"
    return ""

"""The kernel's arithmetic in plain Python integers: slow, exact, and sharing no code with the simulator.

Written from docs/arithmetic.md. Formats are read through their public fields only.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Value = tuple[int, int]  # raw integer, fractional bits


def assign(raw: int, fraction: int, number: Any, source: Any = None) -> int:
    """Return raw * 2**-fraction as the raw integer of an ap_fixed format; source: the format of the same-type copy."""
    if source is not None and source == number:
        return raw
    dropped = fraction - number.fractional_bits
    whole = raw << -dropped if dropped <= 0 else _rounded(raw, dropped, number.quantization.value)
    return _limited(whole, number)


def _rounded(raw: int, dropped: int, mode: str) -> int:
    floor = raw >> dropped
    rest = raw - (floor << dropped)
    half = 1 << (dropped - 1)
    if mode == "AP_TRN":
        return floor
    if mode == "AP_TRN_ZERO":
        return floor + (1 if raw < 0 and rest else 0)
    if rest != half:
        return floor + (1 if rest > half else 0)
    ties = {
        "AP_RND": 1,
        "AP_RND_MIN_INF": 0,
        "AP_RND_ZERO": int(raw < 0),
        "AP_RND_INF": int(raw >= 0),
        "AP_RND_CONV": floor & 1,
    }
    return floor + ties[mode]


def _limited(whole: int, number: Any) -> int:
    width, signed, mode, count = number.width_bits, number.signed, number.overflow.value, number.saturation_bits
    low = -(1 << (width - 1)) if signed else 0
    high = (1 << (width - 1)) - 1 if signed else (1 << width) - 1
    if mode == "AP_SAT":
        return min(max(whole, low), high)
    if mode == "AP_SAT_SYM":
        return min(max(whole, -high if signed and width > 1 else low), high)
    if low <= whole <= high:
        return whole
    if mode == "AP_SAT_ZERO":
        return 0
    bits = whole % (1 << width)
    if count:
        bits %= 1 << (width - count)
        if not signed:
            return bits + (((1 << count) - 1) << (width - count))
        sign = whole < 0
        return bits - (1 << (width - 1)) if sign else bits + (((1 << (count - 1)) - 1) << (width - count))
    return bits - (1 << width) if signed and bits >> (width - 1) else bits


def from_float(value: float, number: Any) -> int:
    """Return the raw integer of a finite float."""
    exact = Fraction(value)
    shift = exact.denominator.bit_length() - 1
    return assign(exact.numerator, shift, number)


class Kernel:
    """One quantised model, run sample by sample."""

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, model.config
        self.state, self.cell = self.config.state_format, self.config.cell_format
        self.weight, self.accumulator = self.config.weight_format, self.config.accumulator_format

    def run(self, sample: list[list[int]]) -> tuple[list[list[int]], list[Any]]:
        """Return outputs [T][features] in io_t and the hidden and cell states of every pass, by time step."""
        io = self.config.io_format
        values = [[assign(v, io.fractional_bits, self.state, io) for v in row] for row in sample]
        states = []
        for layer, kept in zip(self.model.network.layers, self.model.layers, strict=True):
            if isinstance(kept, tuple):
                outputs = [self._pass(one, values) for one in kept]
                states += outputs
                last = [-1 if not one.reverse else 0 for one in kept]
                if layer.return_sequences:
                    values = [[v for out in outputs for v in out[0][t]] for t in range(len(values))]
                else:
                    values = [[v for out, t in zip(outputs, last, strict=True) for v in out[0][t]]]
            elif kept is not None:
                values = [self._dense(kept, row) for row in values]
            elif hasattr(layer, "count"):
                values = values * layer.count
            else:
                flat = [v for row in values for v in row]
                values = [flat[i : i + layer.features] for i in range(0, len(flat), layer.features)]
        fraction = self.state.fractional_bits
        return [[assign(v, fraction, io, self.state) for v in row] for row in values], states

    def _row(self, weights: Any, bias: int, values: list[int]) -> int:
        number = self.accumulator
        total = assign(bias, self.weight.fractional_bits, number, self.weight)
        for weight, value in zip(weights, values, strict=True):
            product = assign(int(weight) * value, self.weight.fractional_bits + self.state.fractional_bits, number)
            total = assign(total + product, number.fractional_bits, number)
        return assign(total, number.fractional_bits, self.state, number)

    def _pass(self, one: Any, values: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
        units = one.biases.shape[1]
        hidden, cell = [0] * units, [0] * units
        steps = range(len(values) - 1, -1, -1) if one.reverse else range(len(values))
        hidden_at, cell_at = [[0]] * len(values), [[0]] * len(values)
        for step in steps:
            joined = hidden + values[step]
            rows = [
                [self._row(one.weights[g, u], int(one.biases[g, u]), joined) for u in range(units)] for g in range(4)
            ]
            gates = [
                [self._activate("tanh" if g == 2 else "sigmoid", z, self.state) for z in rows[g]] for g in range(4)
            ]
            fraction, kept = self.state.fractional_bits, self.cell.fractional_bits
            common = fraction + max(fraction, kept)
            for u in range(units):
                total = (gates[1][u] * cell[u] << (common - fraction - kept)) + (
                    gates[0][u] * gates[2][u] << (common - 2 * fraction)
                )
                cell[u] = assign(total, common, self.cell)
                squashed = self._activate("tanh", cell[u], self.cell)
                hidden[u] = assign(gates[3][u] * squashed, 2 * fraction, self.state)
            hidden, cell = list(hidden), list(cell)
            hidden_at[step], cell_at[step] = list(hidden), list(cell)
        return hidden_at, cell_at

    def _dense(self, kept: Any, row: list[int]) -> list[int]:
        values = [self._row(weights, int(bias), row) for weights, bias in zip(kept.weights, kept.biases, strict=True)]
        if kept.activation == "relu":
            return [max(v, 0) for v in values]
        if kept.activation in ("sigmoid", "tanh"):
            return [self._activate(kept.activation, v, self.state) for v in values]
        return values

    def _activate(self, function: str, raw: int, number: Any) -> int:
        config = self.config
        z = Fraction(raw) / Fraction(2) ** number.fractional_bits
        if config.activation in ("table", "interpolated"):
            return self._look_up(function, z)
        y = _plan(function, z) if config.activation == "plan" else _piecewise(function, z)
        return assign(y.numerator, y.denominator.bit_length() - 1, self.state)

    def _look_up(self, function: str, z: Fraction) -> int:
        config = self.config
        table = [int(v) for v in getattr(self.model.tables, function)]
        size = config.activation_table_size
        position = z * size / (2 * config.activation_range)
        index = position.numerator // position.denominator
        place = index + size // 2
        if config.activation == "table":
            return table[min(max(place, 0), size - 1)]
        if place < 0:
            return table[0]
        if place >= size:
            return table[size]
        line = (table[place + 1] - table[place]) * (position - index)
        return table[place] + line.numerator // line.denominator


def _plan(function: str, z: Fraction) -> Fraction:
    if function == "tanh":
        return 2 * _plan("sigmoid", 2 * z) - 1
    size = abs(z)
    if size >= 5:
        y = Fraction(1)
    elif size >= Fraction("2.375"):
        y = size / 32 + Fraction("0.84375")
    elif size >= 1:
        y = size / 8 + Fraction("0.625")
    else:
        y = size / 4 + Fraction("0.5")
    return 1 - y if z < 0 else y


def _piecewise(function: str, z: Fraction) -> Fraction:
    if function == "tanh":
        return min(max(z, Fraction(-1)), Fraction(1))
    return min(max(z / 4 + Fraction(1, 2), Fraction(0)), Fraction(1))

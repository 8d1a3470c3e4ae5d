"""The kernel's arithmetic in fxpmath objects: a second reference, for the modes that fxpmath has.

Written from docs/arithmetic.md. Products and sums grow to their exact width, as fxpmath's "optimal" sizes do; an
assignment is a new Fxp like the one of the target's format. Samples and units run side by side in arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fxpmath import Fxp

from lstmsim.fxp import to_fxp


class Kernel:
    """One quantised model of LSTM and dense layers, forward, run on raw inputs [batch, timesteps, features]."""

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, model.config
        names = ("weight", "state", "cell", "accumulator", "io")
        zero = np.zeros(1, np.int64)
        self.like = {name: to_fxp(zero, getattr(self.config, f"{name}_format")) for name in names}

    def run(self, raw: np.ndarray) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Return outputs in io_t and the last hidden and cell state of every LSTM layer, raw."""
        inputs = to_fxp(raw, self.config.io_format)
        values = [self._assign(inputs[:, step], "state") for step in range(raw.shape[1])]
        states = []
        for layer, kept in zip(self.model.network.layers, self.model.layers, strict=True):
            if isinstance(kept, tuple):
                values, hidden, cell = self._pass(kept[0], values)
                states.append((_raw(hidden), _raw(cell)))
                values = values if layer.return_sequences else [hidden]
            else:
                values = [self._dense(kept, step) for step in values]
        return np.stack([_raw(self._assign(step, "io")) for step in values], axis=1), states

    def _assign(self, value: Any, name: str) -> Any:
        return Fxp(value, like=self.like[name])

    def _rows(self, weights: np.ndarray, biases: np.ndarray, values: list[Any]) -> Any:
        """Return rows [samples, units] in state_t; values: one Fxp [samples, 1] a column."""
        samples = len(values[0].val)
        number = self.config.weight_format
        total = self._assign(to_fxp(np.tile(biases, (samples, 1)), number), "accumulator")
        for column, value in enumerate(values):
            product = self._assign(to_fxp(weights[None, :, column], number) * value, "accumulator")
            total = self._assign(total + product, "accumulator")
        return self._assign(total, "state")

    def _pass(self, one: Any, values: list[Any]) -> tuple[list[Any], Any, Any]:
        units, samples = one.biases.shape[1], len(values[0].val)
        nothing = np.zeros((samples, units), np.int64)
        hidden, cell = to_fxp(nothing, self.config.state_format), to_fxp(nothing, self.config.cell_format)
        outputs = []
        for value in values:
            joined = _columns(hidden) + _columns(value)
            rows = [self._rows(one.weights[gate], one.biases[gate], joined) for gate in range(4)]
            entry, forget, candidate, output = (
                self._activate("tanh" if gate == 2 else "sigmoid", row) for gate, row in enumerate(rows)
            )
            cell = self._assign(forget * cell + entry * candidate, "cell")
            hidden = self._assign(output * self._activate("tanh", cell), "state")
            outputs.append(hidden)
        return outputs, hidden, cell

    def _dense(self, kept: Any, value: Any) -> Any:
        row = self._rows(kept.weights, kept.biases, _columns(value))
        return self._activate(kept.activation, row) if kept.activation in ("sigmoid", "tanh") else row

    def _activate(self, function: str, value: Any) -> Any:
        """Floats of at most 53 bits are exact here, and fxpmath assigns them."""
        z, config = value.get_val(), self.config
        if config.activation == "table":
            size = config.activation_table_size
            index = np.floor(z * (size / (2 * config.activation_range))).astype(int) + size // 2
            table = np.asarray(getattr(self.model.tables, function))
            return to_fxp(table[np.clip(index, 0, size - 1)], config.state_format)
        exact = np.clip(z, -1, 1) if function == "tanh" else np.clip(z / 4 + 0.5, 0, 1)
        return self._assign(exact, "state")


def _columns(value: Any) -> list[Any]:
    return [value[:, column : column + 1] for column in range(value.val.shape[1])]


def _raw(value: Any) -> np.ndarray:
    return np.asarray(value.val).astype(np.int64)

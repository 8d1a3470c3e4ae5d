"""What happens inside a run: ranges, overflows and quantisation error, layer by layer and gate by gate.

A trace runs the plain engine, which records every value; ordinary runs pay nothing for it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim import engine
from lstmsim.core import cell as counted
from lstmsim.engine import PassRecord
from lstmsim.fixedpoint import FixedFormat, Overflow
from lstmsim.model import GATES, Array, DenseWeights, LstmWeights, Model, check_inputs
from lstmsim.network import DenseLayer, LstmLayer
from lstmsim.quantise import (
    QuantisedModel,
    Raw,
    float_from_raw,
    inputs_to_state,
    interface_to_float,
    quantise_inputs,
    quantise_model,
    state_to_outputs,
)
from lstmsim.simulate import host_outputs


@dataclass(frozen=True, slots=True)
class SignalTrace:
    """One signal of one pass of a layer (layers count from 1, passes from 0).

    signal: a gate after its activation, "cell", "hidden" or "output" (dense). low, high: smallest and largest value.
    product_overflows, sum_overflows, value_overflows: shares of assignments out of range, to the accumulator (a
    product, a sum) and to the signal's own format. value_saturations: the part of value_overflows that a saturating
    mode clamped (the rest wrapped or became zero). rms_error, largest_error: against float64 throughout.
    """

    layer: int
    pass_number: int
    signal: str
    low: float
    high: float
    product_overflows: float
    sum_overflows: float
    value_overflows: float
    value_saturations: float
    rms_error: float
    largest_error: float


@dataclass(frozen=True, slots=True)
class Trace:
    """A run with all that happened inside. outputs: float64 [batch, T, features]."""

    outputs: Array
    signals: tuple[SignalTrace, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the signals as plain values."""
        return {"signals": [asdict(signal) for signal in self.signals]}


def trace(model: Model, config: Any, inputs: NDArray[np.floating]) -> Trace:
    """Run a model on inputs [batch, timesteps, features] and tell what happened inside.

    Raises: as `simulate`.
    """
    quantised = quantise_model(model, config)
    raw = quantise_inputs(model.network, config, inputs)
    values = inputs_to_state(config, raw)
    start = engine.zero_state(quantised, len(values))
    after, _, records = engine.run_layers(quantised, values, start, record=True, count=not config.is_float)
    outputs = interface_to_float(config, state_to_outputs(config, after))
    exact = check_inputs(model.network, inputs)
    signals: list[SignalTrace] = []
    for number, (stage, weights, made) in enumerate(zip(model.network.stages, model.weights, records, strict=True), 1):
        if isinstance(stage.layer, LstmLayer):
            assert isinstance(weights, tuple)
            exact = _lstm_signals(quantised, number, stage.layer, weights, made, exact, signals)
        elif isinstance(stage.layer, DenseLayer):
            assert isinstance(weights, DenseWeights)
            exact = _dense(stage.layer, weights, exact)
            signals.append(_signal(quantised, number, 0, "output", made[0].hidden, exact, made[0].counts))
        else:
            exact = engine.reshaped(stage, exact)
    return Trace(host_outputs(model.network, outputs), tuple(signals))


def _lstm_signals(
    model: QuantisedModel,
    number: int,
    layer: LstmLayer,
    weights: tuple[LstmWeights, ...],
    records: tuple[PassRecord, ...],
    exact: Array,
    signals: list[SignalTrace],
) -> Array:
    outputs = []
    for index, (one, record) in enumerate(zip(weights, records, strict=True)):
        reverse = layer.direction == "reverse" or index == 1
        gates, cell, hidden = _exact_pass(one, exact, reverse=reverse)
        for gate, name in enumerate(GATES):
            counts = record.counts[gate : gate + 1]
            signals.append(_signal(model, number, index, name, record.gates[:, :, gate], gates[:, :, gate], counts))
        signals.append(_signal(model, number, index, "cell", record.cell, cell, record.counts[4:5]))
        signals.append(_signal(model, number, index, "hidden", record.hidden, hidden, record.counts[5:6]))
        last = hidden[:, :1] if reverse else hidden[:, -1:]
        outputs.append(hidden if layer.return_sequences else last)
    return np.concatenate(outputs, axis=2)


def _signal(
    model: QuantisedModel, layer: int, number: int, name: str, raw: Raw, exact: Array, counts: NDArray[np.int64]
) -> SignalTrace:
    config = model.config
    kind = config.cell_format if name == "cell" else config.state_format
    values = float_from_raw(kind, raw) if isinstance(kind, FixedFormat) else raw.astype(np.float64)
    error = np.abs(values - exact)
    tally = counts[0] if len(counts) else np.zeros(counted.COUNT_FIELDS, np.int64)
    beyond = _share(tally[counted.VALUES_OUT], tally[counted.VALUES])
    clamps = isinstance(kind, FixedFormat) and kind.overflow in (Overflow.SAT, Overflow.SAT_SYM)
    return SignalTrace(
        layer=layer,
        pass_number=number,
        signal=name,
        low=float(values.min()),
        high=float(values.max()),
        product_overflows=_share(tally[counted.PRODUCTS_OUT], tally[counted.PRODUCTS]),
        sum_overflows=_share(tally[counted.SUMS_OUT], tally[counted.SUMS]),
        value_overflows=beyond,
        value_saturations=beyond if clamps else 0.0,
        rms_error=float(np.sqrt(np.mean(error**2))),
        largest_error=float(error.max()),
    )


def _share(part: np.int64, whole: np.int64) -> float:
    return float(part) / float(whole) if whole else 0.0


def _exact_pass(weights: LstmWeights, values: Array, *, reverse: bool) -> tuple[Array, Array, Array]:
    """Return gates [batch, T, 4, units], cell and hidden [batch, T, units] in float64."""
    batch, steps, _ = values.shape
    units = weights.bias.shape[1]
    gates = np.empty((batch, steps, 4, units))
    cell, hidden = np.empty((batch, steps, units)), np.empty((batch, steps, units))
    state, kept = np.zeros((batch, units)), np.zeros((batch, units))
    for step in range(steps - 1, -1, -1) if reverse else range(steps):
        sums = np.einsum("gui,bi->bgu", weights.kernel, values[:, step])
        sums += np.einsum("guh,bh->bgu", weights.recurrent, state) + weights.bias
        active = 0.5 + 0.5 * np.tanh(0.5 * sums)
        active[:, 2] = np.tanh(sums[:, 2])
        kept = active[:, 1] * kept + active[:, 0] * active[:, 2]
        state = active[:, 3] * np.tanh(kept)
        gates[:, step], cell[:, step], hidden[:, step] = active, kept, state
    return gates, cell, hidden


def _dense(layer: DenseLayer, weights: DenseWeights, values: Array) -> Array:
    sums: Array = values @ weights.kernel.T + weights.bias
    match layer.activation:
        case "relu":
            return np.maximum(sums, 0.0)
        case "sigmoid":
            squashed: Array = 0.5 + 0.5 * np.tanh(0.5 * sums)
            return squashed
        case "tanh":
            return np.tanh(sums)
    return sums

"""The bits that the kernel computes: quantised once, run on data of any size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstmsim import engine
from lstmsim.config import KernelConfig
from lstmsim.engine import LayerRecord, PassState, State
from lstmsim.errors import ModelFormatError
from lstmsim.model import Array, Model
from lstmsim.network import DenseLayer, Network
from lstmsim.quantise import (
    QuantisedModel,
    Raw,
    inputs_to_state,
    interface_to_float,
    quantise_inputs,
    quantise_model,
    state_to_outputs,
)


@dataclass(frozen=True, slots=True)
class RawRun:
    """What one run of the kernel gives, raw.

    outputs: [batch, T, features] in io_t (float32 with a float interface); state: after the last step, one entry a
    layer and pass; records: one entry a layer and pass where `record` was asked for, else empty.
    """

    outputs: Raw
    state: State
    records: tuple[LayerRecord, ...]


def run_raw(
    model: QuantisedModel,
    inputs: Raw,
    *,
    initial_state: State | None = None,
    record: bool = False,
    threads: int = 1,
) -> RawRun:
    """Run a quantised model on interface values [batch, timesteps, features] and return interface values.

    Args:
        model: from `quantise_model`.
        inputs: raw io_t integers, or float32 with a float interface; `quantise_inputs` makes them.
        initial_state: state of an earlier run (`RawRun.state`); zero where None.
        record: keep every gate, cell and hidden value of every layer; the plain engine runs then.
        threads: samples are shared between so many threads.

    Raises:
        ModelFormatError: inputs or a state of the wrong shape.
    """
    _check_raw(model.network, inputs)
    values = inputs_to_state(model.config, inputs)
    state = _checked_state(model, initial_state, len(values))
    outputs, after, records = engine.run_layers(model, values, state, record=record, count=False)
    return RawRun(state_to_outputs(model.config, outputs), after, records)


def simulate(
    model: Model,
    config: KernelConfig,
    inputs: NDArray[np.floating],
    *,
    initial_state: State | None = None,
    return_state: bool = False,
    threads: int = 1,
) -> Array | tuple[Array, State]:
    """Return what the kernel of this configuration returns, as float64 [batch, T, features].

    Args:
        model: network and weights.
        config: formats and activation; the knobs of parallelism change nothing here.
        inputs: [batch, timesteps, features], or one sample without its batch axis.
        initial_state: state of an earlier call with `return_state`, to go on with a longer sequence.
        return_state: return (outputs, state).
        threads: samples are shared between so many threads.

    Raises:
        ConfigError: a format that cannot hold a bias or whose intermediates exceed the 64-bit carrier.
        ModelFormatError: inputs of the wrong shape, a NaN or an infinity.
    """
    quantised = quantise_model(model, config)
    raw = quantise_inputs(model.network, config, inputs)
    run = run_raw(quantised, raw, initial_state=initial_state, threads=threads)
    outputs = host_outputs(model.network, interface_to_float(config, run.outputs))
    return (outputs, run.state) if return_state else outputs


def host_outputs(network: Network, outputs: Array) -> Array:
    """Return outputs after what the host computes: a softmax of the last layer."""
    last = network.layers[-1]
    if not (isinstance(last, DenseLayer) and last.activation == "softmax"):
        return outputs
    shifted = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    result: Array = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def _check_raw(network: Network, inputs: Raw) -> None:
    if inputs.ndim != 3 or inputs.shape[1:] != (network.timesteps, network.features):
        raise ModelFormatError(
            f"inputs of shape {list(inputs.shape)} do not fit network {network.name!r}: "
            f"[batch, {network.timesteps}, {network.features}] is needed"
        )


def _checked_state(model: QuantisedModel, state: State | None, batch: int) -> State:
    start = engine.zero_state(model, batch)
    if state is None:
        return start
    wanted, given = _shapes(start), _shapes(state)
    if wanted != given:
        raise ModelFormatError(f"the initial state has shapes {given}, but this network and batch need {wanted}")
    return state


def _shapes(state: State) -> list[list[tuple[tuple[int, ...], tuple[int, ...]]]]:
    return [[(one.hidden.shape, one.cell.shape) for one in layer] for layer in state]


__all__ = ["PassState", "RawRun", "State", "run_raw", "simulate"]

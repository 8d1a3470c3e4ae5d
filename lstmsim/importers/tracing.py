"""Which layers a graph of tensor operations amounts to.

A graph is run on numbers that say where values come from instead of on values. A `Frame` is the output of one of our
layers, [batch, timesteps, features]; a `Traced` tensor holds, for each element, the position in its frame of the value
that stands there. Transposing, slicing, repeating and reshaping move these positions as they would move values, and
where a layer reads the tensor the pattern tells what happened in between: nothing, a reshape, a repeat, the last step
only, or time turned round. A pattern that none of our layers makes is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import ModelFormatError
from lstmsim.importers.chain import Blueprint, Chain, Fetch, dense_activation
from lstmsim.importers.frames import Frame, MixedSamples, Positions, Step, Traced
from lstmsim.model import DenseWeights, LayerWeights, LstmWeights
from lstmsim.network import DenseActivation, DenseLayer, LstmLayer, RepeatLayer, ReshapeLayer


def start(timesteps: int, features: int, batch: int) -> Traced:
    """Return the network's input as [batch, timesteps, features]."""
    frame = Frame(None, timesteps, features)
    return Traced(frame, frame.positions(batch))


def lstm(
    given: Traced, layer: LstmLayer, weights: tuple[LstmWeights, ...], batch: int, where: str
) -> tuple[Traced, Traced]:
    """Append an LSTM that reads [batch, timesteps, features].

    Returns:
        The sequences [batch, timesteps, passes, units] and the last states [batch, passes, units].
    """
    pattern = _sample_pattern(given.positions, given.frame.values, where)
    pattern, columns = _in_order(pattern, given.frame)
    weights = tuple(replace(one, kernel=one.kernel[:, :, columns]) for one in weights)
    frame, turned = _match(given.claim(where), pattern, where)
    if turned:
        layer, weights = _turn(layer, weights)
    found = Frame(layer, frame.timesteps, layer.passes * layer.units, frame, weights, where)
    positions = found.positions(batch).reshape(batch, found.timesteps, layer.passes, layer.units)
    last = found.positions(1).reshape(-1)[_last_step(found)]
    states = last + np.arange(batch, dtype=np.int64)[:, None] * found.values
    states = states.reshape(batch, layer.passes, layer.units)
    if turned:
        positions, states = positions[:, ::-1, ::-1], states[:, ::-1]
    return Traced(found, positions), Traced(found, states)


def _turn(layer: LstmLayer, weights: tuple[LstmWeights, ...]) -> tuple[LstmLayer, tuple[LstmWeights, ...]]:
    """The layer that does on a sequence what this one does on the sequence turned round."""
    if layer.direction == "bidirectional":
        return layer, weights[::-1]
    return replace(layer, direction="forward" if layer.direction == "reverse" else "reverse"), weights


def dense(given: Traced, kernel: NDArray[np.float64], batch: int, where: str) -> Traced:
    """Append a dense layer, kernel [units, inputs], without bias or activation, along the tensor's last axis."""
    units = len(kernel)
    shape = given.positions.shape[:-1]
    rows, columns = _in_order(given.positions.reshape(-1, given.positions.shape[-1]), given.frame)
    kernel = kernel[:, columns]
    step = given.taken("dense", kernel, where) if given.age < len(given.frame.history) else None
    steps = _whole_steps(given.frame, rows)
    if steps is not None:
        if step is None:
            step = Step("dense", kernel, _dense_frame(given.frame, kernel, where))
            given.stepped(step)
        assert step.result is not None
        positions = steps[:, None] * units + np.arange(units, dtype=np.int64)
        return Traced(step.result, positions.reshape(*shape, units))
    view, order = _by_sample(rows, given.frame.values, batch, where)
    pattern = _sample_pattern(view, given.frame.values, where)
    frame, turned = _match(given.claim(where), pattern, where)
    found = _dense_frame(frame, kernel, where)
    positions = np.empty((len(rows), units), dtype=np.int64)
    positions[order] = found.positions(batch)[:, :: -1 if turned else 1].reshape(-1, units)
    return Traced(found, positions.reshape(*shape, units))


def _dense_frame(frame: Frame, kernel: NDArray[np.float64], where: str) -> Frame:
    weights = DenseWeights(kernel, np.zeros(len(kernel)))
    return Frame(DenseLayer(units=len(kernel)), frame.timesteps, len(kernel), frame, weights, where)


def _by_sample(rows: Positions, values: int, batch: int, where: str) -> tuple[Positions, Positions]:
    """Rows as [batch, rows of a sample, ...] in their order, and the places that they had."""
    sample = rows[:, 0] // values
    order = np.argsort(sample, kind="stable")
    if len(rows) % batch or (sample[order] != np.repeat(np.arange(batch), len(rows) // batch)).any():
        raise MixedSamples(f"{where}: it reads several samples of the batch as one")
    return rows[order].reshape(batch, -1, rows.shape[1]), order


def add_bias(given: Traced, values: NDArray[np.float64], where: str) -> Traced:
    """Add a constant to a dense layer that has no activation yet.

    Raises:
        ModelFormatError: another layer, or not one value for each unit.
    """
    frame = given.frame
    activated = isinstance(frame.layer, DenseLayer) and any(
        step.kind in get_args(DenseActivation) for step in frame.history[: given.age]
    )
    if not isinstance(frame.layer, DenseLayer) or activated:
        raise ModelFormatError(f"{where}: a constant is added to {frame.where}: supported after a dense layer only")
    assert isinstance(frame.weights, DenseWeights)
    units = given.positions % frame.features
    bias = np.full(frame.features, np.nan)
    try:
        spread = np.broadcast_to(values, units.shape)
    except ValueError:
        raise ModelFormatError(f"{where}: a constant of shape {list(values.shape)} is no bias") from None
    bias[units] = spread
    if not np.array_equal(bias[units], spread) or np.isnan(bias).any():
        raise ModelFormatError(f"{where}: the constant added is not one value for each of {frame.features} units")
    if given.taken("bias", bias, where) is None:
        frame.weights = DenseWeights(frame.weights.kernel, frame.weights.bias + bias)
    return given.stepped(Step("bias", bias, None))


def activate(given: Traced, name: str, axis: int, where: str) -> Traced:
    """Give a dense layer its activation; softmax needs the axis of its units.

    Raises:
        ModelFormatError: another layer, or a softmax over something else.
    """
    frame = given.frame
    again = isinstance(frame.layer, DenseLayer) and given.taken(name, None, where) is not None
    if not isinstance(frame.layer, DenseLayer) or (frame.layer.activation != "linear" and not again):
        raise ModelFormatError(f"{where}: {name} on {frame.where}: supported after a dense layer only")
    if name == "softmax":
        rows = np.moveaxis(given.positions, axis, -1)
        whole = rows[..., :1] // frame.features * frame.features + np.arange(frame.features)
        if rows.shape[-1] != frame.features or (rows != whole).any():
            raise ModelFormatError(f"{where}: softmax along axis {axis} is not over the units of {frame.where}")
    frame.layer = replace(frame.layer, activation=dense_activation(name, where))
    return given.stepped(Step(name, None, None))


def finish(given: Traced, name: str, batch: int) -> Blueprint:
    """Return the network whose output is this tensor.

    Raises:
        ModelFormatError: the output holds other values than a layer's, or in another order.
    """
    where = "the output"
    shape = given.positions.shape
    if not given.positions.size:
        raise ModelFormatError(f"{where} is empty")
    view, _ = _by_sample(given.positions.reshape(-1, 1), given.frame.values, batch, where)
    axes = list(shape)
    if batch in axes:
        axes.remove(batch)
    steps = axes[0] if len(axes) > 1 else 1
    pattern = _sample_pattern(view.reshape(batch, steps, -1), given.frame.values, where)
    frame, turned = _match(given.claim(where), pattern, where)
    if turned and not _unturn(frame):
        raise ModelFormatError("the model returns its time steps last to first: turn them round, or return the last")
    return _blueprint(frame, name)


def _blueprint(frame: Frame, name: str) -> Blueprint:
    frames: list[Frame] = []
    while frame.parent is not None:
        frames.append(frame)
        frame = frame.parent
    chain = Chain(name, frame.timesteps, frame.features)
    for found in reversed(frames):
        assert found.layer is not None
        weights = found.weights
        chain.add(found.layer, found.where, None if weights is None else _constant(weights))
    return chain.blueprint()


def _constant(weights: LayerWeights) -> Fetch:
    return lambda: weights


def _sample_pattern(view: Positions, values: int, where: str) -> Positions:
    """What a layer reads of every sample, as positions in the sample; view: [batch, timesteps, features]."""
    offsets = np.arange(len(view), dtype=np.int64)[:, None, None] * values
    local: Positions = view - offsets
    if local.size == 0 or local.min() < 0 or local.max() >= values or (local != local[:1]).any():
        raise MixedSamples(f"{where}: it reads several samples of the batch as one")
    pattern: Positions = local[0]
    return pattern


def _in_order(rows: Positions, frame: Frame) -> tuple[Positions, Positions]:
    """Rows with their columns sorted, and the columns' order, where that makes each row a run of whole steps.

    A layer may read its inputs in any order if its kernel's columns follow.
    """
    columns = np.argsort(rows[0], kind="stable")
    ordered = rows[:, columns]
    starts = ordered[:, :1]
    if not (starts % frame.features).any() and np.array_equal(ordered, starts + np.arange(rows.shape[1])):
        return ordered, columns
    return rows, np.arange(rows.shape[1])


def _whole_steps(frame: Frame, rows: Positions) -> Positions | None:
    """Which step of which sample each row is (sample * timesteps + step), each once; else None."""
    if rows.shape[1] != frame.features:
        return None
    steps: Positions = rows[:, 0] // frame.features
    whole = steps[:, None] * frame.features + np.arange(frame.features)
    return steps if np.array_equal(rows, whole) and len(np.unique(steps)) == len(steps) else None


def _match(frame: Frame, pattern: Positions, where: str) -> tuple[Frame, bool]:
    """Append what turns the frame into the pattern, [timesteps, features]; true where time is turned round."""
    everything = np.arange(frame.values, dtype=np.int64)
    shape = (int(pattern.shape[0]), int(pattern.shape[1]))
    if shape == (frame.timesteps, frame.features):
        if np.array_equal(pattern.reshape(-1), everything):
            return frame, False
        if np.array_equal(pattern[::-1].reshape(-1), everything):
            return frame, True
    if pattern.size == frame.values and np.array_equal(pattern.reshape(-1), everything):
        return Frame(ReshapeLayer(timesteps=shape[0], features=shape[1]), *shape, frame, where=where), False
    if shape[0] > 1 and (pattern == pattern[:1]).all():
        single, _ = _match(frame, pattern[:1], where)
        return Frame(RepeatLayer(count=shape[0]), *shape, single, where=where), False
    if _keeps_last_step(frame, pattern):
        _shrink(frame)
        return _match(frame, np.arange(frame.features, dtype=np.int64).reshape(shape), where)
    for size in {frame.features, frame.values}:
        times = pattern.size // size
        part = pattern.reshape(-1)[:size]
        if times > 1 and np.array_equal(pattern.reshape(-1), np.tile(part, times)):
            single, _ = _match(frame, part[None], where)
            repeated = Frame(RepeatLayer(count=times), times, size, single, where=where)
            return Frame(ReshapeLayer(timesteps=shape[0], features=shape[1]), *shape, repeated, where=where), False
    raise ModelFormatError(f"{where}: {_complaint(frame, pattern)}")


def _unturn(frame: Frame) -> bool:
    """Turn the time of the layers back to a repeated step round, if there is one: it is the same both ways."""
    turned: list[Frame] = []
    step: Frame | None = frame
    while step is not None and isinstance(step.layer, LstmLayer | DenseLayer):
        if isinstance(step.layer, LstmLayer):
            if not step.layer.return_sequences or step.layer.direction == "bidirectional":
                return False
            turned.append(step)
        step = step.parent
    if step is None or not isinstance(step.layer, RepeatLayer):
        return False
    for found in turned:
        assert isinstance(found.layer, LstmLayer)
        found.layer, _ = _turn(found.layer, ())
    return True


def _source_lstm(frame: Frame) -> Frame | None:
    """The LSTM below dense layers that work step by step."""
    while isinstance(frame.layer, DenseLayer) and frame.parent is not None:
        frame = frame.parent
    return frame if isinstance(frame.layer, LstmLayer) and frame.layer.return_sequences else None


def _last_step(frame: Frame) -> Positions:
    """The positions of the last state of each pass of an LSTM: its last step forwards, its first backwards."""
    assert isinstance(frame.layer, LstmLayer)
    units = frame.layer.units
    ends = {"forward": (-1,), "reverse": (0,), "bidirectional": (-1, 0)}[frame.layer.direction]
    steps = np.arange(frame.values, dtype=np.int64).reshape(frame.timesteps, frame.features)
    parts: list[Positions] = [steps[end, number * units : (number + 1) * units] for number, end in enumerate(ends)]
    return np.concatenate(parts)


def _keeps_last_step(frame: Frame, pattern: Positions) -> bool:
    source = _source_lstm(frame)
    if source is None or pattern.size != frame.features:
        return False
    if source is frame:
        return np.array_equal(pattern.reshape(-1), _last_step(frame))
    end = {"forward": frame.timesteps - 1, "reverse": 0, "bidirectional": None}[_direction(source)]
    if end is None:
        return False
    return np.array_equal(pattern.reshape(-1), end * frame.features + np.arange(frame.features))


def _direction(frame: Frame) -> str:
    assert isinstance(frame.layer, LstmLayer)
    return frame.layer.direction


def _shrink(frame: Frame) -> None:
    """Let the LSTM below return its last step only."""
    source = _source_lstm(frame)
    assert source is not None
    assert isinstance(source.layer, LstmLayer)
    step: Frame | None = frame
    while step is not None and step is not source.parent:
        step.timesteps = 1
        step = step.parent
    source.layer = replace(source.layer, return_sequences=False)


def _complaint(frame: Frame, pattern: Positions) -> str:
    steps = np.unique(pattern // frame.features)
    if len(steps) == 1 and pattern.size == frame.features and frame.timesteps > 1:
        source = _source_lstm(frame)
        if source is not None and _direction(source) == "bidirectional":
            return (
                f"it takes step {steps[0] + 1} of both directions of {frame.where}: "
                "supported are all steps, or the last state of each direction (h_n)"
            )
        return f"it takes step {steps[0] + 1} of {frame.timesteps} of {frame.where}: supported are all, or the last"
    return (
        f"it reads the output of {frame.where} in an order that no supported layer makes "
        "(supported: all steps, the last step, reshape row by row, repeat one step, time turned round)"
    )

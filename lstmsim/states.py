"""State of a kernel, between [batch, units] arrays and the blocks that `core.lanes` keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lstmsim.engine import PassState, State, zero_state
from lstmsim.errors import ModelFormatError
from lstmsim.fixedpoint import FixedFormat, NumberFormat
from lstmsim.quantise import QuantisedModel, Raw

if TYPE_CHECKING:
    from lstmsim.program import Program


def checked_state(model: QuantisedModel, state: State | None, batch: int) -> State:
    """Return the state that a run starts with, in the kernel's own types; zero where None.

    Raises:
        ModelFormatError: another structure or shape, values out of range, a NaN or an infinity.
    """
    start = zero_state(model, batch)
    if state is None:
        return start
    try:
        wanted, given = _shapes(start), _shapes(state)
    except (TypeError, AttributeError):
        raise ModelFormatError(
            "the initial state is not one that an earlier run returned: take it from return_state"
        ) from None
    if wanted != given:
        raise ModelFormatError(f"the initial state has shapes {given}, but this network and batch need {wanted}")
    config = model.config
    return tuple(
        tuple(
            PassState(
                _checked_values(one.hidden, config.state_format, "hidden"),
                _checked_values(one.cell, config.cell_format, "cell"),
            )
            for one in layer
        )
        for layer in state
    )


def _shapes(state: State) -> list[list[tuple[tuple[int, ...], tuple[int, ...]]]]:
    return [[(one.hidden.shape, one.cell.shape) for one in layer] for layer in state]


def _checked_values(values: Raw, number: NumberFormat, which: str) -> Raw:
    if isinstance(number, FixedFormat):
        if values.dtype.kind not in "iu":
            raise ModelFormatError(
                f"the {which} state is of type {values.dtype}: raw integers of {number} are needed, "
                "as an earlier run returned them"
            )
        if values.size and not number.raw_min <= int(values.min()) <= int(values.max()) <= number.raw_max:
            raise ModelFormatError(
                f"the {which} state {values.min()}..{values.max()} is outside {number.raw_min}..{number.raw_max}, "
                f"the raw integers of {number}"
            )
        return values.astype(np.int64, copy=False)
    if values.dtype.kind != "f":
        raise ModelFormatError(f"the {which} state of a float kernel is of type {values.dtype}: float32 is needed")
    single = values.astype(np.float32, copy=False)
    if not np.isfinite(single).all():
        raise ModelFormatError(f"the {which} state holds NaN or infinity: start from another one")
    return single


def pack_state(program: Program, state: State, first: int, last: int, hidden: Raw, cells: Raw) -> None:
    """Fill hidden and cells [blocks, ...] with the state of samples first to last."""
    width, blocks = program.lanes, len(hidden)
    for layer, places in zip(state, program.states, strict=True):
        for one, place in zip(layer, places, strict=True):
            rows = _in_blocks(one.hidden[first:last], blocks, width)
            if program.paired:
                rows = _paired(rows)
            size = rows.shape[1] * width
            hidden[:, place.hidden : place.hidden + size] = rows.reshape(blocks, size)
            rows = _in_blocks(one.cell[first:last], blocks, width)
            cells[:, place.cell : place.cell + rows[0].size] = rows.reshape(blocks, -1)


def unpack_state(program: Program, samples: int, hidden: Raw, cells: Raw) -> State:
    """Return the state that hidden and cells [blocks, ...] hold."""
    kind = hidden.dtype if hidden.dtype == np.float32 else np.dtype(np.int64)
    width, blocks = program.lanes, len(hidden)
    layers = []
    for places in program.states:
        passes = []
        for place in places:
            columns = (place.units + 1) // 2 if program.paired else place.units
            rows = hidden[:, place.hidden : place.hidden + columns * width].reshape(blocks, columns, width)
            if program.paired:
                rows = _unpaired(rows)[:, : place.units]
            kept = cells[:, place.cell : place.cell + place.units * width].reshape(blocks, place.units, width)
            passes.append(PassState(_in_samples(rows, samples).astype(kind), _in_samples(kept, samples).astype(kind)))
        layers.append(tuple(passes))
    return tuple(layers)


def _in_blocks(values: Raw, blocks: int, width: int) -> Raw:
    """[samples, units] to [blocks, units, width], zero-filled."""
    full = np.zeros((blocks * width, values.shape[1]), values.dtype)
    full[: len(values)] = values
    return full.reshape(blocks, width, -1).swapaxes(1, 2)


def _in_samples(rows: Raw, samples: int) -> Raw:
    blocks, units, width = rows.shape
    return rows.swapaxes(1, 2).reshape(blocks * width, units)[:samples]


def _paired(rows: Raw) -> Raw:
    """[blocks, units, width] to elements of two 16-bit columns."""
    even = np.zeros((rows.shape[0], rows.shape[1] + (rows.shape[1] & 1), rows.shape[2]), np.int64)
    even[:, : rows.shape[1]] = rows
    joined = (even[:, 0::2] & 0xFFFF) | (even[:, 1::2] << 16)
    return joined.astype(np.int32)


def _unpaired(rows: Raw) -> Raw:
    low, high = rows.astype(np.int16), rows >> 16
    return np.stack([low.astype(np.int64), high.astype(np.int64)], axis=2).reshape(len(rows), -1, rows.shape[2])

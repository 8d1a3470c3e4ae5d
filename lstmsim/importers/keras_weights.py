"""Arrays of Keras layers in our layout, and where HDF5 files keep them.

Keras has the gates in the order input, forget, candidate, output, side by side: kernel [inputs, 4 units],
recurrent kernel [units, 4 units], bias [4 units] (or [8 units] in CuDNNLSTM, two halves to add).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import ModelFormatError
from lstmsim.importers.chain import refuse
from lstmsim.importers.keras_config import Leaf, flag, inner_lstm, size
from lstmsim.model import DenseWeights, LstmWeights

Arrays = Sequence[Any]  # numpy arrays, or HDF5 datasets that are read when their shape is right
Read = Callable[[Any], NDArray[Any]]


def lstm_weights(arrays: Arrays, inputs: int, leaf: Leaf, part: str) -> LstmWeights:
    """Return one pass's weights.

    Raises:
        ModelFormatError: another number of arrays, or wrong shapes.
    """
    config = inner_lstm(leaf, part)
    units = size(config, "units", leaf.where)
    bias = flag(config, "use_bias", leaf.where, default=True)
    if len(arrays) != 2 + bias:
        raise refuse(leaf.where, f"it has {len(arrays)} arrays of weights", f"{2 + bias} are needed")
    kernel = _checked(arrays[0], [(inputs, 4 * units)], leaf.where)
    recurrent = _checked(arrays[1], [(units, 4 * units)], leaf.where)
    offset = _checked(arrays[2], [(4 * units,), (8 * units,)], leaf.where) if bias else np.zeros(4 * units)
    return LstmWeights(
        kernel=np.ascontiguousarray(kernel.T).reshape(4, units, inputs),
        recurrent=np.ascontiguousarray(recurrent.T).reshape(4, units, units),
        bias=offset.reshape(-1, 4, units).sum(axis=0),
    )


def dense_weights(arrays: Arrays, inputs: int, units: int, bias: bool, where: str) -> DenseWeights:
    """Return a dense layer's weights; errors as in `lstm_weights`."""
    if len(arrays) != 1 + bias:
        raise refuse(where, f"it has {len(arrays)} arrays of weights", f"{1 + bias} are needed")
    kernel = _checked(arrays[0], [(inputs, units)], where)
    offset = _checked(arrays[1], [(units,)], where) if bias else np.zeros(units)
    return DenseWeights(kernel=np.ascontiguousarray(kernel.T), bias=offset)


def _checked(array: Any, shapes: list[tuple[int, ...]], where: str) -> NDArray[np.float64]:
    """The array in float64. The shape is checked before a byte is read: a file may declare any."""
    if tuple(array.shape) not in shapes:
        raise refuse(where, f"weights of shape {list(array.shape)}", f"{list(shapes[0])} is needed")
    values: NDArray[Any] = np.asarray(array[...])
    if values.dtype.kind not in "fiu":
        raise ModelFormatError(f"{where}: weights of type {values.dtype} are not numbers")
    return values.astype(np.float64)

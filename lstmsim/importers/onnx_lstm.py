"""The ONNX operator LSTM.

W [directions, 4 units, inputs], R [directions, 4 units, units] and B [directions, 8 units] (Wb, then Rb: they add) hold
the gates in the order input, output, forget, candidate (https://onnx.ai/onnx/operators/onnx__LSTM.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import ModelFormatError
from lstmsim.importers.frames import Joined, Traced
from lstmsim.importers.tracing import lstm
from lstmsim.model import LstmWeights
from lstmsim.network import Direction, LstmLayer

if TYPE_CHECKING:
    from lstmsim.importers.onnx_nodes import Environment

OUR_ORDER = [0, 2, 3, 1]
Layout = Literal[0, 1]


def run_lstm(node: Any, environment: Environment) -> list[Any]:
    """Append an LSTM; return Y, Y_h and a Y_c that nothing may read.

    Raises:
        ModelFormatError: an option that changes the mathematics, or a tensor that does not fit.
    """
    from lstmsim.importers.onnx_nodes import Unusable, attributes, label

    where = label(node)
    options = attributes(node)
    given = environment.get(node, 0)
    if not isinstance(given, Traced) or given.positions.ndim != 3:
        raise ModelFormatError(f"{where}: its input must be the network's values, with three axes")
    direction = _text(options.get("direction", "forward"))
    if direction not in get_args(Direction):
        raise ModelFormatError(f"{where}: direction {direction!r} is unknown")
    passes = 2 if direction == "bidirectional" else 1
    _refuse_options(options, passes, where)
    batch_first = options.get("layout", 0) == 1
    sequence = given if batch_first else given.moved(given.positions.swapaxes(0, 1))
    _refuse_inputs(node, environment, int(sequence.positions.shape[1]), where)
    weights = _weights(node, environment, passes, int(sequence.positions.shape[2]), where)
    units = weights[0].bias.shape[1]
    if options.get("hidden_size", units) != units:
        raise ModelFormatError(f"{where}: hidden_size {options['hidden_size']} does not fit weights of {units} units")
    layer = LstmLayer(units=units, direction=cast(Direction, direction))
    outputs, states = lstm(sequence, layer, weights, environment.batch, where)
    if not batch_first:
        outputs = outputs.moved(outputs.positions.transpose(1, 2, 0, 3))
        states = states.moved(states.positions.swapaxes(0, 1))
    return [outputs, states, Unusable(f"the cell state of {where}")]


def _refuse_options(options: dict[str, Any], passes: int, where: str) -> None:
    """Refuse attributes other than the plain LSTM's."""
    found = [_text(name).lower() for name in options.get("activations", [])]
    if found and found != ["sigmoid", "tanh", "tanh"] * passes:
        raise ModelFormatError(f"{where}: activations {found} are not supported: sigmoid, tanh, tanh are")
    if options.get("clip"):
        raise ModelFormatError(f"{where}: clip = {options['clip']} is not supported: export it without")
    if options.get("input_forget"):
        raise ModelFormatError(f"{where}: input_forget = 1 (coupled gates) is not supported")
    if options.get("layout", 0) not in get_args(Layout):
        raise ModelFormatError(f"{where}: layout {options['layout']} is unknown")


def _refuse_inputs(node: Any, environment: Environment, timesteps: int, where: str) -> None:
    """Refuse sequence lengths, initial states and peepholes, unless they change nothing."""
    lengths = environment.constant(node, 4)
    if lengths is not None and (lengths != timesteps).any():
        raise ModelFormatError(f"{where}: sequence lengths other than {timesteps} are not supported")
    for index, what in ((5, "initial hidden state"), (6, "initial cell state")):
        if isinstance(environment.get(node, index), Traced | Joined):
            raise ModelFormatError(f"{where}: its {what} is computed by another layer: only zero is supported")
    for index, what in ((5, "initial hidden state"), (6, "initial cell state"), (7, "peephole weights")):
        value = environment.constant(node, index)
        if value is not None and value.any():
            raise ModelFormatError(f"{where}: {what} other than zero are not supported")


def _weights(node: Any, environment: Environment, passes: int, inputs: int, where: str) -> tuple[LstmWeights, ...]:
    kernel, recurrent, bias = (environment.constant(node, index) for index in (1, 2, 3))
    if kernel is None or recurrent is None or recurrent.ndim != 3 or kernel.ndim != 3:
        raise ModelFormatError(f"{where}: constant weights W and R with three axes are needed")
    units = int(recurrent.shape[2])
    wanted = {"W": (passes, 4 * units, inputs), "R": (passes, 4 * units, units), "B": (passes, 8 * units)}
    for name, array in (("W", kernel), ("R", recurrent), ("B", bias)):
        if array is not None and array.shape != wanted[name]:
            raise ModelFormatError(f"{where}: {name} has shape {list(array.shape)}, {list(wanted[name])} is needed")
    offset = np.zeros((passes, 8 * units)) if bias is None else bias
    return tuple(
        LstmWeights(
            _gates(kernel[number], units, inputs),
            _gates(recurrent[number], units, units),
            offset[number].astype(np.float64).reshape(2, 4, units).sum(axis=0)[OUR_ORDER],
        )
        for number in range(passes)
    )


def _gates(array: NDArray[Any], units: int, inputs: int) -> NDArray[np.float64]:
    return array.astype(np.float64).reshape(4, units, inputs)[OUR_ORDER]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

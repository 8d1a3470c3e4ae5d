"""The ONNX operators that exporters of LSTM networks emit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import LstmsimError, ModelFormatError
from lstmsim.importers.frames import ELEMENT_LIMIT, Joined, Traced, joined
from lstmsim.importers.onnx_lstm import run_lstm
from lstmsim.importers.tracing import activate, add_bias, dense

Value: TypeAlias = "Traced | Joined | NDArray[Any] | Unusable"

MOVERS = {
    "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "Split", "Expand", "Tile",
    "ReverseSequence", "Concat",
}  # fmt: skip
FOLDED = MOVERS | {
    "Constant", "ConstantOfShape", "Shape", "Size", "Cast", "CastLike", "Range", "Add", "Sub", "Mul", "Div", "Mod",
    "Neg", "Abs", "Min", "Max", "Floor", "Ceil", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not",
    "And", "Or", "Where", "ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin", "GatherND", "ScatterND", "OneHot",
    "Sign", "EyeLike", "MatMul", "NonZero",
}  # fmt: skip
SUPPORTED = (
    "supported: LSTM, Gemm, MatMul, Add of a bias, Relu, Sigmoid, Tanh, Softmax, Dropout, Transpose, Reshape, Squeeze, "
    "Unsqueeze, Flatten, Slice, Gather, Split, Concat, Expand, Tile, Identity, Cast"
)
DEPTH_LIMIT = 8


@dataclass(frozen=True, slots=True)
class Unusable:
    """A value that the graph may compute, but no layer may read."""

    what: str


@dataclass(slots=True)
class Environment:
    """The values known while a graph runs; `batch` samples run through it."""

    batch: int
    opset: int
    values: dict[str, Any]
    depth: int = 0

    def get(self, node: Any, index: int) -> Value | None:
        """Return an input's value, None where it is left out.

        Raises:
            ModelFormatError: no node computed it.
        """
        if index >= len(node.input) or not node.input[index]:
            return None
        name = node.input[index]
        if name not in self.values:
            raise ModelFormatError(f"{label(node)}: its input {name!r} is not computed by any node")
        value: Value = self.values[name]
        if isinstance(value, Unusable):
            raise ModelFormatError(f"{label(node)}: it reads {value.what}, which is not supported")
        return value

    def constant(self, node: Any, index: int) -> NDArray[Any] | None:
        """Return a constant input, None where it is left out.

        Raises:
            ModelFormatError: it depends on the network's input.
        """
        value = self.get(node, index)
        if isinstance(value, Traced | Joined):
            raise ModelFormatError(f"{label(node)}: its input {node.input[index]!r} must be constant")
        assert not isinstance(value, Unusable)
        return value


def label(node: Any) -> str:
    """Return how messages name a node."""
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    return f"node {node.name or (node.output[0] if node.output else '?')!r}, operator {domain}{node.op_type}"


def run_nodes(nodes: Iterable[Any], environment: Environment) -> None:
    """Run nodes in order.

    Raises:
        ModelFormatError: an operator, or a use of it, that is not supported.
    """
    for node in nodes:
        try:
            results = _run(node, environment)
        except LstmsimError:
            raise
        except Exception as problem:  # numpy and the reference operators raise many types on wrong shapes
            raise ModelFormatError(f"{label(node)}: {type(problem).__name__}: {problem}") from None
        environment.values.update({name: value for name, value in zip(node.output, results, strict=False) if name})


def _run(node: Any, environment: Environment) -> list[Any]:
    if node.domain not in ("", "ai.onnx"):
        raise ModelFormatError(f"{label(node)} is not supported ({SUPPORTED})")
    if node.op_type == "If":
        return _run_if(node, environment)
    if node.op_type == "LSTM":
        return run_lstm(node, environment)
    inputs = [environment.get(node, index) for index in range(len(node.input))]
    traced = [value for value in inputs if isinstance(value, Traced | Joined)]
    if not traced:
        if node.op_type in FOLDED:
            return _evaluate(node, environment, inputs)
    elif node.op_type in MOVERS:
        return _move(node, environment, inputs, traced)
    elif node.op_type in HANDLERS and not any(isinstance(value, Joined) for value in traced):
        return [HANDLERS[node.op_type](node, environment)]
    if any(isinstance(value, Joined) for value in traced):
        raise ModelFormatError(f"{label(node)}: it reads several layers: one straight chain is supported")
    raise ModelFormatError(f"{label(node)} is not supported ({SUPPORTED})")


def _evaluate(node: Any, environment: Environment, inputs: list[Any]) -> list[Any]:
    """Compute a node on arrays with the reference operators of the onnx package."""
    from onnx import TypeProto, helper
    from onnx.reference import ReferenceEvaluator

    _check_growth(node, inputs)
    feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
    values = [helper.make_value_info(name, TypeProto()) for name in feeds]
    outputs = [name for name in node.output if name]
    graph = helper.make_graph([node], "one", values, [helper.make_value_info(name, TypeProto()) for name in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", environment.opset)])
    results = dict(zip(outputs, ReferenceEvaluator(model).run(None, feeds), strict=True))
    arrays = [np.asarray(results[name]) if name else None for name in node.output]
    if any(array is not None and array.size > ELEMENT_LIMIT for array in arrays):
        raise ModelFormatError(f"{label(node)}: its result has more than {ELEMENT_LIMIT:,} values, the limit")
    return arrays


def _check_growth(node: Any, inputs: list[Any]) -> None:
    """Refuse a result that is too large before it is made."""
    product = 0.0
    match node.op_type:
        case "ConstantOfShape":
            product = float(np.prod(inputs[0].astype(np.float64)))
        case "Expand":
            product = float(np.prod(inputs[1].astype(np.float64))) * max(1, inputs[0].size)
        case "Tile":
            product = float(np.prod(inputs[1].astype(np.float64))) * inputs[0].size
        case "Gather":
            product = float(inputs[1].size) * inputs[0].size / max(1, min(inputs[0].shape, default=1))
        case "Range":
            start, limit, delta = (float(value) for value in inputs)
            product = abs((limit - start) / delta) if delta else 0.0
        case "OneHot":
            product = float(inputs[0].size) * float(inputs[1].max())
        case "Add" | "Sub" | "Mul" | "Div" | "Where" | "Equal":
            product = float(np.prod([float(s) for s in np.broadcast_shapes(*(value.shape for value in inputs))]))
        case "MatMul":
            product = float(inputs[0].size) * inputs[1].shape[-1]
    if product > ELEMENT_LIMIT:
        raise ModelFormatError(f"{label(node)}: its result has {product:.3g} values: {ELEMENT_LIMIT:,} is the limit")


def _move(node: Any, environment: Environment, inputs: list[Any], traced: list[Traced | Joined]) -> list[Any]:
    """Move positions as the operator moves values."""
    movable = inputs if node.op_type == "Concat" else inputs[:1]
    if len(traced) != len(movable) or any(not isinstance(value, Traced | Joined) for value in movable):
        raise ModelFormatError(f"{label(node)}: it mixes the network's values with constants")
    parts, positions = joined(traced)
    results = _evaluate(node, environment, [*positions, *inputs[len(movable) :]])
    whole = Joined(parts, positions[0])
    return [None if array is None else whole.moved(array) for array in results]


def _run_if(node: Any, environment: Environment) -> list[Any]:
    """Run the branch that a constant condition chooses."""
    condition = environment.constant(node, 0)
    if condition is None or environment.depth >= DEPTH_LIMIT:
        raise ModelFormatError(f"{label(node)} is not supported")
    wanted = "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"
    branch = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
    from onnx import numpy_helper

    inner = Environment(environment.batch, environment.opset, dict(environment.values), environment.depth + 1)
    inner.values.update({tensor.name: numpy_helper.to_array(tensor) for tensor in branch.initializer})
    run_nodes(branch.node, inner)
    return [inner.values[value.name] for value in branch.output]


def attributes(node: Any) -> dict[str, Any]:
    """Return a node's attributes as Python values."""
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _traced(node: Any, environment: Environment, index: int = 0) -> Traced:
    value = environment.get(node, index)
    if not isinstance(value, Traced):
        raise ModelFormatError(f"{label(node)}: a constant is used where the network's values are needed ({SUPPORTED})")
    return value


def _matrix(node: Any, environment: Environment, index: int) -> NDArray[np.float64]:
    value = environment.constant(node, index)
    if value is None or value.ndim != 2 or value.dtype.kind != "f":
        raise ModelFormatError(f"{label(node)}: a constant matrix of numbers is needed as input {index + 1}")
    return value.astype(np.float64)


def _matmul(node: Any, environment: Environment) -> Traced:
    kernel = _matrix(node, environment, 1)
    return _dense(node, environment, _traced(node, environment), kernel.T)


def _gemm(node: Any, environment: Environment) -> Traced:
    options = attributes(node)
    if options.get("transA", 0):
        raise ModelFormatError(f"{label(node)}: transA = 1 is not supported")
    kernel = _matrix(node, environment, 1)
    kernel = kernel if options.get("transB", 0) else kernel.T
    result = _dense(node, environment, _traced(node, environment), options.get("alpha", 1.0) * kernel)
    bias = environment.constant(node, 2)
    if bias is None:
        return result
    return add_bias(result, options.get("beta", 1.0) * bias.astype(np.float64), label(node))


def _dense(node: Any, environment: Environment, given: Traced, kernel: NDArray[np.float64]) -> Traced:
    if given.positions.ndim < 2 or given.positions.shape[-1] != kernel.shape[1]:
        raise ModelFormatError(
            f"{label(node)}: values of shape {list(given.positions.shape)} do not fit {kernel.shape[1]} inputs"
        )
    return dense(given, np.ascontiguousarray(kernel), environment.batch, label(node))


def _add(node: Any, environment: Environment) -> Traced:
    values = [environment.get(node, index) for index in (0, 1)]
    given = next(value for value in values if isinstance(value, Traced))
    other = next((value for value in values if not isinstance(value, Traced)), None)
    if not isinstance(other, np.ndarray):
        raise ModelFormatError(f"{label(node)}: it adds the outputs of two layers: one straight chain is supported")
    return add_bias(given, other.astype(np.float64), label(node))


def _activation(node: Any, environment: Environment) -> Traced:
    return activate(_traced(node, environment), node.op_type.lower(), -1, label(node))


def _softmax(node: Any, environment: Environment) -> Traced:
    given = _traced(node, environment)
    rank = given.positions.ndim
    axis = int(attributes(node).get("axis", -1 if environment.opset >= 13 else 1)) % rank
    if environment.opset < 13 and axis != rank - 1:
        raise ModelFormatError(f"{label(node)}: softmax over several axes is not supported")
    return activate(given, "softmax", axis, label(node))


def _dropout(node: Any, environment: Environment) -> Traced:
    training = environment.constant(node, 2)
    if training is not None and bool(training):
        raise ModelFormatError(f"{label(node)}: it is in training mode: export the model for inference")
    return _traced(node, environment)


def _cast(node: Any, environment: Environment) -> Traced:
    from onnx import TensorProto

    if attributes(node).get("to", TensorProto.FLOAT) not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        raise ModelFormatError(
            f"{label(node)}: the network's values are made {attributes(node)['to']}: keep them float"
        )
    return _traced(node, environment)


def _shape(node: Any, environment: Environment) -> NDArray[Any]:
    array = _traced(node, environment).positions
    options = attributes(node)
    return np.asarray(array.shape[options.get("start", 0) : options.get("end")], dtype=np.int64)


def _size(node: Any, environment: Environment) -> NDArray[Any]:
    return np.asarray(_traced(node, environment).positions.size, dtype=np.int64)


HANDLERS: dict[str, Callable[[Any, Environment], Any]] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Add": _add,
    "Relu": _activation,
    "Sigmoid": _activation,
    "Tanh": _activation,
    "Softmax": _softmax,
    "Dropout": _dropout,
    "Cast": _cast,
    "CastLike": _cast,
    "Shape": _shape,
    "Size": _size,
}

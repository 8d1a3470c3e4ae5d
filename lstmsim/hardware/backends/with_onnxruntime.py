"""ONNX Runtime. The graph is time-major inside, as ONNX's LSTM operator wants it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import HardwareError, MissingExtra
from lstmsim.hardware.backends import Job, Runner
from lstmsim.model import LayerWeights, LstmWeights, Model
from lstmsim.network import DenseLayer, LstmLayer, RepeatLayer, ReshapeLayer, Stage

OPSET = 17
IR_VERSION = 8  # that of OPSET: an older runtime refuses a newer file
ONNX_GATES = [0, 3, 1, 2]  # input, output, forget, cell, in terms of ours: input, forget, candidate, output
PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


def build(job: Job) -> Runner:
    """Return the network as an ONNX Runtime session."""
    runtime = _runtime()
    provider = PROVIDERS[job.target]
    if provider not in runtime.get_available_providers():
        raise HardwareError(f"onnxruntime has no {provider}: install onnxruntime-gpu, or use --device cpu")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if job.threads:
        options.intra_op_num_threads = job.threads
        options.inter_op_num_threads = job.threads
    graph = onnx_model(job.model, len(job.inputs))
    session = runtime.InferenceSession(graph, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise HardwareError(f"onnxruntime could not start {provider} and fell back to {session.get_providers()[0]}")

    def run() -> Any:
        return session.run(None, {"inputs": job.inputs})[0]

    return Runner(run=run, library=f"onnxruntime {runtime.__version__}")


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx", "timing with onnxruntime") from None
    return onnxruntime


def onnx_model(model: Model, batch: int) -> bytes:
    """Return the model as a serialized ONNX graph: float32 [batch, timesteps, features] in and out."""
    try:
        import onnx
    except ImportError:
        raise MissingExtra("onnx", "onnx", "timing with onnxruntime") from None
    network = model.network
    graph = _Graph(onnx)
    name = graph.add("Transpose", ["inputs"], perm=[1, 0, 2])
    for stage, weights in zip(network.stages, model.weights, strict=True):
        name = _layer(graph, stage, weights, name, batch)
    graph.add("Transpose", [name], output="outputs", perm=[1, 0, 2])
    value, single = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    built = onnx.helper.make_graph(
        graph.nodes,
        "lstmsim",
        [value("inputs", single, [batch, network.timesteps, network.features])],
        [value("outputs", single, [batch, network.output.timesteps, network.output.features])],
        graph.constants,
    )
    versions = [onnx.helper.make_opsetid("", OPSET)]
    serialized: bytes = onnx.helper.make_model(built, opset_imports=versions, ir_version=IR_VERSION).SerializeToString()
    return serialized


class _Graph:
    """Nodes and constants, with names made up on the way."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        name = output or f"value{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(operator, inputs, [name], **attributes))
        return name

    def add_lstm(self, inputs: list[str], **attributes: Any) -> tuple[str, str]:
        """Add an LSTM node and return the names of its sequence and of its last hidden state."""
        names = f"sequence{len(self.nodes)}", f"hidden{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node("LSTM", inputs, list(names), **attributes))
        return names

    def constant(self, values: Any, kind: type = np.float32) -> str:
        """Add a constant and return its name."""
        name = f"constant{len(self.constants)}"
        array: NDArray[Any] = np.ascontiguousarray(values, dtype=kind)
        self.constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name


def _layer(graph: _Graph, stage: Stage, weights: LayerWeights, name: str, batch: int) -> str:
    match stage.layer:
        case LstmLayer() as layer:
            assert isinstance(weights, tuple)
            return _lstm(graph, layer, weights, name)
        case DenseLayer(activation=activation):
            assert weights is not None
            assert not isinstance(weights, tuple)
            product = graph.add("MatMul", [name, graph.constant(weights.kernel.T)])
            name = graph.add("Add", [product, graph.constant(weights.bias)])
            if activation == "softmax":
                return graph.add("Softmax", [name], axis=-1)
            return name if activation == "linear" else graph.add(activation.capitalize(), [name])
        case RepeatLayer(count=count):
            return graph.add("Tile", [name, graph.constant([count, 1, 1], np.int64)])
        case ReshapeLayer(timesteps=timesteps, features=features):
            name = graph.add("Transpose", [name], perm=[1, 0, 2])
            name = graph.add("Reshape", [name, graph.constant([batch, timesteps, features], np.int64)])
            return graph.add("Transpose", [name], perm=[1, 0, 2])


def _lstm(graph: _Graph, layer: LstmLayer, weights: tuple[LstmWeights, ...], name: str) -> str:
    def stacked(part: str) -> Any:
        return np.stack([getattr(one, part)[ONNX_GATES].reshape(4 * layer.units, -1) for one in weights])

    biases = stacked("bias").reshape(len(weights), -1)
    sequence, hidden = graph.add_lstm(
        [
            name,
            graph.constant(stacked("kernel")),
            graph.constant(stacked("recurrent")),
            graph.constant(np.concatenate([biases, np.zeros_like(biases)], axis=1)),
        ],
        hidden_size=layer.units,
        direction=layer.direction,
    )
    # [steps, directions, batch, units] or [directions, batch, units]: join the directions feature by feature
    if layer.return_sequences:
        moved = graph.add("Transpose", [sequence], perm=[0, 2, 1, 3])
        return graph.add("Reshape", [moved, graph.constant([0, 0, layer.passes * layer.units], np.int64)])
    moved = graph.add("Transpose", [hidden], perm=[1, 0, 2])
    return graph.add("Reshape", [moved, graph.constant([1, -1, layer.passes * layer.units], np.int64)])

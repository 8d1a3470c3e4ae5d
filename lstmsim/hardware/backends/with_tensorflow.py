"""TensorFlow: Keras layers inside one `tf.function`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstmsim.errors import HardwareError, MissingExtra
from lstmsim.hardware.backends import Job, Runner
from lstmsim.model import DenseWeights, LayerWeights, LstmWeights
from lstmsim.network import DenseLayer, Layer, LstmLayer, RepeatLayer, ReshapeLayer, Stage


def build(job: Job) -> Runner:
    """Return the network as a traced TensorFlow function."""
    tensorflow = _tensorflow()
    if job.target == "cuda" and not tensorflow.config.list_physical_devices("GPU"):
        raise HardwareError("tensorflow sees no GPU: use --device cpu, or install a CUDA build of tensorflow")
    _limit_threads(tensorflow, job)
    place = "/GPU:0" if job.target == "cuda" else "/CPU:0"
    with tensorflow.device(place):
        stages = job.model.network.stages
        parts = [_part(tensorflow.keras, s, w) for s, w in zip(stages, job.model.weights, strict=True)]

    @tensorflow.function(autograph=False)  # type: ignore[untyped-decorator]
    def network(values: Any) -> Any:
        for stage, part in zip(stages, parts, strict=True):
            values = _apply(tensorflow, stage.layer, part, values)
        return values

    def run() -> Any:
        with tensorflow.device(place):
            return network(tensorflow.constant(job.inputs)).numpy()  # numpy() waits for the result

    return Runner(run=run, library=f"tensorflow {tensorflow.__version__}")


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ImportError:
        raise MissingExtra("tensorflow", "tensorflow", "timing with tensorflow") from None
    return tensorflow


def _limit_threads(tensorflow: Any, job: Job) -> None:
    threading = tensorflow.config.threading
    if not job.threads or job.target == "cuda" or threading.get_intra_op_parallelism_threads() == job.threads:
        return
    try:
        threading.set_intra_op_parallelism_threads(job.threads)
        threading.set_inter_op_parallelism_threads(job.threads)
    except RuntimeError:
        raise HardwareError(
            f"tensorflow runs already and cannot be limited to {job.threads} thread(s): start a new process"
        ) from None


def _part(keras: Any, stage: Stage, weights: LayerWeights) -> Any:
    """Return a layer with its weights; None where the layer has none."""
    layer = _layer(keras, stage.layer)
    if layer is not None:
        layer.build((None, stage.input.timesteps, stage.input.features))
        layer.set_weights(_weights(weights))
    return layer


def _layer(keras: Any, layer: Layer) -> Any:
    match layer:
        case LstmLayer(units=units, return_sequences=sequences, direction=direction):
            lstm = keras.layers.LSTM(units, return_sequences=sequences, go_backwards=direction == "reverse")
            return keras.layers.Bidirectional(lstm) if direction == "bidirectional" else lstm
        case DenseLayer(units=units, activation=activation):
            return keras.layers.Dense(units, activation=activation)
    return None


def _weights(weights: LayerWeights) -> list[Any]:
    if isinstance(weights, DenseWeights):
        return [weights.kernel.T, weights.bias]
    return [array for one in weights or () for array in _lstm_weights(one)]


def _lstm_weights(one: LstmWeights) -> list[Any]:
    flat = one.bias.size
    matrices = [part.reshape(flat, -1).T for part in (one.kernel, one.recurrent)]
    return [np.asarray(array, dtype=np.float32) for array in (*matrices, one.bias.reshape(-1))]


def _apply(tensorflow: Any, layer: Layer, part: Any, values: Any) -> Any:
    match layer:
        case LstmLayer(return_sequences=sequences, direction=direction):
            outputs = part(values, training=False)
            if not sequences:
                return outputs[:, None]
            return tensorflow.reverse(outputs, [1]) if direction == "reverse" else outputs
        case DenseLayer():
            return part(values)
        case RepeatLayer(count=count):
            return tensorflow.tile(values, [1, count, 1])
        case ReshapeLayer(timesteps=timesteps, features=features):
            return tensorflow.reshape(values, [-1, timesteps, features])

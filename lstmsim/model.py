"""Model: a network with its trained weights, and its outputs in double precision."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from importlib.resources.abc import Traversable

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import ModelFormatError
from lstmsim.files import atomic_output, read_bounded
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, ReshapeLayer, Stage

Array = NDArray[np.float64]
MODEL_LIMIT_BYTES = 1 << 30
NPZ_HEADERS_BYTES = 1 << 20
GATES = ("input", "forget", "candidate", "output")


@dataclass(frozen=True, slots=True)
class LstmWeights:
    """One pass of an LSTM layer. Gates in the order of `GATES`.

    kernel: [4, units, inputs]; recurrent: [4, units, units]; bias: [4, units].
    """

    kernel: Array
    recurrent: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class DenseWeights:
    """kernel: [units, inputs]; bias: [units]."""

    kernel: Array
    bias: Array


LayerWeights = tuple[LstmWeights, ...] | DenseWeights | None


@dataclass(frozen=True, slots=True)
class Model:
    """A network and the weights of each of its layers.

    An LSTM layer has one `LstmWeights` a pass (forward first), a dense layer `DenseWeights`, the others None.

    Raises:
        ModelFormatError: a wrong shape, a NaN or an infinity, with the layer's number.
    """

    network: Network
    weights: tuple[LayerWeights, ...]

    def __post_init__(self) -> None:
        stages = self.network.stages
        if len(stages) != len(self.weights):
            raise ModelFormatError(f"{len(self.weights)} sets of weights for {len(stages)} layers")
        for index, (stage, weights) in enumerate(zip(stages, self.weights, strict=True)):
            _check_layer(stage, weights, f"network {self.network.name!r}, layer {index + 1}")

    def predict(self, inputs: NDArray[np.floating]) -> Array:
        """Return outputs in float64, [batch, timesteps, features], for inputs of the same form."""
        values = check_inputs(self.network, inputs)
        for stage, weights in zip(self.network.stages, self.weights, strict=True):
            values = _run_layer(stage, weights, values)
        return values

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write weights as .npz (arrays only, no pickle); the network is not stored."""
        with atomic_output(path, force=force) as stream:
            np.savez_compressed(stream, allow_pickle=False, **_named_arrays(self))


def check_inputs(network: Network, inputs: NDArray[np.floating]) -> Array:
    """Return inputs as float64 [batch, timesteps, features]; one sample may come without its batch axis.

    Raises:
        ModelFormatError: a wrong shape or type, a NaN or an infinity.
    """
    try:
        values = np.asarray(inputs)
    except ValueError:
        raise ModelFormatError("inputs are lists of unequal lengths: [batch, timesteps, features] is needed") from None
    if values.dtype.kind not in "fiub":
        raise ModelFormatError(f"inputs of type {values.dtype} are not numbers")
    expected = (network.timesteps, network.features)
    if values.shape == expected:
        values = values[None]
    if values.ndim != 3 or values.shape[1:] != expected:
        raise ModelFormatError(
            f"inputs of shape {list(values.shape)} do not fit network {network.name!r}: "
            f"[batch, {expected[0]}, {expected[1]}] is needed"
        )
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(values, dtype=np.float64)
    if not np.isfinite(result).all():
        raise ModelFormatError("inputs hold NaN or infinity: remove or replace them")
    return result


def random_model(network: Network, seed: int = 0, scale: float = 1.0) -> Model:
    """Return a model with uniform Glorot-like weights, the same for the same seed on every machine."""
    generator = np.random.default_rng(seed)

    def draw(shape: tuple[int, ...], fan_in: int) -> Array:
        drawn: Array = generator.uniform(-1.0, 1.0, shape)
        return drawn * (scale * float(np.sqrt(3.0 / max(1, fan_in))))

    weights: list[LayerWeights] = []
    for stage in network.stages:
        inputs = stage.input.features
        match stage.layer:
            case LstmLayer(units=units, passes=passes):
                weights.append(
                    tuple(
                        LstmWeights(
                            draw((4, units, inputs), inputs + units),
                            draw((4, units, units), inputs + units),
                            draw((4, units), inputs + units),
                        )
                        for _ in range(passes)
                    )
                )
            case DenseLayer(units=units):
                weights.append(DenseWeights(draw((units, inputs), inputs), draw((units,), inputs)))
            case _:
                weights.append(None)
    return Model(network, tuple(weights))


def load_weights(network: Network, path: str | os.PathLike[str] | Traversable) -> Model:
    """Read weights that `Model.save` wrote.

    Raises:
        ModelFormatError: no such file, a damaged or foreign archive, or weights of another network.
    """
    data = read_bounded(path, limit_bytes=MODEL_LIMIT_BYTES, error=ModelFormatError)
    expected = sum(stage.params for stage in network.stages)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            unpacked = sum(member.file_size for member in members.infolist())
        if unpacked > 8 * expected + NPZ_HEADERS_BYTES:
            raise ModelFormatError(
                f"{str(path)!r} unpacks to {unpacked:,} bytes: "
                f"the {expected:,} weights of network {network.name!r} need {8 * expected:,}"
            )
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name], dtype=np.float64) for name in archive.files}
    except ModelFormatError:
        raise
    except Exception as problem:  # numpy, zipfile and zlib raise many types on damaged archives
        raise ModelFormatError(f"{str(path)!r} is not a weight archive (.npz of numbers): {problem}") from None
    return _model_from_arrays(network, arrays, str(path))


def _named_arrays(model: Model) -> dict[str, Array]:
    arrays = {}
    for index, weights in enumerate(model.weights):
        if isinstance(weights, DenseWeights):
            arrays[f"layer{index}.kernel"] = weights.kernel
            arrays[f"layer{index}.bias"] = weights.bias
        elif weights is not None:
            for number, one in enumerate(weights):
                arrays[f"layer{index}.pass{number}.kernel"] = one.kernel
                arrays[f"layer{index}.pass{number}.recurrent"] = one.recurrent
                arrays[f"layer{index}.pass{number}.bias"] = one.bias
    return arrays


def _model_from_arrays(network: Network, arrays: dict[str, Array], where: str) -> Model:
    def take(name: str) -> Array:
        if name not in arrays:
            raise ModelFormatError(f"{where!r} has no {name!r}: its weights are not those of network {network.name!r}")
        return arrays[name]

    weights: list[LayerWeights] = []
    for index, layer in enumerate(network.layers):
        prefix = f"layer{index}"
        if isinstance(layer, LstmLayer):
            passes = [f"{prefix}.pass{number}" for number in range(layer.passes)]
            weights.append(
                tuple(LstmWeights(take(f"{p}.kernel"), take(f"{p}.recurrent"), take(f"{p}.bias")) for p in passes)
            )
        elif isinstance(layer, DenseLayer):
            weights.append(DenseWeights(take(f"{prefix}.kernel"), take(f"{prefix}.bias")))
        else:
            weights.append(None)
    return Model(network, tuple(weights))


def _check_layer(stage: Stage, weights: LayerWeights, where: str) -> None:
    inputs = stage.input.features
    match stage.layer, weights:
        case LstmLayer(units=units, passes=passes), tuple() if len(weights) == passes:
            for one in weights:
                _check_array(one.kernel, (4, units, inputs), f"{where}, kernel")
                _check_array(one.recurrent, (4, units, units), f"{where}, recurrent kernel")
                _check_array(one.bias, (4, units), f"{where}, bias")
        case DenseLayer(units=units), DenseWeights():
            _check_array(weights.kernel, (units, inputs), f"{where}, kernel")
            _check_array(weights.bias, (units,), f"{where}, bias")
        case RepeatLayer() | ReshapeLayer(), None:
            pass
        case _:
            raise ModelFormatError(f"{where}: the weights do not belong to a layer of this type")


def _check_array(array: Array, shape: tuple[int, ...], where: str) -> None:
    if array.shape != shape:
        raise ModelFormatError(f"{where} has shape {list(array.shape)}: {list(shape)} is needed")
    if array.dtype.kind not in "fiu":
        raise ModelFormatError(f"{where} is of type {array.dtype}: numbers are needed")
    if not np.isfinite(array).all():
        raise ModelFormatError(f"{where} holds NaN or infinity: train the model again or mend the file")


def _run_layer(stage: Stage, weights: LayerWeights, values: Array) -> Array:
    match stage.layer:
        case LstmLayer() as layer:
            assert isinstance(weights, tuple)
            return _run_lstm(layer, weights, values)
        case DenseLayer(activation=activation):
            assert isinstance(weights, DenseWeights)
            return _activate(activation, values @ weights.kernel.T + weights.bias)
        case RepeatLayer(count=count):
            return np.repeat(values, count, axis=1)
        case ReshapeLayer(timesteps=timesteps, features=features):
            return values.reshape(len(values), timesteps, features)


def _run_lstm(layer: LstmLayer, weights: tuple[LstmWeights, ...], values: Array) -> Array:
    outputs = []
    for number, one in enumerate(weights):
        backwards = layer.direction == "reverse" or number == 1
        sequence = _run_pass(one, values[:, ::-1] if backwards else values)
        if not layer.return_sequences:
            sequence = sequence[:, -1:]
        elif backwards:
            sequence = sequence[:, ::-1]
        outputs.append(sequence)
    return np.concatenate(outputs, axis=2)


def _run_pass(weights: LstmWeights, values: Array) -> Array:
    units = weights.bias.shape[1]
    kernel = weights.kernel.reshape(4 * units, -1).T
    recurrent = weights.recurrent.reshape(4 * units, units).T
    fed = values @ kernel + weights.bias.reshape(-1)
    hidden = np.zeros((len(values), units))
    cell = np.zeros_like(hidden)
    outputs = np.empty((*values.shape[:2], units))
    for step in range(values.shape[1]):
        gates = fed[:, step] + hidden @ recurrent
        entry, forget, candidate, output = np.split(gates, 4, axis=1)
        cell = _sigmoid(forget) * cell + _sigmoid(entry) * np.tanh(candidate)
        hidden = _sigmoid(output) * np.tanh(cell)
        outputs[:, step] = hidden
    return outputs


def _sigmoid(values: Array) -> Array:
    result: Array = 0.5 * (1.0 + np.tanh(0.5 * values))
    return result


def _activate(name: str, values: Array) -> Array:
    match name:
        case "relu":
            return np.maximum(values, 0.0)
        case "sigmoid":
            return _sigmoid(values)
        case "tanh":
            return np.tanh(values)
        case "softmax":
            shifted: Array = np.exp(values - values.max(axis=-1, keepdims=True))
            result: Array = shifted / shifted.sum(axis=-1, keepdims=True)
            return result
    return values

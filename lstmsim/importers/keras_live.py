"""Live Keras models, and SavedModel folders through TensorFlow and tf2onnx."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from lstmsim.errors import MissingExtra, ModelFormatError
from lstmsim.importers.chain import Blueprint, reading
from lstmsim.importers.keras_config import Leaf, read_config
from lstmsim.model import Model

OPSET = 15


class LiveWeights:
    """The arrays of a model in memory."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def lstm(self, leaf: Leaf, part: str) -> list[Any]:
        """See `WeightSource`."""
        arrays = self.dense(leaf, part)
        half = len(arrays) // 2
        if part == "forward_layer":
            return arrays[:half]
        return arrays[half:] if part == "backward_layer" else arrays

    def dense(self, leaf: Leaf, part: str) -> list[Any]:
        """See `WeightSource`."""
        found = self._model
        for place in leaf.path:
            found = found.get_layer(name=place.name)
        return list(found.get_weights())


def from_keras(model: Any, *, timesteps: int | None = None) -> Model:
    """Return a Keras model in memory (Keras 2 or 3, any backend) as ours.

    Raises:
        ModelFormatError: a layer that is not supported, with its name.
    """
    with reading(getattr(model, "name", "the model"), "a Keras model"):
        config = json.loads(model.to_json())
        return read_config(config, str(model.name), timesteps, LiveWeights(model)).model()


def read_saved_model(path: Path, timesteps: int | None) -> Blueprint:
    """Return the network of a SavedModel folder's serving signature.

    Raises:
        ModelFormatError: damaged, without one signature of one input and one output, or an operator not supported.
        MissingExtra: tensorflow or tf2onnx is not installed.
    """
    try:
        import tensorflow
    except ImportError:
        raise MissingExtra("tensorflow", "tensorflow", "reading a SavedModel") from None
    try:
        import tf2onnx
    except ImportError:
        raise MissingExtra("tf2onnx", "tensorflow", "reading a SavedModel") from None
    from lstmsim.importers.onnx_file import read_model

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with reading(path, "a SavedModel"):
        loaded = tensorflow.saved_model.load(str(path))
        signature = _signature(loaded, path)
        specs = signature.structured_input_signature[1]
        inputs, outputs = len(specs), len(signature.structured_outputs)
        if (inputs, outputs) != (1, 1):
            raise ModelFormatError(f"{str(path)!r} has {inputs} inputs and {outputs} outputs: one is supported")
        ((name, spec),) = specs.items()
        (output,) = signature.structured_outputs
        call = tensorflow.function(lambda values: signature(**{name: values})[output], input_signature=[spec])
        model, _ = tf2onnx.convert.from_function(call, input_signature=[spec], opset=OPSET)
        return read_model(model, path.name, timesteps)


def _signature(loaded: Any, path: Path) -> Any:
    signatures = getattr(loaded, "signatures", {})
    found = signatures.get("serving_default") or (next(iter(signatures.values())) if len(signatures) == 1 else None)
    if found is None:
        raise ModelFormatError(f"{str(path)!r} has no signature serving_default: export it with model.export")
    return found

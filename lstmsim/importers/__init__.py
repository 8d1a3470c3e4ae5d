"""Models of other frameworks; each framework is imported in one module only, when it is used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmsim.errors import ModelFormatError, UnknownNetwork
from lstmsim.network import (
    SHAPE_PREFIX,
    Network,
    load_preset,
    network_from_shape,
    network_from_toml,
    preset_names,
)

if TYPE_CHECKING:
    from lstmsim.importers.chain import Blueprint
    from lstmsim.model import Model

Source = str | os.PathLike[str]

__all__ = ["from_keras", "load_model", "load_network"]


def load_network(source: Source, *, timesteps: int | None = None) -> Network:
    """Return the shape of a network, without its weights.

    Args:
        source: the name of a network of the package, a .toml file, a model file or folder of
            Keras (.keras, .h5), TensorFlow (SavedModel), ONNX or PyTorch, or equal layers in one word such as
            "lstm:units=128,layers=2,timesteps=50,features=1".
        timesteps: needed where a model file leaves the length of its sequences open.

    Raises:
        UnknownNetwork: neither a known name nor a file.
        ConfigError: a wrong .toml file.
        ModelFormatError: a damaged model file, or a layer that is not supported.
        MissingExtra: the package that reads this kind of file is not installed.
    """
    name = os.fspath(source)
    if name in preset_names():
        return load_preset(name)
    if name.startswith(SHAPE_PREFIX):
        return network_from_shape(name)
    path = _existing(name)
    if path.suffix.lower() == ".toml":
        return network_from_toml(path)
    return _blueprint(path, timesteps).network


def load_model(source: Source, *, weights: Source | None = None, timesteps: int | None = None) -> Model:
    """Return a network with its trained weights.

    Args:
        source: as for `load_network`.
        weights: for a name of the package or a .toml file: the weights, as `Model.save` writes them (.npz), or
            those of a PyTorch state_dict (.pt, .pth, .safetensors) in the same order of layers.
        timesteps: as for `load_network`.

    Raises:
        LstmsimError: as for `load_network`; ModelFormatError also where there are no weights.
    """
    name = os.fspath(source)
    if weights is not None:
        return _with_weights(load_network(source, timesteps=timesteps), Path(weights))
    if name in preset_names():
        return _with_packaged_weights(load_preset(name))
    if name.startswith(SHAPE_PREFIX):
        raise ModelFormatError(f"{name!r} describes a network without weights: give its weights as well (.npz or .pt)")
    path = _existing(name)
    if path.suffix.lower() == ".toml":
        raise ModelFormatError(f"{name!r} describes a network without weights: give its weights as well (.npz or .pt)")
    from lstmsim.importers.chain import reading

    with reading(path, "a model"):
        return _blueprint(path, timesteps).model()


def from_keras(model: Any, *, timesteps: int | None = None) -> Model:
    """Return a Keras model in memory as ours; see `lstmsim.importers.keras_live.from_keras`."""
    from lstmsim.importers import keras_live

    return keras_live.from_keras(model, timesteps=timesteps)


def _existing(name: str) -> Path:
    path = Path(name)
    if path.exists():
        return path
    try:
        load_preset(name)
    except UnknownNetwork as problem:
        raise UnknownNetwork(f"{problem} There is no file of that name either.") from None
    raise AssertionError("unreachable: presets are found first")


def _with_weights(network: Network, path: Path) -> Model:
    suffix = path.suffix.lower()
    if suffix in {".pt", ".pth", ".safetensors"}:
        from lstmsim.importers.torch_state import model_from_state

        return model_from_state(network, path)
    from lstmsim.model import Model, load_weights

    if suffix in {".keras", ".h5", ".hdf5", ".onnx"}:
        trained = load_model(path, timesteps=network.timesteps)
        if trained.network.layers != network.layers:
            raise ModelFormatError(f"{str(path)!r} has other layers than network {network.name!r}")
        return Model(network, trained.weights)
    return load_weights(network, path)


def _with_packaged_weights(network: Network) -> Model:
    from lstmsim.weights import default_weights

    packaged = default_weights(network.name)
    if packaged is None:
        raise ModelFormatError(
            f"network {network.name!r} comes without trained weights: give some (.npz), or use `lstmsim train`"
        )
    from lstmsim.model import load_weights

    return load_weights(network, packaged)


def _blueprint(path: Path, timesteps: int | None) -> Blueprint:
    from lstmsim.importers.kinds import kind_of

    kind = kind_of(path)
    if kind == "keras":
        from lstmsim.importers.keras_files import read_keras

        return read_keras(path, timesteps)
    if kind == "hdf5":
        from lstmsim.importers.keras_files import read_hdf5

        return read_hdf5(path, timesteps)
    if kind == "savedmodel":
        from lstmsim.importers.keras_live import read_saved_model

        return read_saved_model(path, timesteps)
    if kind == "onnx":
        from lstmsim.importers.onnx_file import read_onnx

        return read_onnx(path, timesteps)
    if kind == "torchscript":
        from lstmsim.importers.torch_script import read_torchscript

        return read_torchscript(path, timesteps)
    from lstmsim.importers.torch_state import read_state

    return read_state(path, timesteps)

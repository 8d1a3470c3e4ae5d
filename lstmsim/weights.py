"""The small trained weights that come with the package: float16, one .npz and its story (.toml) for each."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np

from lstmsim.errors import ModelFormatError
from lstmsim.files import data_folder
from lstmsim.model import Array, DenseWeights, LayerWeights, LstmWeights, Model, load_weights
from lstmsim.network import Network

DATA_KINDS = ("nslkdd", "stocks", "sst", "synthetic")  # real data first


def packaged_weights(network_name: str, data_name: str, seed: int = 0) -> Traversable | None:
    """Return the packaged weights of a network for data such as "nslkdd", "bokeh:sst" or "synthetic", if any."""
    kind = data_name.split(" ")[0].removeprefix("bokeh:")
    place = data_folder("weights") / f"{network_name}.{kind}.{seed}.npz"
    return place if place.is_file() else None


def default_weights(network_name: str) -> Traversable | None:
    """Return the packaged weights of a network on real data where there are any, else on synthetic telemetry."""
    for kind in DATA_KINDS:
        place = packaged_weights(network_name, kind)
        if place is not None:
            return place
    return None


def packaged_model(network: Network, data_name: str, seed: int = 0) -> Model | None:
    """Return the packaged model of a network for a data set; None where there is none of its shape."""
    place = packaged_weights(network.name, data_name, seed)
    if place is None:
        return None
    try:
        return load_weights(network, place)
    except ModelFormatError:
        return None


def as_half(model: Model) -> Model:
    """Return the model with its arrays in float16, the form in which it is saved."""
    return _mapped(model, lambda array: array.astype(np.float16))


def rounded_to_half(model: Model) -> Model:
    """Return the model as it comes back after being saved in float16."""
    return _mapped(as_half(model), lambda array: array.astype(np.float64))


def _mapped(model: Model, change: Callable[[Array], Any]) -> Model:
    weights: list[LayerWeights] = []
    for one in model.weights:
        if isinstance(one, DenseWeights):
            weights.append(DenseWeights(change(one.kernel), change(one.bias)))
        elif one is not None:
            weights.append(tuple(LstmWeights(change(w.kernel), change(w.recurrent), change(w.bias)) for w in one))
        else:
            weights.append(None)
    return Model(model.network, tuple(weights))

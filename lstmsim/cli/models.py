"""Models and arrays that commands read, trained where there are weights, random where a seed or nothing is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lstmsim.errors import ConfigError, ModelFormatError

if TYPE_CHECKING:
    from lstmsim.model import Model

RANDOM_SEED = 0


def trained_or_random(name: str, weights: str | None, seed: int | None) -> Model:
    """Return trained weights where there are any and no seed is given, else random ones.

    Raises:
        ConfigError: both weights and a seed were given.
        LstmsimError: as `importers.load_model`.
    """
    from lstmsim.importers import load_model, load_network
    from lstmsim.model import random_model

    if weights is not None and seed is not None:
        raise ConfigError("--weights and --seed exclude one another: random weights or trained ones")
    if weights is not None:
        return load_model(name, weights=weights)
    if seed is None and not _names_a_shape(name):
        return load_model(name)
    if seed is None:
        try:
            return load_model(name)
        except ModelFormatError:  # a shape without weights
            seed = RANDOM_SEED
    return random_model(load_network(name), seed)


def _names_a_shape(name: str) -> bool:
    from lstmsim.network import SHAPE_PREFIX, preset_names

    return name in preset_names() or name.startswith(SHAPE_PREFIX) or name.lower().endswith(".toml")


def load_array(path: str) -> Any:
    """Return the array in a .npy file.

    Raises:
        ModelFormatError: no such file, or no array of numbers.
    """
    from lstmsim.files import read_array
    from lstmsim.model import MODEL_LIMIT_BYTES

    return read_array(path, limit_bytes=MODEL_LIMIT_BYTES, error=ModelFormatError)

"""Keras files without Keras: .keras archives and .h5 files; the only user of h5py."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from lstmsim.errors import MissingExtra, ModelFormatError
from lstmsim.files import TEXT_LIMIT_BYTES, read_bounded
from lstmsim.importers.chain import Blueprint, reading, refuse
from lstmsim.importers.keras_config import Leaf, Place, array_count, class_and_config, leaves_of, read_config

FILE_LIMIT_BYTES = 1 << 30
CONFIG_MEMBER = "config.json"
PROBE_LIMIT_S = 30.0
PROBE = """
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    file.attrs.get("model_config")
    for group in file["model_weights"].values():
        group.attrs.get("weight_names")
"""
WEIGHTS_MEMBER = "model.weights.h5"


def read_keras(path: Path, timesteps: int | None) -> Blueprint:
    """Return the network of a .keras archive (Keras 3); weights are read when they are fetched.

    Raises:
        ModelFormatError: a damaged or foreign archive, or a layer that is not supported.
    """
    with reading(path, "a Keras archive"):
        config = json.loads(_member(path, CONFIG_MEMBER, TEXT_LIMIT_BYTES))
        return read_config(config, path.stem, timesteps, ArchiveWeights(path))


def read_hdf5(path: Path, timesteps: int | None) -> Blueprint:
    """Return the network of a whole-model .h5 file (Keras 2 or 3).

    Raises:
        ModelFormatError: damaged, weights only, or a layer that is not supported.
        MissingExtra: h5py is not installed.
    """
    _probe(path)
    with reading(path, "a Keras HDF5 file"), _open(path) as file:
        text = file.attrs.get("model_config")
        if text is None:
            raise ModelFormatError(
                f"{str(path)!r} has no model_config: it holds weights only; save the whole model (model.save)"
            )
        config = json.loads(text)
        return read_config(config, path.stem, timesteps, LegacyWeights(path, config))


class ArchiveWeights:
    """The arrays of a .keras archive: a group for each layer, inside those of the models around it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def lstm(self, leaf: Leaf, part: str) -> list[Any]:
        """See `WeightSource`."""
        return self._arrays(leaf, *((part, "cell") if part else ("cell",)))

    def dense(self, leaf: Leaf, part: str) -> list[Any]:
        """See `WeightSource`."""
        return self._arrays(leaf, *((part,) if part else ()))

    def _arrays(self, leaf: Leaf, *below: str) -> list[Any]:
        if self._file is None:
            self._file = _open(io.BytesIO(_member(self._path, WEIGHTS_MEMBER, FILE_LIMIT_BYTES)))
        group = "/".join([*(place.store for place in leaf.path), *below, "vars"])
        found = _get(self._file, group, leaf.where)
        return [_get(found, str(index), leaf.where) for index in range(len(found))]


class LegacyWeights:
    """The arrays of a whole-model .h5 file: for each outermost layer a group, and the names of its arrays in order."""

    def __init__(self, path: Path, config: Any) -> None:
        self._path = path
        self._config = config
        self._file: Any = None
        self._slices: dict[tuple[Place, ...], slice] = {}

    def lstm(self, leaf: Leaf, part: str) -> list[Any]:
        """See `WeightSource`."""
        arrays = self._arrays(leaf)
        half = len(arrays) // 2
        if part == "forward_layer":
            return arrays[:half]
        return arrays[half:] if part == "backward_layer" else arrays

    def dense(self, leaf: Leaf, part: str) -> list[Any]:
        """See `WeightSource`."""
        return self._arrays(leaf)

    def _arrays(self, leaf: Leaf) -> list[Any]:
        if self._file is None:
            self._file = _open(self._path)
            self._slices = _slices(self._config)
        group = _get(self._file, f"model_weights/{leaf.path[0].name}", leaf.where)
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in group.attrs["weight_names"]]
        return [_get(group, name, leaf.where) for name in names[self._slices[leaf.path]]]


def _slices(config: Any) -> dict[tuple[Place, ...], slice]:
    """Which arrays of its outermost layer's group belong to a leaf: trainable ones first, as Keras lists them."""
    leaves = sorted(
        leaves_of(*class_and_config(config, "the model"), ()),
        key=lambda leaf: (leaf.config.get("trainable") is False, [place.index for place in leaf.path]),
    )
    used: dict[Place, int] = {}
    slices = {}
    for leaf in leaves:
        start = used.get(leaf.path[0], 0)
        used[leaf.path[0]] = start + array_count(leaf)
        slices[leaf.path] = slice(start, start + array_count(leaf))
    return slices


def _member(path: Path, name: str, limit_bytes: int) -> bytes:
    """A member's bytes, never more than the limit, whatever the archive's directory declares."""
    with zipfile.ZipFile(path) as archive:
        try:
            info = archive.getinfo(name)
        except KeyError:
            raise ModelFormatError(f"{str(path)!r} has no {name}: not a Keras 3 archive") from None
        with archive.open(info) as stream:
            data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ModelFormatError(f"{str(path)!r}: {name} is larger than {limit_bytes:,} bytes, the limit")
    return data


def _probe(path: Path) -> None:
    """Read all attributes in a process of its own: on some damaged files the HDF5 library never returns.

    Raises:
        ModelFormatError: it did not return in time. Other damage is left to the reader.
    """
    try:
        subprocess.run(
            [sys.executable, "-c", PROBE, str(path)], timeout=PROBE_LIMIT_S, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        raise ModelFormatError(
            f"{str(path)!r} cannot be read as HDF5 within {PROBE_LIMIT_S} s: it is damaged; save the model again"
        ) from None


def _open(source: Any) -> Any:
    """An HDF5 file, from a path or from bytes in memory."""
    try:
        import h5py
    except ImportError:
        raise MissingExtra("h5py", "keras", "reading Keras weights") from None
    if isinstance(source, Path):
        source = io.BytesIO(read_bounded(source, limit_bytes=FILE_LIMIT_BYTES, error=ModelFormatError))
    return h5py.File(source, "r")


def _get(group: Any, name: str, where: str) -> Any:
    """A group or dataset that lies in this file itself: links to other files are refused."""
    import h5py

    found = group
    for step in name.split("/"):
        link = found.get(step, getlink=True) if hasattr(found, "get") else None
        if not isinstance(link, h5py.HardLink):
            raise refuse(where, f"its weights {name!r} are not in the file", "save the whole model again")
        found = found[step]
    if isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
        raise refuse(where, "its weights lie in another file", "save the whole model again")
    return found

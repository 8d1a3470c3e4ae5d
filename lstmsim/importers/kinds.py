"""Which kind of model file a path is: by its first bytes, checked against its suffix."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from lstmsim.errors import ModelFormatError
from lstmsim.importers.chain import reading

Kind = Literal["keras", "hdf5", "savedmodel", "onnx", "torchscript", "state"]

MEMBER_LIMIT = 100_000

_SUFFIXES: dict[str, tuple[Kind, ...]] = {
    ".keras": ("keras",),
    ".h5": ("hdf5",),
    ".hdf5": ("hdf5",),
    ".onnx": ("onnx",),
    ".pt": ("torchscript", "state"),
    ".pth": ("torchscript", "state"),
    ".safetensors": ("state",),
}
_NAMES: dict[Kind, str] = {
    "keras": "a Keras archive (.keras)",
    "hdf5": "an HDF5 file (.h5)",
    "savedmodel": "a SavedModel folder",
    "onnx": "an ONNX model (.onnx)",
    "torchscript": "a TorchScript archive (.pt)",
    "state": "a PyTorch state_dict (.pt, .safetensors)",
}


def kind_of(path: Path) -> Kind:
    """Return the kind of a model file or folder.

    Raises:
        ModelFormatError: unreadable, of an unknown kind, or of another kind than its suffix says.
    """
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "savedmodel"
        raise ModelFormatError(f"{str(path)!r} is a folder without saved_model.pb: no TensorFlow SavedModel")
    suffix = path.suffix.lower()
    expected = _SUFFIXES.get(suffix, ())
    found = _kind_of_content(path)
    if suffix == ".npz":
        raise ModelFormatError(f"{str(path)!r} holds weights only: name the network, and give this file as its weights")
    if found and expected and found not in expected:
        raise ModelFormatError(f"{str(path)!r} is {_NAMES[found]}, not {_NAMES[expected[0]]}: rename it")
    if found:
        return found
    if suffix == ".onnx":
        return "onnx"
    if suffix == ".safetensors" or (expected and expected[0] == "torchscript"):
        return "state"
    if expected:
        raise ModelFormatError(f"{str(path)!r} is not {_NAMES[expected[0]]}: it is damaged, or of another kind")
    raise ModelFormatError(f"{str(path)!r} is of an unknown kind: {', '.join(_SUFFIXES)}, .toml or a SavedModel folder")


def _kind_of_content(path: Path) -> Kind | None:
    """The kind that the first bytes prove; ONNX and safetensors have no signature."""
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except OSError as problem:
        raise ModelFormatError(f"cannot read {str(path)!r}: {problem.strerror or problem}") from None
    if head == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    if head[:4] != b"PK\x03\x04":
        return None
    with reading(path, "an archive"), zipfile.ZipFile(path) as archive:
        members = archive.namelist()[:MEMBER_LIMIT]
    if "config.json" in members:
        return "keras"
    if any(name.endswith("constants.pkl") for name in members):
        return "torchscript"
    if any(name.endswith("data.pkl") for name in members):
        return "state"
    return None

"""ONNX files; with `onnx_nodes` the only user of the onnx package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lstmsim.errors import MissingExtra, ModelFormatError
from lstmsim.files import read_bounded
from lstmsim.importers.chain import Blueprint, reading

FILE_LIMIT_BYTES = 1 << 30


def read_onnx(path: Path, timesteps: int | None) -> Blueprint:
    """Return the network of an ONNX file.

    Raises:
        ModelFormatError: a damaged file, or a node that is not supported, with its name and operator.
        MissingExtra: onnx is not installed.
    """
    onnx = _onnx()
    data = read_bounded(path, limit_bytes=FILE_LIMIT_BYTES, error=ModelFormatError)
    with reading(path, "an ONNX model"):
        model = onnx.load_model_from_string(data)
        _load_external(model, path)
        return read_model(model, path.stem, timesteps)


def read_bytes(data: bytes, name: str, timesteps: int | None) -> Blueprint:
    """Return the network of a serialised ONNX model; errors as in `read_onnx`."""
    return read_model(_onnx().load_model_from_string(data), name, timesteps)


def read_model(model: Any, name: str, timesteps: int | None) -> Blueprint:
    """Return the network of an ONNX ModelProto; errors as in `read_onnx`."""
    if not model.graph.node:
        raise ModelFormatError(f"model {name!r} has no nodes: not an ONNX model, or an empty one")
    from lstmsim.importers.onnx_graph import read_graph

    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    return read_graph(model.graph, opset, name, timesteps)


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise MissingExtra("onnx", "onnx", "reading ONNX models") from None
    return onnx


def _load_external(model: Any, path: Path) -> None:
    """Read weights that lie in files beside the model; other places are refused."""
    from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

    for tensor in model.graph.initializer:
        if not uses_external_data(tensor):
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        beside = path.parent / location
        if Path(location).name != location or not location or beside.is_symlink():
            raise ModelFormatError(f"{str(path)!r} has its weights in {location!r}: a file beside it is supported")
        if not beside.is_file():
            raise ModelFormatError(f"{str(path)!r} needs the file {location!r} beside it")
        if beside.stat().st_size > FILE_LIMIT_BYTES:
            raise ModelFormatError(f"{str(beside)!r} is larger than {FILE_LIMIT_BYTES:,} bytes, the limit")
        load_external_data_for_tensor(tensor, str(path.parent))

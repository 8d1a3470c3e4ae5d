"""TorchScript archives: checked, exported to ONNX in memory by torch, and read from there."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

from lstmsim.errors import MissingExtra, ModelFormatError
from lstmsim.files import read_bounded
from lstmsim.importers.chain import Blueprint, needed_timesteps, reading
from lstmsim.importers.torch_state import FILE_LIMIT_BYTES, check_archive

# The exporter runs the module, so nothing may be in it that does more than arithmetic on tensors.
HARMLESS = frozenset(
    """
    lstm linear addmm matmul mm t add add_ relu relu_ sigmoid sigmoid_ tanh tanh_ softmax dropout dropout_
    feature_dropout select slice transpose permute reshape view flatten squeeze unsqueeze repeat
    repeat_interleave expand expand_as cat stack unbind chunk split contiguous detach clone to flip zeros
    zeros_like new_zeros narrow index_select size dim len numel eq ne gt ge lt le mul sub floordiv neg format
    list append Int Bool Float __is__ __isnot__ __not__ __contains__ __getitem__ is_floating_point device dtype
    requires_grad
    """.split()  # noqa: SIM905 - easier to read and to extend than a list
)
OPSET = 17


def read_torchscript(path: Path, timesteps: int | None) -> Blueprint:
    """Return the network of a TorchScript archive (torch.jit.script or torch.jit.trace, saved).

    Raises:
        ModelFormatError: damaged, an operator that is not supported, or no number of time steps.
        MissingExtra: torch or onnx is not installed.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch", "reading PyTorch files") from None
    data = read_bounded(path, limit_bytes=FILE_LIMIT_BYTES, error=ModelFormatError)
    with reading(path, "a TorchScript archive"):
        check_archive(data, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
        _check_operators(module.inlined_graph)
        length = needed_timesteps(None, timesteps, f"{str(path)!r}, a TorchScript archive,")
        return _read(torch, module, path.stem, length)


def _check_operators(block: Any) -> None:
    for node in block.nodes():
        kind = node.kind()
        if kind.removeprefix("aten::") not in HARMLESS and not kind.startswith("prim::"):
            raise ModelFormatError(
                f"operator {kind} is not supported "
                "(supported: nn.LSTM, nn.Linear, relu, sigmoid, tanh, softmax, dropout and moving of values)"
            )
        for inner in node.blocks():
            _check_operators(inner)


def _read(torch: Any, module: Any, name: str, timesteps: int) -> Blueprint:
    """Try the batch first, then time first; with two samples, then with one that a trace may have fixed."""
    from lstmsim.importers.onnx_file import read_bytes

    features = _features(module)
    problems: list[ModelFormatError] = []
    for shape in ((2, timesteps), (1, timesteps), (timesteps, 2), (timesteps, 1)):
        try:
            exported = _export(torch, module, torch.zeros(*shape, features))
            return read_bytes(exported, name, timesteps)
        except ModelFormatError as problem:
            problems.append(problem)
    raise problems[0]


def _features(module: Any) -> int:
    for name, tensor in module.state_dict().items():
        if tensor.ndim == 2 and name.rpartition(".")[2].startswith("weight"):
            return int(tensor.shape[1])
    raise ModelFormatError("the module has no weights of nn.LSTM or nn.Linear")


def _export(torch: Any, module: Any, example: Any) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module, (example,), stream, dynamo=False, opset_version=OPSET, input_names=["input"],
                output_names=["output"],
            )  # fmt: skip
        except Exception as problem:  # whatever the module or the exporter raises
            detail = " ".join(str(problem).split())[:300]
            raise ModelFormatError(f"the module does not run on {list(example.shape)}: {detail}") from None
    return stream.getvalue()

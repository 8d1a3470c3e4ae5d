"""PyTorch state_dicts: nn.LSTM and nn.Linear recognised by the names and shapes of their tensors.

nn.LSTM has the gates in the order input, forget, candidate, output: weight_ih_lN [4 units, inputs],
weight_hh_lN [4 units, units] and two biases that add. A state_dict says neither how many time steps there are, nor what
happens between its layers; `read_state` writes what it assumed into the network's note. Never unpickles.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.errors import MissingExtra, ModelFormatError
from lstmsim.files import TEXT_LIMIT_BYTES, read_bounded
from lstmsim.importers.chain import Blueprint, Chain, Fetch, needed_timesteps, reading
from lstmsim.model import DenseWeights, LayerWeights, LstmWeights, Model
from lstmsim.network import DenseLayer, Direction, LstmLayer, Network

FILE_LIMIT_BYTES = 1 << 30
NESTED_KEYS = ("state_dict", "model_state_dict", "model")
NOTE = (
    "Read from a PyTorch state_dict, which does not say what happens between layers: "
    "assumed are sequences between LSTM layers, the last state before a linear layer, and no activations."
)
_LSTM_KEY = re.compile(r"(?:(.*)\.)?(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(\d+)(_reverse)?")
_LINEAR_KEY = re.compile(r"(?:(.*)\.)?(weight|bias)")
_SAFE_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

Tensors = Mapping[str, NDArray[np.float64]]


@dataclass(slots=True)
class Group:
    """The tensors of one nn.LSTM or nn.Linear."""

    prefix: str
    is_lstm: bool
    tensors: dict[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """One layer: units, inputs and weights."""

    where: str
    inputs: int
    units: int
    weights: tuple[LstmWeights, ...] | DenseWeights


def read_state(path: Path, timesteps: int | None) -> Blueprint:
    """Return the network that a state_dict suggests; its note says what is assumed.

    Raises:
        ModelFormatError: a damaged or foreign file, tensors that are neither nn.LSTM's nor nn.Linear's, layers that do
            not follow from one another, or no number of time steps.
        MissingExtra: torch is not installed (.safetensors files do without).
    """
    parts = list(_parts(load_tensors(path)))
    if not parts:
        raise ModelFormatError(f"{str(path)!r} holds no tensors of nn.LSTM or nn.Linear")
    length = needed_timesteps(None, timesteps, f"{str(path)!r}, a state_dict,")
    chain = Chain(path.stem, length, parts[0].inputs)
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if part.inputs != chain.shape.features:
            raise ModelFormatError(
                f"{part.where} reads {part.inputs} values, the layer before gives {chain.shape.features}: describe the "
                "network in a .toml file and give this file as its weights"
            )
        if isinstance(part.weights, tuple):
            last_only = following is not None and isinstance(following.weights, DenseWeights)
            direction: Direction = "bidirectional" if len(part.weights) == 2 else "forward"
            layer = LstmLayer(units=part.units, return_sequences=not last_only, direction=direction)
            chain.add(layer, part.where, _fetch(part))
        else:
            chain.add(DenseLayer(units=part.units), part.where, _fetch(part))
    return chain.blueprint(NOTE)


def model_from_state(network: Network, path: Path) -> Model:
    """Return a network with the weights of a state_dict, layer by layer in the order of its keys.

    Raises:
        ModelFormatError: a damaged file, or other layers than the network's.
    """
    parts = list(_parts(load_tensors(path)))
    wanted = [layer for layer in network.layers if isinstance(layer, LstmLayer | DenseLayer)]
    if len(parts) != len(wanted):
        raise ModelFormatError(
            f"{str(path)!r} has {len(parts)} LSTM and linear layers, network {network.name!r} has {len(wanted)}"
        )
    remaining = iter(parts)
    weights: list[LayerWeights] = [
        next(remaining).weights if isinstance(layer, LstmLayer | DenseLayer) else None for layer in network.layers
    ]
    return Model(network, tuple(weights))


def load_tensors(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return a state_dict's tensors in float64, in its order.

    Raises:
        ModelFormatError: damaged, larger than the limit, or anything but tensors.
    """
    data = read_bounded(path, limit_bytes=FILE_LIMIT_BYTES, error=ModelFormatError)
    with reading(path, "a state_dict"):
        if path.suffix.lower() == ".safetensors":
            return _safetensors(data, path)
        return _torch_tensors(data, path)


def check_archive(data: bytes, path: Path) -> None:
    """Refuse an archive that unpacks to more than the limit, or that names members outside itself.

    Raises:
        ModelFormatError: as said.
    """
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    if sum(member.file_size for member in members) > FILE_LIMIT_BYTES:
        raise ModelFormatError(f"{str(path)!r} unpacks to more than {FILE_LIMIT_BYTES:,} bytes, the limit")
    for member in members:
        if member.filename.startswith("/") or ".." in member.filename.split("/"):
            raise ModelFormatError(f"{str(path)!r} has a member outside the archive: {member.filename!r}")


def _torch_tensors(data: bytes, path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch", "reading PyTorch files") from None
    import pickle

    check_archive(data, path)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelFormatError(
            f"{str(path)!r} holds more than tensors, or is damaged, and is not unpickled: "
            "save model.state_dict(), or torch.jit.script(model)"
        ) from None
    for key in NESTED_KEYS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ModelFormatError(f"{str(path)!r} holds no state_dict")
    tensors = {}
    for name, tensor in state.items():
        if not isinstance(tensor, torch.Tensor) or tensor.is_quantized or tensor.layout != torch.strided:
            raise ModelFormatError(f"{str(path)!r}: {name!r} is no plain tensor")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ModelFormatError(f"{str(path)!r}: {name!r} declares more values than the file holds")
        tensors[name] = tensor.detach().to(torch.float64).numpy()
    return tensors


def _safetensors(data: bytes, path: Path) -> dict[str, NDArray[np.float64]]:
    """The format: 8 bytes length, a JSON table of name, type, shape and offsets, then the values.

    Source: https://github.com/huggingface/safetensors, "Format".
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(TEXT_LIMIT_BYTES, len(data) - 8):
        raise ModelFormatError(f"{str(path)!r} is no safetensors file, or a truncated one")
    table: dict[str, Any] = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    tensors = {}
    for name, entry in table.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _SAFE_TYPES:
            raise ModelFormatError(f"{str(path)!r}: {name!r} is of type {entry['dtype']}: use a float type")
        begin, end = entry["data_offsets"]
        raw = np.frombuffer(body[begin:end], dtype=_SAFE_TYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            raw = (raw.astype("<u4") << 16).view("<f4")
        tensors[name] = raw.reshape(entry["shape"]).astype(np.float64)
    return tensors


def _groups(tensors: Tensors) -> list[Group]:
    groups: dict[tuple[str, bool], Group] = {}
    for key, tensor in tensors.items():
        lstm, linear = _LSTM_KEY.fullmatch(key), _LINEAR_KEY.fullmatch(key)
        if lstm:
            if lstm[2] == "weight_hr":
                raise ModelFormatError(f"tensor {key!r}: projections (proj_size) are not supported")
            group = groups.setdefault((lstm[1] or "", True), Group(lstm[1] or "lstm", is_lstm=True))
            group.tensors[f"{lstm[2]}_l{lstm[3]}{lstm[4] or ''}"] = tensor
        elif linear:
            group = groups.setdefault((linear[1] or "", False), Group(linear[1] or "linear", is_lstm=False))
            group.tensors[linear[2]] = tensor
        else:
            raise ModelFormatError(f"tensor {key!r} belongs to no supported layer (supported: nn.LSTM, nn.Linear)")
    return list(groups.values())


def _parts(tensors: Tensors) -> Iterator[Part]:
    for group in _groups(tensors):
        if not group.is_lstm:
            yield _linear_part(group)
            continue
        count = 1 + max(int(name.split("_l")[1].removesuffix("_reverse")) for name in group.tensors)
        if count > len(group.tensors):
            raise ModelFormatError(f"layer {group.prefix!r}: tensors of some of its {count} layers are missing")
        both = any(name.endswith("_reverse") for name in group.tensors)
        for number in range(count):
            yield _lstm_part(group, number, both)


def _linear_part(group: Group) -> Part:
    where = f"layer {group.prefix!r}"
    kernel = group.tensors.get("weight")
    if kernel is None or kernel.ndim != 2:
        found = "no weight" if kernel is None else f"a weight of shape {list(kernel.shape)}"
        raise ModelFormatError(f"{where} has {found}: it is no nn.Linear (supported: nn.LSTM, nn.Linear)")
    bias = group.tensors.get("bias")
    weights = DenseWeights(kernel, np.zeros(len(kernel)) if bias is None else bias)
    return Part(where, int(kernel.shape[1]), int(kernel.shape[0]), weights)


def _lstm_part(group: Group, number: int, both: bool) -> Part:
    where = f"layer {group.prefix!r}, number {number}"
    suffixes = [f"_l{number}", f"_l{number}_reverse"] if both else [f"_l{number}"]
    passes = tuple(_lstm_pass(group, suffix, where) for suffix in suffixes)
    return Part(where, passes[0].kernel.shape[2], passes[0].bias.shape[1], passes)


def _lstm_pass(group: Group, suffix: str, where: str) -> LstmWeights:
    kernel, recurrent = group.tensors.get(f"weight_ih{suffix}"), group.tensors.get(f"weight_hh{suffix}")
    if kernel is None or recurrent is None or kernel.ndim != 2 or recurrent.ndim != 2:
        raise ModelFormatError(f"{where}: weight_ih{suffix} or weight_hh{suffix} is missing or no matrix")
    units = int(recurrent.shape[1])
    gates = recurrent.shape[0] / max(1, units)
    if gates != 4 or kernel.shape[0] != 4 * units:
        cell = {3: "nn.GRU", 1: "nn.RNN"}.get(int(gates), "no nn.LSTM")
        raise ModelFormatError(f"{where}: its tensors are those of {cell} (supported: nn.LSTM, nn.Linear)")
    bias = np.zeros(4 * units)
    for name in (f"bias_ih{suffix}", f"bias_hh{suffix}"):
        if name in group.tensors:
            if group.tensors[name].shape != bias.shape:
                raise ModelFormatError(f"{where}: {name} has shape {list(group.tensors[name].shape)}")
            bias = bias + group.tensors[name]
    return LstmWeights(kernel.reshape(4, units, -1), recurrent.reshape(4, units, units), bias.reshape(4, units))


def _fetch(part: Part) -> Fetch:
    return lambda: part.weights

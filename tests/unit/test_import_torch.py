"""PyTorch state_dicts, safetensors and TorchScript give PyTorch's outputs."""

from __future__ import annotations

import json
import pickle
import struct
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from import_cases import COUNT, assert_same, inputs, torch_module, torch_outputs

from lstmsim.errors import ModelFormatError
from lstmsim.importers import load_model, load_network
from lstmsim.network import network_to_toml

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn


def _stack(seed: int) -> tuple[Any, int, int]:
    """nn.LSTM and nn.Linear as `read_state` assumes them: the last state goes to the linear layers."""
    pick = np.random.default_rng(seed)
    torch.manual_seed(seed)
    features, hidden, depth = int(pick.integers(1, 5)), int(pick.integers(1, 6)), int(pick.integers(1, 4))
    both, bias, heads = bool(pick.integers(2)), bool(pick.integers(2)), int(pick.integers(0, 3))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, depth, batch_first=True, bidirectional=both, bias=bias)
            width = hidden * (2 if both else 1)
            self.heads = nn.ModuleList([nn.Linear(width if n == 0 else 3, 3, bias=bias) for n in range(heads)])

        def forward(self, values: Any) -> Any:
            outputs, (states, _) = self.lstm(values)
            if not self.heads:
                return outputs
            outputs = torch.cat([states[-2], states[-1]], dim=1) if both else states[-1]
            for head in self.heads:
                outputs = head(outputs)
            return outputs

    return Net().eval(), int(pick.integers(1, 6)), features


@pytest.mark.parametrize("seed", range(COUNT))
def test_state_dict(seed: int, tmp_path: Path) -> None:
    module, timesteps, features = _stack(seed)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, tmp_path / "checkpoint.pth")
    _write_safetensors(tmp_path / "m.safetensors", module.state_dict())
    values = inputs(seed, timesteps, features)
    expected = torch_outputs(torch, module, values, True)
    for name in ("m.pt", "checkpoint.pth", "m.safetensors"):
        model = load_model(tmp_path / name, timesteps=timesteps)
        assert_same(model.predict(values), expected)
        assert "assumed" in model.network.note
    (tmp_path / "m.toml").write_text(network_to_toml(model.network))
    assert_same(load_model(tmp_path / "m.toml", weights=tmp_path / "m.pt").predict(values), expected)


@pytest.mark.parametrize("seed", range(COUNT))
def test_torchscript(seed: int, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    module, (timesteps, features), batch_first = torch_module(torch, seed)
    values = inputs(seed, timesteps, features)
    example = torch.from_numpy(values if batch_first else values.swapaxes(0, 1).copy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, example)
    traced.save(tmp_path / "m.pt")
    model = load_model(tmp_path / "m.pt", timesteps=timesteps)
    assert_same(model.predict(values), torch_outputs(torch, module, values, batch_first))


class Scripted(nn.Module):
    """LSTM, last step, linear, relu."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, 2, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.lstm(values)
        return torch.relu(self.head(outputs[:, -1, :]))


def test_scripted_module(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    module = Scripted().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(tmp_path / "m.pt")
    values = inputs(0, 5, 3)
    model = load_model(tmp_path / "m.pt", timesteps=5)
    assert_same(model.predict(values), torch_outputs(torch, module, values, True))


REFUSED = {
    "gru": (lambda: nn.GRU(3, 4), "GRU"),
    "rnn": (lambda: nn.RNN(3, 4), "RNN"),
    "projection": (lambda: nn.LSTM(3, 4, proj_size=2), "proj_size"),
    "conv": (lambda: nn.Conv1d(3, 4, 2), "nn.Linear"),
    "norm": (lambda: nn.BatchNorm1d(3), "supported"),
    "unequal": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 2)), "toml"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unsupported_tensors_are_named(case: str, tmp_path: Path) -> None:
    make, what = REFUSED[case]
    torch.save({f"odd.{key}": value for key, value in make().state_dict().items()}, tmp_path / "m.pt")
    with pytest.raises(ModelFormatError, match="odd") as raised:
        load_network(tmp_path / "m.pt", timesteps=4)
    assert what in str(raised.value)


def test_time_steps_are_asked_for(tmp_path: Path) -> None:
    torch.save(nn.LSTM(3, 4).state_dict(), tmp_path / "m.pt")
    with pytest.raises(ModelFormatError, match="timesteps"):
        load_network(tmp_path / "m.pt")


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_pickles_are_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    torch.save(Trap(trap), tmp_path / "new.pt")
    torch.save(Trap(trap), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Trap(trap)))
    torch.save(Scripted(), tmp_path / "module.pt")
    for name in ("new", "old", "plain", "module"):
        with pytest.raises(ModelFormatError, match=r"state_dict|damaged"):
            load_model(tmp_path / f"{name}.pt", timesteps=4)
    assert not trap.exists()


def test_torchscript_that_does_more_than_arithmetic_is_not_run(tmp_path: Path) -> None:
    class Writer(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            torch.save(values, "sprung")
            return values

    try:
        torch.jit.script(Writer()).save(tmp_path / "m.pt")
    except (RuntimeError, NotImplementedError):
        pytest.skip("this torch does not script torch.save")
    with pytest.raises(ModelFormatError, match="aten::save"):
        load_model(tmp_path / "m.pt", timesteps=4)


def test_unsupported_torchscript_operator_is_named(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(nn.Sequential(nn.Linear(3, 2), nn.GELU()), torch.zeros(1, 4, 3)).save(tmp_path / "m.pt")
    with pytest.raises(ModelFormatError, match="aten::gelu"):
        load_model(tmp_path / "m.pt", timesteps=4)


def test_tensor_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    state = nn.LSTM(3, 4).state_dict()
    state["weight_ih_l0"] = torch.zeros(1).expand(16, 1 << 40)
    torch.save(dict(state), tmp_path / "m.pt")
    with pytest.raises(ModelFormatError, match="more values than the file holds"):
        load_network(tmp_path / "m.pt", timesteps=4)


def test_archive_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstmsim.importers.torch_state.FILE_LIMIT_BYTES", 1 << 20)
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(2 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelFormatError, match="unpacks to more"):
        load_network(path, timesteps=4)


def _write_safetensors(path: Path, state: Any) -> None:
    table, body = {}, b""
    for name, tensor in state.items():
        raw = tensor.numpy().tobytes()
        table[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    header = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)

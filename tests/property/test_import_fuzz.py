"""Damaged model files never raise anything but LstmsimError."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstmsim.errors import LstmsimError, ModelFormatError
from lstmsim.importers import load_model, load_network
from lstmsim.model import load_weights, random_model
from lstmsim.network import load_preset, network_from_toml, network_to_toml, preset_names

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
EXAMPLES = 20
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
damages = st.tuples(
    st.sampled_from(["truncate", "flip", "zero", "insert"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 255),
    st.integers(1, 64),
)


def _damaged(data: bytes, damage: tuple[str, float, int, int]) -> bytes:
    kind, place, value, length = damage
    at = int(place * len(data))
    if kind == "truncate":
        return data[:at]
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ value]) + data[at + 1 :]
    if kind == "zero":
        return data[:at] + bytes(length) + data[at + length :]
    return data[:at] + bytes([value]) * length + data[at:]


def _try(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for load in (load_network, load_model):
            try:
                load(path, timesteps=3)
            except LstmsimError as problem:
                assert "\n" not in str(problem)  # noqa: PT017 - most damaged files raise, some do not matter


def _keras_bytes(suffix: str, folder: Path) -> bytes:
    pytest.importorskip("h5py", reason="the extra keras is not installed")
    keras = pytest.importorskip("keras", reason="keras is not installed")
    layers = keras.layers
    stack = [layers.Bidirectional(layers.LSTM(2)), layers.Dense(2, "relu")]
    keras.Sequential([keras.Input((3, 2)), *stack]).save(folder / f"whole{suffix}")
    return (folder / f"whole{suffix}").read_bytes()


def _torch_bytes(suffix: str, folder: Path) -> bytes:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.save({**torch.nn.LSTM(2, 2).state_dict()}, folder / f"whole{suffix}")
    return (folder / f"whole{suffix}").read_bytes()


def _onnx_bytes(suffix: str, folder: Path) -> bytes:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    weights = {"W": np.ones((1, 8, 2), np.float32), "R": np.ones((1, 8, 2), np.float32)}
    weights |= {"K": np.ones((2, 3), np.float32)}
    nodes = [
        onnx.helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        onnx.helper.make_node("LSTM", ["t", "W", "R"], ["", "h"], hidden_size=2),
        onnx.helper.make_node("Squeeze", ["h", "axes"], ["s"]),
        onnx.helper.make_node("MatMul", ["s", "K"], ["z"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "graph",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ("batch", 3, 2))],
        [onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ("batch", 3))],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
        + [onnx.numpy_helper.from_array(np.asarray([0], np.int64), "axes")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())


MAKERS = {".keras": _keras_bytes, ".h5": _keras_bytes, ".pt": _torch_bytes, ".onnx": _onnx_bytes}


@pytest.fixture(scope="module", params=MAKERS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes, Path]:
    folder = tmp_path_factory.mktemp("whole")
    data = MAKERS[request.param](request.param, folder)
    path = folder / f"check{request.param}"
    path.write_bytes(data)
    load_model(path, timesteps=3)
    return request.param, data, folder


@fuzzed
@given(damage=damages)
def test_damaged_files(whole: tuple[str, bytes, Path], damage: tuple[str, float, int, int]) -> None:
    suffix, data, folder = whole
    path = folder / f"damaged{suffix}"
    path.write_bytes(_damaged(data, damage))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstmsim.importers.keras_files.PROBE_LIMIT_S", 2.0)
        _try(path)


@fuzzed
@given(data=st.binary(max_size=200), suffix=st.sampled_from([*MAKERS, ".safetensors", ".toml", ".npz", ".bin", ""]))
def test_noise(data: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("noise") / f"noise{suffix}"
    path.write_bytes(data)
    with pytest.raises(LstmsimError):
        load_model(path, timesteps=3)


@fuzzed
@given(damage=damages)
def test_damaged_configuration(damage: tuple[str, float, int, int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("configuration")
    config = (
        '{"class_name": "Sequential", "config": {"name": "m", "layers": [{"class_name": "LSTM", "config": {"name": "a",'
        ' "units": 4, "batch_shape": [null, 3, 2]}}, {"class_name": "Dense", "config": {"name": "b", "units": 2}}]}}'
    )
    path = folder / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", _damaged(config.encode(), damage))
    try:
        load_network(path)
    except LstmsimError as problem:
        assert "\n" not in str(problem)  # noqa: PT017 - most damaged files raise, some do not matter


@fuzzed
@given(damage=damages)
def test_damaged_weight_archive(damage: tuple[str, float, int, int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("weights")
    network = load_preset("autoenc-1")
    whole = folder.parent / "whole.npz"
    if not whole.exists():
        random_model(network).save(whole)
    (folder / "damaged.npz").write_bytes(_damaged(whole.read_bytes(), damage))
    try:
        load_weights(network, folder / "damaged.npz")
    except LstmsimError as problem:
        assert "npz" in str(problem) or "network" in str(problem)  # noqa: PT017 - most damaged files raise, some do not matter


def test_weight_archive_bomb(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, big=np.zeros(1 << 24))
    (tmp_path / "bomb.npz").write_bytes(stream.getvalue())
    with pytest.raises(ModelFormatError, match="unpacks to"):
        load_weights(load_preset("autoenc-1"), tmp_path / "bomb.npz")


@pytest.mark.parametrize("name", preset_names())
def test_toml_round_trip(name: str, tmp_path: Path) -> None:
    network = load_preset(name)
    (tmp_path / "n.toml").write_text(network_to_toml(network), encoding="utf-8")
    assert network_from_toml(tmp_path / "n.toml") == network


@given(name=st.text(max_size=20), note=st.text(max_size=20))
@fuzzed
def test_toml_keeps_any_text(name: str, note: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    import dataclasses

    network = dataclasses.replace(load_preset("autoenc-1"), name=name, note=note)
    path = tmp_path_factory.mktemp("toml") / "n.toml"
    path.write_bytes(network_to_toml(network).encode("utf-8", "surrogatepass"))
    assert network_from_toml(path) == network

"""Keras models read without Keras give Keras' outputs."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))
from import_cases import COUNT, assert_same, inputs, keras_model

from lstmsim.errors import LstmsimError, ModelFormatError
from lstmsim.importers import from_keras, load_model, load_network
from lstmsim.network import DenseLayer, LstmLayer

pytest.importorskip("h5py", reason="the extra keras is not installed")
keras = pytest.importorskip("keras", reason="keras is not installed")
layers = keras.layers


@pytest.mark.parametrize("seed", range(COUNT))
def test_round_trip(seed: int, tmp_path: Path) -> None:
    model = keras_model(keras, seed)
    values = inputs(seed, *model.input_shape[1:])
    expected = np.asarray(model(values))
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"model{suffix}"
        model.save(path)
        assert_same(load_model(path).predict(values), expected)
        assert load_network(path) == load_model(path).network
    assert_same(from_keras(model).predict(values), expected)


def test_shape_needs_no_framework_and_no_h5py(tmp_path: Path) -> None:
    keras_model(keras, 1).save(tmp_path / "model.keras")
    code = (
        "import sys; sys.modules['h5py'] = None; sys.modules['tensorflow'] = None; sys.modules['keras'] = None\n"
        f"from lstmsim.importers import load_network\nload_network({str(tmp_path / 'model.keras')!r})\n"
        "assert 'numpy' not in sys.modules"
    )
    import subprocess

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_preset_needs_no_numpy() -> None:
    import subprocess

    code = "import sys\nfrom lstmsim import load_network\nload_network('autoenc-5')\nassert 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _sequential(*stack: Any, shape: tuple[int | None, ...] = (4, 3)) -> Any:
    return keras.Sequential([keras.Input(shape), *stack])


REFUSED = {
    "gru": (lambda: [layers.GRU(3, name="odd")], "GRU"),
    "simple_rnn": (lambda: [layers.SimpleRNN(3, name="odd")], "SimpleRNN"),
    "conv": (lambda: [layers.Conv1D(3, 2, name="odd"), layers.LSTM(2)], "Conv1D"),
    "norm": (lambda: [layers.LSTM(2), layers.BatchNormalization(name="odd")], "BatchNormalization"),
    "masking": (lambda: [layers.Masking(name="odd"), layers.LSTM(2)], "Masking"),
    "activation": (lambda: [layers.LSTM(2, activation="relu", name="odd")], "activation 'relu'"),
    "gate": (lambda: [layers.LSTM(2, recurrent_activation="hard_sigmoid", name="odd")], "hard_sigmoid"),
    "dense": (lambda: [layers.LSTM(2), layers.Dense(2, activation="gelu", name="odd")], "gelu"),
    "merge": (lambda: [layers.Bidirectional(layers.LSTM(2), merge_mode="sum", name="odd")], "merge_mode 'sum'"),
    "inside": (lambda: [layers.Bidirectional(layers.GRU(2), name="odd")], "GRU"),
    "activation_alone": (lambda: [layers.LSTM(2), layers.Activation("relu", name="odd")], "does not follow a Dense"),
    "relu_option": (lambda: [layers.LSTM(2), layers.Dense(2), layers.ReLU(max_value=6, name="odd")], "max_value"),
    "pool": (lambda: [layers.LSTM(2, return_sequences=True), layers.GlobalAveragePooling1D(name="odd")], "Global"),
    "flatten_turned": (
        lambda: [layers.LSTM(2, return_sequences=True, go_backwards=True), layers.Flatten(name="odd")],
        "last to first",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_unsupported_layer_is_named(case: str, suffix: str, tmp_path: Path) -> None:
    stack, what = REFUSED[case]
    model = _sequential(*stack())
    model.save(tmp_path / f"m{suffix}")
    with pytest.raises(ModelFormatError, match="odd") as raised:
        load_network(tmp_path / f"m{suffix}")
    assert what in str(raised.value)
    assert "\n" not in str(raised.value)


def test_stateful_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input(batch_shape=(1, 4, 3)), layers.LSTM(2, stateful=True, name="odd")])
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelFormatError, match=r"odd.*stateful"):
        load_network(tmp_path / "m.keras")


def test_sequences_left_turned_are_refused(tmp_path: Path) -> None:
    _sequential(layers.LSTM(2, return_sequences=True, go_backwards=True)).save(tmp_path / "m.keras")
    with pytest.raises(ModelFormatError, match="last to first"):
        load_network(tmp_path / "m.keras")


def test_branches_and_several_ends_are_refused(tmp_path: Path) -> None:
    entry, other = keras.Input((4, 3)), keras.Input((4, 3))
    left, right = layers.LSTM(2)(entry), layers.LSTM(2)(entry)
    keras.Model(entry, layers.add([left, right])).save(tmp_path / "branch.keras")
    keras.Model([entry, other], layers.LSTM(2)(layers.concatenate([entry, other]))).save(tmp_path / "two.keras")
    keras.Model(entry, [left, right]).save(tmp_path / "ends.keras")
    for name, what in (("branch", "goes to|reads 2"), ("two", "2 inputs"), ("ends", "2 outputs")):
        with pytest.raises(ModelFormatError, match=what):
            load_network(tmp_path / f"{name}.keras")


def test_open_time_steps_are_asked_for(tmp_path: Path) -> None:
    model = _sequential(layers.LSTM(2), shape=(None, 3))
    model.save(tmp_path / "m.keras")
    with pytest.raises(ModelFormatError, match="timesteps"):
        load_network(tmp_path / "m.keras")
    values = inputs(0, 7, 3)
    assert_same(load_model(tmp_path / "m.keras", timesteps=7).predict(values), np.asarray(model(values)))


def test_other_time_steps_than_the_models_are_refused(tmp_path: Path) -> None:
    _sequential(layers.LSTM(2)).save(tmp_path / "m.keras")
    with pytest.raises(ModelFormatError, match="4 time steps, 5"):
        load_network(tmp_path / "m.keras", timesteps=5)


def test_weights_only_file_is_explained(tmp_path: Path) -> None:
    _sequential(layers.LSTM(2)).save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ModelFormatError, match="weights only"):
        load_network(tmp_path / "m.weights.h5")


def test_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (64 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelFormatError, match="limit"):
        load_network(path)


def test_huge_units_and_deep_nesting_are_refused(tmp_path: Path) -> None:
    model = _sequential(layers.LSTM(2))
    config = json.loads(model.to_json())
    config["config"]["layers"][1]["config"]["units"] = 10**12
    _archive(tmp_path / "huge.keras", json.dumps(config))
    _archive(tmp_path / "deep.keras", "[" * 100_000)
    nested: dict[str, Any] = config
    for _ in range(40):
        nested = {"class_name": "Sequential", "config": {"name": "n", "layers": [nested]}}
    _archive(tmp_path / "nested.keras", json.dumps(nested))
    for name in ("huge", "deep", "nested"):
        with pytest.raises(LstmsimError):
            load_network(tmp_path / f"{name}.keras")


def test_weights_of_another_shape_are_refused_before_they_are_read(tmp_path: Path) -> None:
    import h5py

    model = _sequential(layers.LSTM(2, name="odd"))
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        names = file["model_weights/odd"].attrs["weight_names"]
        kernel = f"model_weights/odd/{names[0]}"
        del file[kernel]
        file.create_dataset(kernel, shape=(10**9, 10**9), dtype="f4", chunks=(1, 1024))
    with pytest.raises(ModelFormatError, match=r"odd.*shape"):
        load_model(tmp_path / "m.h5")


def test_links_out_of_the_file_are_refused(tmp_path: Path) -> None:
    import h5py

    model = _sequential(layers.LSTM(2, name="odd"))
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        kernel = f"model_weights/odd/{file['model_weights/odd'].attrs['weight_names'][0]}"
        file.copy(kernel, "kept")
        del file[kernel]
        file[kernel] = h5py.ExternalLink("other.h5", "kernel")
    with pytest.raises(ModelFormatError, match="not in the file"):
        load_model(tmp_path / "m.h5")


def test_wrong_suffix_is_named(tmp_path: Path) -> None:
    model = _sequential(layers.LSTM(2))
    model.save(tmp_path / "m.keras")
    (tmp_path / "m.keras").rename(tmp_path / "m.onnx")
    with pytest.raises(ModelFormatError, match="Keras archive"):
        load_network(tmp_path / "m.onnx")


def test_keras_2_configuration_is_read() -> None:
    from lstmsim.importers.keras_config import read_config

    lstm = {"name": "a", "units": 4, "return_sequences": True, "batch_input_shape": [None, 5, 2]}
    dense = {"name": "b", "units": 1, "activation": "relu"}
    old = {
        "class_name": "Sequential",
        "config": [{"class_name": "LSTM", "config": lstm}, {"class_name": "Dense", "config": dense}],
    }
    functional = {
        "class_name": "Functional",
        "config": {
            "layers": [
                {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 5, 2], "name": "in"}, "name": "in",
                 "inbound_nodes": []},
                {"class_name": "Dense", "config": dense, "name": "b", "inbound_nodes": [[["a", 0, 0, {}]]]},
                {"class_name": "LSTM", "config": lstm, "name": "a", "inbound_nodes": [[["in", 0, 0, {}]]]},
            ],
            "input_layers": [["in", 0, 0]],
            "output_layers": [["b", 0, 0]],
        },
    }  # fmt: skip
    expected = (LstmLayer(units=4), DenseLayer(units=1, activation="relu"))
    for config in (old, functional):
        assert read_config(config, "m", None, None).network.layers == expected


def _archive(path: Path, config: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)

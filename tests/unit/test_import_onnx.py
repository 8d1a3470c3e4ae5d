"""ONNX models exported from Keras and PyTorch give the frameworks' outputs."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))
from import_cases import COUNT, assert_same, inputs, keras_model, torch_module, torch_outputs

from lstmsim.errors import ModelFormatError
from lstmsim.importers import load_model, load_network
from lstmsim.network import DenseLayer, LstmLayer, RepeatLayer, ReshapeLayer

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
helper = onnx.helper


def _export_torch(torch: Any, module: Any, example: Any, path: Path, batch_axis: int, *, dynamo: bool) -> None:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if dynamo:
            pytest.importorskip("onnxscript", reason="onnxscript is not installed")
            logging.disable(logging.WARNING)
            torch.onnx.export(
                module, (example,), path, dynamo=True, verbose=False, dynamic_shapes=({batch_axis: "batch"},)
            )
            logging.disable(logging.NOTSET)
        else:
            axes = {"values": {batch_axis: "batch"}}
            torch.onnx.export(module, (example,), path, dynamo=False, input_names=["values"], dynamic_axes=axes)


def _torch_round_trip(seed: int, path: Path, *, dynamo: bool, dynamic: bool = True) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module, (timesteps, features), batch_first = torch_module(torch, seed)
    values = inputs(seed, timesteps, features)
    shape = (2, timesteps, features) if batch_first else (timesteps, 2, features)
    _export_torch(torch, module, torch.zeros(shape), path, 0 if batch_first else 1, dynamo=dynamo)
    model = load_model(path)
    assert (model.network.timesteps, model.network.features) == (timesteps, features)
    assert_same(model.predict(values), torch_outputs(torch, module, values, batch_first))


@pytest.mark.parametrize("seed", range(COUNT))
def test_pytorch_export(seed: int, tmp_path: Path) -> None:
    _torch_round_trip(seed, tmp_path / "m.onnx", dynamo=False)


@pytest.mark.parametrize("seed", range(2))
def test_pytorch_dynamo_export(seed: int, tmp_path: Path) -> None:
    _torch_round_trip(seed, tmp_path / "m.onnx", dynamo=True)


@pytest.mark.parametrize("seed", range(COUNT))
def test_keras_export(seed: int, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="keras is not installed")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    model = keras_model(keras, seed)
    values = inputs(seed, *model.input_shape[1:])
    expected = np.asarray(model(values))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    assert_same(load_model(tmp_path / "m.onnx").predict(values), expected)


def test_saved_model(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="keras is not installed")
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    model = keras_model(keras, 5)
    model.export(tmp_path / "saved", verbose=False)
    values = inputs(5, *model.input_shape[1:])
    assert_same(load_model(tmp_path / "saved").predict(values), np.asarray(model(values)))


UNITS, INPUTS, STEPS = 2, 3, 4


def _lstm_graph(
    tail: list[Any] | None = None,
    *,
    output: str = "y_h",
    extra_inputs: dict[int, np.ndarray] | None = None,
    shape: tuple[Any, ...] = (STEPS, "batch", INPUTS),
    seed: int = 0,
    constants: dict[str, np.ndarray] | None = None,
    **attributes: Any,
) -> Any:
    """One LSTM, time first, and nodes after it; returns a ModelProto."""
    pick = np.random.default_rng(seed)
    passes = 2 if attributes.get("direction") == "bidirectional" else 1
    arrays = {
        "W": pick.uniform(-1, 1, (passes, 4 * UNITS, INPUTS)).astype(np.float32),
        "R": pick.uniform(-1, 1, (passes, 4 * UNITS, UNITS)).astype(np.float32),
        "B": pick.uniform(-1, 1, (passes, 8 * UNITS)).astype(np.float32),
        **(constants or {}),
    }
    names = ["x", "W", "R", "B", "", "", "", ""]
    for index, array in (extra_inputs or {}).items():
        names[index] = f"extra{index}"
        arrays[names[index]] = array
    while names[-1] == "":
        names.pop()
    node = helper.make_node("LSTM", names, ["y", "y_h", "y_c"], name="odd", hidden_size=UNITS, **attributes)
    graph = helper.make_graph(
        [node, *(tail or [])],
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _save(model: Any, tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _reference(model: Any, values: np.ndarray, *, batch_first: bool = False) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(model.SerializeToString())
    (outputs,) = session.run(None, {"x": values if batch_first else values.swapaxes(0, 1).copy()})
    return np.asarray(outputs)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_directions_and_states(direction: str, tmp_path: Path) -> None:
    values = inputs(1, STEPS, INPUTS)
    states = _lstm_graph(direction=direction)
    ours = load_model(_save(states, tmp_path))
    theirs = _reference(states, values)  # [passes, batch, units]
    assert_same(ours.predict(values), theirs.swapaxes(0, 1).reshape(3, -1))
    assert ours.network.layers[0] == LstmLayer(units=UNITS, return_sequences=False, direction=direction)
    every = _lstm_graph(output="y", direction=direction)
    theirs = _reference(every, values)  # [steps, passes, batch, units]
    ours = load_model(_save(every, tmp_path))
    assert_same(ours.predict(values), theirs.transpose(2, 0, 1, 3).reshape(3, STEPS, -1))


def test_states_that_change_nothing_are_accepted(tmp_path: Path) -> None:
    zeros, lengths = np.zeros((1, 2, UNITS), np.float32), np.full(2, STEPS, np.int32)
    extra = {4: lengths, 5: zeros, 6: zeros, 7: np.zeros((1, 3 * UNITS), np.float32)}
    plain = load_network(_save(_lstm_graph(), tmp_path))
    assert load_network(_save(_lstm_graph(extra_inputs=extra), tmp_path)) == plain


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "initial state": ({"extra_inputs": {5: np.ones((1, 2, UNITS), np.float32)}}, "initial hidden state"),
    "initial cell": ({"extra_inputs": {6: np.ones((1, 2, UNITS), np.float32)}}, "initial cell state"),
    "peepholes": ({"extra_inputs": {7: np.ones((1, 3 * UNITS), np.float32)}}, "peephole"),
    "lengths": ({"extra_inputs": {4: np.full(2, 2, np.int32)}}, "sequence lengths"),
    "clip": ({"clip": 3.0}, "clip"),
    "coupled": ({"input_forget": 1}, "input_forget"),
    "activations": ({"activations": ["HardSigmoid", "Tanh", "Tanh"]}, "hardsigmoid"),
    "direction": ({"direction": "sideways"}, "sideways"),
    "cell state": ({"output": "z", "tail": [helper.make_node("Identity", ["y_c"], ["z"], name="odd")]}, "cell state"),
    "operator": ({"output": "z", "tail": [helper.make_node("Gelu", ["y_h"], ["z"], name="odd")]}, "Gelu"),
    "domain": ({"output": "z", "tail": [helper.make_node("Odd", ["y_h"], ["z"], name="odd", domain="my")]}, "my.Odd"),
    "tanh after": ({"output": "z", "tail": [helper.make_node("Tanh", ["y_h"], ["z"], name="odd")]}, "after a dense"),
    "missing": ({"output": "z", "tail": [helper.make_node("Relu", ["none"], ["z"], name="odd")]}, "'none'"),
    "mixed": (
        {"output": "z", "tail": [helper.make_node("Concat", ["y_h", "B"], ["z"], name="odd", axis=0)]},
        "constants",
    ),
    "residual": ({"output": "z", "tail": [helper.make_node("Add", ["x", "y"], ["z"], name="odd")]}, "adds"),
    "bomb": (
        {
            "output": "z",
            "constants": {"n": np.full(3, 1 << 30, np.int64)},
            "tail": [helper.make_node("Tile", ["y_h", "n"], ["z"], name="odd")],
        },
        "limit",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_supported_is_named(case: str, tmp_path: Path) -> None:
    options, what = REFUSED[case]
    with pytest.raises(ModelFormatError, match="odd") as raised:
        load_network(_save(_lstm_graph(**options), tmp_path))
    assert what in str(raised.value)


@pytest.mark.parametrize("operator", ["GRU", "RNN", "Scan", "Loop"])
def test_other_recurrent_operators_are_named(operator: str, tmp_path: Path) -> None:
    model = _lstm_graph()
    model.graph.node[0].op_type = operator
    with pytest.raises(ModelFormatError, match=f"odd.*{operator}"):
        load_network(_save(model, tmp_path))


def test_a_step_in_the_middle_is_refused(tmp_path: Path) -> None:
    tail = [helper.make_node("Gather", ["y", "one"], ["z"], name="pick", axis=0)]
    model = _lstm_graph(tail, output="z", constants={"one": np.asarray(1, np.int64)})
    with pytest.raises(ModelFormatError, match="step 2 of 4"):
        load_network(_save(model, tmp_path))


def test_last_step_of_both_directions_is_explained(tmp_path: Path) -> None:
    tail = [
        helper.make_node("Transpose", ["y"], ["t"], perm=[2, 0, 1, 3]),
        helper.make_node("Gather", ["t", "last"], ["z"], name="pick", axis=1),
    ]
    model = _lstm_graph(tail, output="z", direction="bidirectional", constants={"last": np.asarray(-1, np.int64)})
    with pytest.raises(ModelFormatError, match="last state of each direction"):
        load_network(_save(model, tmp_path))


def test_repeat_reshape_and_two_dense_layers(tmp_path: Path) -> None:
    pick = np.random.default_rng(3)
    constants = {
        "batch_first": np.asarray([-1, 1, UNITS], np.int64),
        "repeats": np.asarray([1, 6, 1], np.int64),
        "three": np.asarray([-1, 3, 2 * UNITS], np.int64),
        "K": pick.uniform(-1, 1, (2 * UNITS, 5)).astype(np.float32),
        "b": pick.uniform(-1, 1, 5).astype(np.float32),
        "L": pick.uniform(-1, 1, (5, 2)).astype(np.float32),
    }
    tail = [
        helper.make_node("Reshape", ["y_h", "batch_first"], ["r"]),
        helper.make_node("Tile", ["r", "repeats"], ["t"]),
        helper.make_node("Reshape", ["t", "three"], ["s"]),
        helper.make_node("MatMul", ["s", "K"], ["m"]),
        helper.make_node("Add", ["b", "m"], ["a"]),
        helper.make_node("Softmax", ["a"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "L"], ["z"]),
    ]
    model = _lstm_graph(tail, output="z", constants=constants)
    ours = load_model(_save(model, tmp_path))
    values = inputs(4, STEPS, INPUTS)
    assert_same(ours.predict(values), _reference(model, values))
    kinds = [type(layer) for layer in ours.network.layers]
    assert (kinds[0], kinds[-2:]) == (LstmLayer, [DenseLayer, DenseLayer])
    assert set(kinds[1:-2]) == {RepeatLayer, ReshapeLayer}


def test_branches_are_refused(tmp_path: Path) -> None:
    ones = np.ones((UNITS, 2), np.float32)
    tail = [
        helper.make_node("MatMul", ["y_h", "K"], ["m"]),
        helper.make_node("MatMul", ["y_h", "L"], ["n"], name="odd"),
        helper.make_node("Concat", ["m", "n"], ["z"], name="join", axis=0),
    ]
    model = _lstm_graph(tail, output="z", constants={"K": ones, "L": 2 * ones})
    with pytest.raises(ModelFormatError, match="used twice"):
        load_network(_save(model, tmp_path))


def test_several_ends_are_refused(tmp_path: Path) -> None:
    model = _lstm_graph()
    model.graph.output.append(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None))
    with pytest.raises(ModelFormatError, match="2 outputs"):
        load_network(_save(model, tmp_path))


def test_open_time_steps_are_asked_for(tmp_path: Path) -> None:
    path = _save(_lstm_graph(shape=("steps", "batch", INPUTS)), tmp_path)
    with pytest.raises(ModelFormatError, match="timesteps"):
        load_network(path)
    assert load_network(path, timesteps=9).timesteps == 9


def test_weights_beside_the_model_only(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    model = _lstm_graph()
    expected = load_model(_save(model, tmp_path)).predict(inputs(0, STEPS, INPUTS))
    onnx.save(model, tmp_path / "inside" / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    found = load_model(tmp_path / "inside" / "m.onnx").predict(inputs(0, STEPS, INPUTS))
    assert np.array_equal(found, expected)
    stored = onnx.load(tmp_path / "inside" / "m.onnx", load_external_data=False)
    for tensor in stored.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    (tmp_path / "secret").write_bytes(bytes(4096))
    (tmp_path / "inside" / "m.onnx").write_bytes(stored.SerializeToString())
    with pytest.raises(ModelFormatError, match="beside"):
        load_model(tmp_path / "inside" / "m.onnx")

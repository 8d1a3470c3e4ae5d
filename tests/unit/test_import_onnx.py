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

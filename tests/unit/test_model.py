from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstmsim.errors import ModelFormatError
from lstmsim.model import LstmWeights, Model, load_weights, random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, ReshapeLayer, load_preset

MIXED = Network(
    name="mixed",
    timesteps=5,
    features=3,
    layers=(
        LstmLayer(units=4, direction="bidirectional"),
        LstmLayer(units=3, return_sequences=False, direction="reverse"),
        RepeatLayer(count=4),
        LstmLayer(units=2),
        ReshapeLayer(timesteps=1, features=8),
        DenseLayer(units=3, activation="softmax"),
    ),
)


def test_one_step_by_hand() -> None:
    network = Network(name="one", timesteps=2, features=1, layers=(LstmLayer(units=1),))
    kernel = np.array([0.5, -0.3, 0.8, 0.1]).reshape(4, 1, 1)
    recurrent = np.array([0.2, 0.4, -0.6, 0.9]).reshape(4, 1, 1)
    bias = np.array([0.1, 0.2, -0.1, 0.3]).reshape(4, 1)
    model = Model(network, ((LstmWeights(kernel, recurrent, bias),),))
    hidden = cell = 0.0
    outputs = []
    for value in (1.5, -0.7):
        entry, forget, candidate, output = (kernel[:, 0, 0] * value + recurrent[:, 0, 0] * hidden + bias[:, 0]).tolist()
        sigmoid = lambda number: 1 / (1 + np.exp(-number))  # noqa: E731
        cell = sigmoid(forget) * cell + sigmoid(entry) * np.tanh(candidate)
        hidden = sigmoid(output) * np.tanh(cell)
        outputs.append(hidden)
    found = model.predict(np.array([[1.5], [-0.7]]))
    assert found[0, :, 0] == pytest.approx(outputs, abs=1e-15)


def test_shapes_directions_and_softmax() -> None:
    model = random_model(MIXED, seed=3)
    outputs = model.predict(np.random.default_rng(1).normal(size=(7, 5, 3)))
    assert outputs.shape == (7, 1, 3)
    assert outputs.sum(axis=-1) == pytest.approx(np.ones((7, 1)))


def test_a_reverse_layer_is_a_forward_layer_on_turned_inputs() -> None:
    forward = Network(name="f", timesteps=6, features=2, layers=(LstmLayer(units=3),))
    reverse = Network(name="r", timesteps=6, features=2, layers=(LstmLayer(units=3, direction="reverse"),))
    model = random_model(forward, seed=5)
    inputs = np.random.default_rng(2).normal(size=(2, 6, 2))
    turned = Model(reverse, model.weights).predict(inputs)
    np.testing.assert_array_equal(turned, model.predict(inputs[:, ::-1])[:, ::-1])


def test_weights_survive_a_round_trip(tmp_path: Path) -> None:
    model = random_model(MIXED, seed=9)
    model.save(tmp_path / "w.npz")
    again = load_weights(MIXED, tmp_path / "w.npz")
    inputs = np.random.default_rng(0).normal(size=(2, 5, 3))
    np.testing.assert_array_equal(model.predict(inputs), again.predict(inputs))
    with pytest.raises(ModelFormatError):
        load_weights(load_preset("autoenc-1"), tmp_path / "w.npz")


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    random_model(MIXED).save(path)
    data = path.read_bytes()
    for broken in (b"", b"PK", data[: len(data) // 2], b"\x80\x04N.", data[:-40]):
        path.write_bytes(broken)
        with pytest.raises(ModelFormatError):
            load_weights(MIXED, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_and_inputs_must_be_finite(value: float) -> None:
    model = random_model(MIXED)
    inputs = np.zeros((1, 5, 3))
    inputs[0, 2, 1] = value
    with pytest.raises(ModelFormatError, match="NaN or infinity"):
        model.predict(inputs)
    first = model.weights[0]
    assert isinstance(first, tuple)
    first[0].bias[1, 2] = value
    with pytest.raises(ModelFormatError, match="layer 1"):
        Model(MIXED, model.weights)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (1, 4, 3), (2, 5, 3, 1)])
def test_inputs_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelFormatError, match="shape"):
        random_model(MIXED).predict(np.zeros(shape))

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lstmsim.datasets import ForecastData
from lstmsim.datasets.synthetic import load_synthetic
from lstmsim.errors import ConfigError, DataError
from lstmsim.files import data_folder, read_toml
from lstmsim.model import load_weights, random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, ReshapeLayer, load_preset
from lstmsim.training import TrainingPlan, build_keras, from_keras_weights, save_trained, train
from lstmsim.weights import default_weights, packaged_model, rounded_to_half

AUTOENCODER = Network(
    name="tiny",
    timesteps=3,
    features=4,
    layers=(LstmLayer(units=8, return_sequences=False), RepeatLayer(count=3), LstmLayer(units=6), DenseLayer(units=4)),
)
EVERYTHING = Network(
    name="all",
    timesteps=6,
    features=2,
    layers=(
        LstmLayer(units=5, direction="bidirectional"),
        LstmLayer(units=4, direction="reverse"),
        ReshapeLayer(timesteps=3, features=8),
        LstmLayer(units=3, return_sequences=False, direction="bidirectional"),
        RepeatLayer(count=2),
        LstmLayer(units=3, return_sequences=False, direction="reverse"),
        DenseLayer(units=5, activation="relu"),
        DenseLayer(units=3, activation="softmax"),
    ),
)


@pytest.mark.parametrize(
    "values", [{"epochs": 0}, {"batch": 0}, {"learning_rate": 2.0}, {"seed": -1}, {"learning_rate": float("nan")}]
)
def test_plan_refuses(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        TrainingPlan(**values)  # type: ignore[arg-type]


def test_weights_round_to_half_and_come_back(tmp_path: Path) -> None:
    model = random_model(AUTOENCODER, 1)
    half = rounded_to_half(model)
    half.save(tmp_path / "w.npz")
    back = load_weights(AUTOENCODER, tmp_path / "w.npz")
    inputs = np.random.default_rng(0).random((5, 3, 4))
    np.testing.assert_array_equal(back.predict(inputs), half.predict(inputs))
    np.testing.assert_allclose(half.predict(inputs), model.predict(inputs), atol=5e-3)


def test_other_shapes_find_no_packaged_weights() -> None:
    impostor = Network(name="autoenc-1", timesteps=3, features=4, layers=AUTOENCODER.layers)
    assert packaged_model(impostor, "synthetic") is None
    assert default_weights("tiny") is None
    assert default_weights("autoenc-1") is not None


def test_our_forward_pass_is_that_of_keras() -> None:
    pytest.importorskip("tensorflow")
    net = build_keras(EVERYTHING)
    generator = np.random.default_rng(2)
    net.set_weights([generator.normal(size=value.shape) * 0.5 for value in net.get_weights()])
    inputs = generator.random((7, 6, 2)).astype(np.float32)
    ours = from_keras_weights(EVERYTHING, net).predict(inputs)
    np.testing.assert_allclose(ours, np.asarray(net(inputs)), atol=1e-5)


def test_training_learns_and_is_repeatable(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    data = load_synthetic(AUTOENCODER, sizes=(256, 64, 64))
    plan = TrainingPlan(epochs=6, batch=32, learning_rate=0.02, seed=3)
    seen: list[int] = []
    first = train(AUTOENCODER, data, plan, lambda epoch, loss, check: seen.append(epoch))
    assert seen == list(range(1, 7))
    assert first.losses[-1] < 0.5 * first.losses[0]
    story = save_trained(first, tmp_path / "w.npz")
    assert 'command = "lstmsim train tiny --data synthetic --seed 3' in story.read_text()
    again = train(AUTOENCODER, data, plan)
    assert again.losses == first.losses
    with pytest.raises(ConfigError, match="--force"):
        save_trained(again, tmp_path / "w.npz")


def test_too_few_windows_for_a_batch() -> None:
    pytest.importorskip("tensorflow")
    with pytest.raises(DataError, match="--batch"):
        train(AUTOENCODER, load_synthetic(AUTOENCODER, sizes=(10, 10, 10)), TrainingPlan(batch=64))


PACKAGED = sorted(entry.name for entry in data_folder("weights").iterdir() if entry.name.endswith(".npz"))


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights_load_without_tensorflow_and_have_a_story(name: str) -> None:
    network_name, kind, seed = name.removesuffix(".npz").rsplit(".", 2)
    network = load_preset(network_name)
    model = packaged_model(network, kind, int(seed))
    assert model is not None
    outputs = model.predict(np.full((2, network.timesteps, network.features), 0.5))
    assert np.isfinite(outputs).all()
    story = read_toml(data_folder("weights") / f"{network_name}.{kind}.{seed}.toml")
    assert story["network"] == network_name
    assert story["seed"] == int(seed)
    assert kind in story["data"]
    assert story["command"].startswith(f"lstmsim train {network_name} ")


@pytest.mark.parametrize("name", [name for name in PACKAGED if ".synthetic." in name])
def test_packaged_weights_beat_the_mean(name: str) -> None:
    network = load_preset(name.split(".")[0])
    data, model = load_synthetic(network, sizes=(10, 10, 60)), packaged_model(network, "synthetic")
    assert model is not None
    wanted = data.targets if isinstance(data, ForecastData) else data.test[~data.labels]
    given = model.predict(data.test if isinstance(data, ForecastData) else wanted)
    assert np.square(given - wanted).mean() < 0.75 * wanted.var()

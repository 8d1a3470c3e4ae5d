"""Every backend computes the network that it is asked to time."""

import importlib.util

import numpy as np
import pytest

from lstmsim.config import KernelConfig
from lstmsim.errors import ConfigError, HardwareError
from lstmsim.hardware.backends import BACKENDS, Job, build
from lstmsim.model import random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, ReshapeLayer, load_preset
from lstmsim.simulate import simulate

PACKAGES = {"onnxruntime": "onnxruntime", "tensorflow": "tensorflow", "torch": "torch", "torch-jit": "torch"}
EVERY_LAYER = Network(
    name="every-layer",
    timesteps=6,
    features=3,
    layers=(
        LstmLayer(units=5, direction="bidirectional"),
        LstmLayer(units=4, direction="reverse"),
        ReshapeLayer(timesteps=4, features=6),
        DenseLayer(units=5, activation="tanh"),
        LstmLayer(units=4, direction="bidirectional", return_sequences=False),
        RepeatLayer(count=3),
        LstmLayer(units=3, direction="reverse", return_sequences=False),
        DenseLayer(units=6, activation="relu"),
        DenseLayer(units=4, activation="softmax"),
    ),
)


def job(network, backend, batch=2, **options):
    inputs = np.random.default_rng(1).uniform(-1, 1, (batch, network.timesteps, network.features)).astype(np.float32)
    return Job(model=random_model(network, seed=3), inputs=inputs, target="cpu", backend=backend, **options)


def needs(backend):
    if importlib.util.find_spec(PACKAGES[backend]) is None:
        pytest.skip(f"{PACKAGES[backend]} is not installed")


@pytest.mark.parametrize("backend", sorted(PACKAGES))
@pytest.mark.parametrize("network", [EVERY_LAYER, load_preset("autoenc-1")], ids=lambda network: network.name)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_outputs_are_those_of_the_model_in_double_precision(backend, network):
    needs(backend)
    task = job(network, backend)
    outputs = build(task).run()
    assert outputs.shape == (2, network.output.timesteps, network.output.features)
    np.testing.assert_allclose(outputs, task.model.predict(task.inputs), atol=2e-5)  # float32 against float64


def test_the_simulator_is_a_backend_too():
    task = job(EVERY_LAYER, "lstmsim")
    np.testing.assert_array_equal(build(task).run(), simulate(task.model, KernelConfig(), task.inputs))
    with pytest.raises(HardwareError, match="--device cpu"):
        build(Job(model=task.model, inputs=task.inputs, target="cuda", backend="lstmsim"))


def test_an_unknown_backend_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="torch-jit"):
        build(job(EVERY_LAYER, "torch-gti"))


@pytest.mark.parametrize("backend", sorted(PACKAGES))
def test_a_gpu_that_is_not_there_is_an_error(backend):
    needs(backend)
    task = job(EVERY_LAYER, backend)
    if backend.startswith("torch") and __import__("torch").cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(HardwareError, match="--device cpu"):
        build(Job(model=task.model, inputs=task.inputs, target="cuda", backend=backend))


def test_the_list_of_backends_is_what_can_be_built():
    assert set(PACKAGES) | {"lstmsim"} == set(BACKENDS)

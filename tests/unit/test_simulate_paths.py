"""The same bits without compiled code, and without AVX2."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lstmsim.config import KernelConfig, config_from_dict, float_config
from lstmsim.model import random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, load_preset
from lstmsim.quantise import quantise_model
from lstmsim.simulate import Path, Simulator

NETWORK = Network(
    name="small",
    timesteps=2,
    features=2,
    layers=(LstmLayer(units=3), LstmLayer(units=2, return_sequences=False), DenseLayer(units=2)),
)
CONFIGS = (
    {},
    {
        "state_format": "ap_fixed<12,4,AP_RND_CONV,AP_SAT>",
        "accumulator_format": "ap_fixed<20,8,AP_RND,AP_SAT>",
        "activation": "plan",
    },
    {"weight_format": "ap_fixed<20,4>", "accumulator_format": "ap_fixed<40,16>", "activation": "interpolated"},
    dict.fromkeys(
        ("weight_format", "state_format", "cell_format", "accumulator_format", "io_format"), "float"
    ),
)  # fmt: skip
INPUTS = np.random.default_rng(3).uniform(-1, 1, (5, 2, 2))

PROGRAM = """
import sys
import numpy as np
from numba import config
assert config.DISABLE_JIT
from lstmsim.config import config_from_dict
from lstmsim.model import load_weights
from lstmsim.network import DenseLayer, LstmLayer, Network
from lstmsim.quantise import quantise_model
from lstmsim.simulate import Path, Simulator

folder, layers, configs = sys.argv[1], eval(sys.argv[2]), eval(sys.argv[3])
network = Network(name="small", timesteps=2, features=2, layers=layers)
model, inputs = load_weights(network, f"{folder}/w.npz"), np.load(f"{folder}/x.npy")
for number, table in enumerate(configs):
    simulator = Simulator(quantise_model(model, config_from_dict(table)))
    assert simulator.plan.path is Path.PLAIN
    np.save(f"{folder}/y{number}.npy", simulator.run(inputs))
"""


def test_without_compiled_code(tmp_path):
    model = random_model(NETWORK, 5)
    model.save(tmp_path / "w.npz")
    np.save(tmp_path / "x.npy", INPUTS)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), repr(NETWORK.layers), repr(CONFIGS)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for number, table in enumerate(CONFIGS):
        simulator = Simulator(quantise_model(model, config_from_dict(table)))
        assert simulator.plan.path is not Path.PLAIN
        np.testing.assert_array_equal(np.load(tmp_path / f"y{number}.npy"), simulator.run(INPUTS))


@pytest.mark.parametrize("samples", [1, 3, 16, 21])
def test_without_avx2(samples):
    """pairs=False is what a processor without AVX2 gets."""
    model = quantise_model(random_model(NETWORK, 5, scale=3.0), KernelConfig())
    inputs = np.random.default_rng(samples).uniform(-4, 4, (samples, 2, 2))
    portable, plain = Simulator(model, pairs=False), Simulator(model, force=Path.PLAIN)
    assert portable.plan.path is Path.PRODUCTS32
    outputs, state = portable.run(inputs, return_state=True)
    expected, expected_state = plain.run(inputs, return_state=True)
    np.testing.assert_array_equal(outputs, expected)
    for layer, other in zip(state, expected_state, strict=True):
        for one, two in zip(layer, other, strict=True):
            np.testing.assert_array_equal(one.hidden, two.hidden)
            np.testing.assert_array_equal(one.cell, two.cell)


def test_a_processor_without_avx2_is_given_the_portable_path(monkeypatch):
    from lstmsim.core import simd

    monkeypatch.setattr(simd, "has_pair_multiply", lambda: False)
    model = quantise_model(random_model(NETWORK, 5), KernelConfig())
    assert Simulator(model).plan.path is Path.PRODUCTS32
    assert Simulator(quantise_model(random_model(NETWORK, 5), float_config())).plan.path is Path.FLOAT


def test_calls_side_by_side_and_threads_within_a_call_give_the_same_bits() -> None:
    simulator = Simulator(quantise_model(random_model(load_preset("autoenc-1"), 3), KernelConfig()))
    generator = np.random.default_rng(0)
    batches = [generator.normal(size=(size, 2, 60)) for size in (64, 64, 48, 17, 64, 33) * 6]
    alone = [simulator.run(batch) for batch in batches]
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda batch: simulator.run(batch, threads=2), batches))
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other)

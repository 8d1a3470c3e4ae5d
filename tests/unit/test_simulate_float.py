"""Float kernels compute in IEEE single precision, each operation rounded once, in the order of docs/arithmetic.md."""

from __future__ import annotations

import numpy as np
import pytest

from lstmsim.config import float_config
from lstmsim.model import random_model
from lstmsim.network import LstmLayer, Network
from lstmsim.quantise import quantise_model
from lstmsim.simulate import Path, Simulator, run_raw

UNITS, FEATURES, STEPS, SAMPLES = 6, 5, 4, 37


def _round(exact: np.ndarray) -> np.ndarray:
    return exact.astype(np.float32)


def _multiply_add(first: np.ndarray, second: np.ndarray, added: np.ndarray, *, fused: bool) -> np.ndarray:
    if fused:  # long double holds the product of two float32 exactly, and the sum well enough
        return _round(first.astype(np.longdouble) * second.astype(np.longdouble) + added.astype(np.longdouble))
    product = first * second
    return product + added


def _activated(model, function: str, values: np.ndarray, *, fused: bool) -> np.ndarray:
    config, table = model.config, getattr(model.tables, function)
    size, one = config.activation_table_size, np.float32(1)
    if config.activation == "piecewise":
        if function == "tanh":
            return np.clip(values, -one, one)
        return np.clip(values * np.float32(0.25) + np.float32(0.5), np.float32(0), one)
    scaled = values * np.float32(size / (2 * config.activation_range))
    floor = np.floor(scaled)
    place = np.clip(floor + np.float32(size // 2), 0, size - 1).astype(int)
    if config.activation == "table":
        return table[place]
    line = _multiply_add(table[place + 1] - table[place], scaled - floor, table[place], fused=fused)
    return np.where(floor >= size // 2, table[size], np.where(floor < -(size // 2), table[0], line))


def _stepped(model, inputs: np.ndarray, *, fused: bool) -> np.ndarray:
    """The kernel one rounded operation after the other; or with every multiply-add rounded once, as an FMA does."""
    (one,) = model.layers[0]
    hidden = np.zeros((len(inputs), UNITS), np.float32)
    cell = np.zeros_like(hidden)
    outputs = []
    for step in range(STEPS):
        joined = np.concatenate([hidden, inputs[:, step]], axis=1)
        gates = []
        for gate in range(4):
            total = np.tile(one.biases[gate], (len(inputs), 1))
            for column in range(UNITS + FEATURES):
                row = one.weights[gate][None, :, column]
                total = _multiply_add(row, joined[:, column : column + 1], total, fused=fused)
            assert total.dtype == np.float32
            gates.append(_activated(model, "tanh" if gate == 2 else "sigmoid", total, fused=fused))
        entry, forget, candidate, output = gates
        added = entry * candidate
        cell = _multiply_add(forget, cell, added, fused=fused)
        hidden = output * _activated(model, "tanh", cell, fused=fused)
        assert cell.dtype == hidden.dtype == np.float32
        outputs.append(hidden)
    return np.stack(outputs, axis=1)


@pytest.fixture(scope="module", params=["table", "interpolated", "piecewise"])
def case(request):
    network = Network(name="one", timesteps=STEPS, features=FEATURES, layers=(LstmLayer(units=UNITS),))
    config = float_config(activation=request.param, activation_table_size=4096, activation_range=8)
    inputs = np.random.default_rng(8).normal(0, 2, (SAMPLES, STEPS, FEATURES)).astype(np.float32)
    return quantise_model(random_model(network, 6, scale=2.0), config), inputs


@pytest.mark.parametrize("path", [Path.FLOAT, Path.PLAIN])
@pytest.mark.parametrize("samples", [1, 16, SAMPLES])
def test_nothing_is_fused_or_reordered(case, path, samples):
    model, inputs = case
    simulator = Simulator(model, force=path)
    assert simulator.plan.path is path
    expected = _stepped(model, inputs[:samples], fused=False)
    np.testing.assert_array_equal(simulator.run(inputs[:samples]).astype(np.float32), expected)


def test_the_cell_state_is_not_fused_either(case):
    model, inputs = case
    plain, fast = run_raw(model, inputs, record=True), run_raw(model, inputs)
    for ours in (plain.state[0][0].cell, fast.state[0][0].cell):
        assert ours.dtype == np.float32
    np.testing.assert_array_equal(plain.state[0][0].cell, fast.state[0][0].cell)


def test_a_fused_multiply_add_would_show(case):
    model, inputs = case
    if model.config.activation == "table":
        pytest.skip("a table hides the last bits")
    differ = _stepped(model, inputs, fused=True) != _stepped(model, inputs, fused=False)
    assert differ.mean() > 0.2


def test_a_sum_whose_small_terms_survive_only_in_an_fma():
    """bias -1 and product (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: rounded first, the last term is lost."""
    from lstmsim.core.cell_float import add_products_float

    near_one = np.float32(1 + 2.0**-12)
    row = np.array([near_one], np.float32)
    assert add_products_float(np.float32(-1), row, row) == np.float32(2.0**-11)

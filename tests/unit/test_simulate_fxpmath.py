"""The simulator equals the same kernel written with fxpmath objects, for every mode that fxpmath has."""

from __future__ import annotations

import sys
from pathlib import Path as FilePath

import numpy as np
import pytest

from lstmsim.config import KernelConfig
from lstmsim.fixedpoint import FixedFormat, Overflow, Quantization
from lstmsim.model import random_model
from lstmsim.network import DenseLayer, LstmLayer, Network
from lstmsim.quantise import quantise_model
from lstmsim.simulate import run_raw

sys.path.insert(0, str(FilePath(__file__).parents[2]))

NETWORK = Network(
    name="small",
    timesteps=3,
    features=2,
    layers=(LstmLayer(units=3), LstmLayer(units=2), DenseLayer(units=3)),
)


def _config(quantization: Quantization, overflow: Overflow, activation: str) -> KernelConfig:
    modes = {"quantization": quantization, "overflow": overflow}
    return KernelConfig(
        weight_format=FixedFormat(width_bits=10, integer_bits=3, **modes),
        state_format=FixedFormat(width_bits=9, integer_bits=2, **modes),
        cell_format=FixedFormat(width_bits=8, integer_bits=2, **modes),
        accumulator_format=FixedFormat(width_bits=13, integer_bits=4, **modes),
        io_format=FixedFormat(width_bits=12, integer_bits=5, **modes),
        activation=activation,
        activation_table_size=64,
        activation_range=2,
    )


@pytest.mark.parametrize("overflow", [Overflow.WRAP, Overflow.SAT])
@pytest.mark.parametrize("quantization", list(Quantization))
@pytest.mark.parametrize("activation", ["table", "piecewise"])
def test_equals_fxpmath(quantization, overflow, activation):
    pytest.importorskip("fxpmath")
    from tests.reference.fxp_objects import Kernel

    config = _config(quantization, overflow, activation)
    model = quantise_model(random_model(NETWORK, 5, scale=1.6), config)
    io = config.io_format
    inputs = np.random.default_rng(4).integers(io.raw_min, io.raw_max, (11, 3, 2), endpoint=True)
    outputs, states = Kernel(model).run(inputs)
    for record in (False, True):
        run = run_raw(model, inputs, record=record)
        np.testing.assert_array_equal(run.outputs, outputs)
        for layer, (hidden, cell) in zip(run.state[:2], states, strict=True):
            np.testing.assert_array_equal(layer[0].hidden, hidden)
            np.testing.assert_array_equal(layer[0].cell, cell)
    assert len(np.unique(outputs)) > 20

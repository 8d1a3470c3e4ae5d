"""The compiled C++ kernel and the simulator see the same integers and give the same bits."""

from __future__ import annotations

import hls_cases
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstmsim.config import ACTIVATIONS, KernelConfig
from lstmsim.errors import ConfigError
from lstmsim.fixedpoint import FixedFormat, Overflow, Quantization
from lstmsim.hls.project import internal_states
from lstmsim.model import random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, load_preset
from lstmsim.quantise import check_carrier, quantise_inputs, quantise_model
from lstmsim.simulate import run_raw

COMPARED_OUTPUTS = 2_000_000  # over all format sets
SAMPLES = -(-COMPARED_OUTPUTS // (2 * len(hls_cases.FORMAT_SETS) * 5 * 24))


def assert_same_bits(kernel, model, quantised, inputs, **call):
    expected = run_raw(quantised, inputs, record=True)
    outputs, states = kernel.run(model, quantised, inputs, **call)
    np.testing.assert_array_equal(outputs, expected.outputs)
    np.testing.assert_array_equal(states, internal_states(quantised, expected))
    np.testing.assert_array_equal(run_raw(quantised, inputs).outputs, expected.outputs)
    return outputs, states


@pytest.mark.parametrize("format_set", hls_cases.FORMAT_SETS)
def test_every_format_set(build, format_set):
    config, function = hls_cases.FORMAT_SETS[format_set]
    network = hls_cases.small_network(function)
    kernel = build(network, config)
    for seed, full in enumerate((False, True)):
        drawn = hls_cases.random_kernel(network, config, seed, SAMPLES, full=full)
        outputs, states = assert_same_bits(kernel, *drawn)
        assert outputs.size >= COMPARED_OUTPUTS // (2 * len(hls_cases.FORMAT_SETS))
        assert len(np.unique(states)) > 10  # not a kernel that is stuck


def test_modes_are_covered():
    configs = [config for config, _ in hls_cases.FORMAT_SETS.values() if not config.is_float]
    assert len(configs) >= 12
    for knob in ("weight_format", "state_format", "accumulator_format"):
        formats = [getattr(config, knob) for config in configs]
        assert {number.quantization for number in formats} == set(Quantization), knob
        assert {number.overflow for number in formats} == set(Overflow), knob
    assert {config.activation for config in configs} == set(ACTIVATIONS)
    fractions = {config.state_format.fractional_bits for config in configs}
    assert {16, 12, 8, 6, 4} <= fractions
    narrow = [c.accumulator_format.fractional_bits < products_fraction(c) for c in configs]
    assert sum(narrow) >= 6


def products_fraction(config: KernelConfig) -> int:
    return config.weight_format.fractional_bits + config.state_format.fractional_bits


@pytest.mark.parametrize("preset", hls_cases.PRESETS)
def test_every_preset(build, preset):
    network, config = load_preset(preset), hls_cases.PRESETS[preset]
    model = random_model(network, seed=5)
    quantised = quantise_model(model, config)
    shape = (1, network.timesteps, network.features)
    inputs = quantise_inputs(network, config, np.random.default_rng(5).uniform(-1.0, 1.0, shape))
    assert_same_bits(build(network, config), model, quantised, inputs)


def test_resident_weights_stay_between_calls(build):
    config, function = hls_cases.FORMAT_SETS["fraction-4"]
    assert config.resident_weights
    network = hls_cases.small_network(function)
    kernel = build(network, config)
    drawn = hls_cases.random_kernel(network, config, 11, 3, full=True)
    assert_same_bits(kernel, *drawn)
    _, quantised, inputs = drawn
    other_model, other, _ = hls_cases.random_kernel(network, config, 12, 3, full=True)
    outputs, _ = kernel.run(other_model, other, inputs, load=False)
    np.testing.assert_array_equal(outputs, run_raw(quantised, inputs).outputs)


def formats(least_fraction: int, most_fraction: int) -> st.SearchStrategy[FixedFormat]:
    return st.builds(
        lambda fraction, integer, signed, quantization, overflow: FixedFormat(
            width_bits=fraction + integer,
            integer_bits=integer,
            signed=signed or integer + fraction == 1,
            quantization=quantization,
            overflow=overflow,
        ),
        st.integers(least_fraction, most_fraction),
        st.integers(2, 8),
        st.sampled_from((True, True, True, False)),
        st.sampled_from(Quantization),
        st.sampled_from(Overflow),
    )


@st.composite
def designs(draw: st.DrawFn) -> tuple[Network, KernelConfig]:
    layers = (
        LstmLayer(
            units=draw(st.integers(1, 7)),
            direction=draw(st.sampled_from(("forward", "reverse", "bidirectional"))),
            return_sequences=draw(st.booleans()),
        ),
        DenseLayer(units=draw(st.integers(1, 9)), activation=draw(st.sampled_from(("linear", "relu", "tanh")))),
    )
    network = Network(name="drawn", timesteps=draw(st.integers(1, 5)), features=draw(st.integers(1, 5)), layers=layers)
    config = KernelConfig(
        weight_format=draw(formats(2, 12)),
        state_format=draw(formats(2, 12)),
        cell_format=draw(formats(2, 12)),
        accumulator_format=draw(formats(0, 20)),
        io_format=draw(formats(0, 12)),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        activation_table_size=draw(st.sampled_from((8, 64, 1024))),
        activation_range=draw(st.sampled_from((1, 2, 8))),
        memory_bits=draw(st.sampled_from((16, 32, 64, 128, 512))),
        memory_ports=draw(st.integers(1, 3)),
        parallel_gates=draw(st.sampled_from((1, 2, 4))),
        double_buffer=draw(st.booleans()),
        staged_weights=draw(st.booleans()),
    )
    return network, config


@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(designs(), st.integers(0, 1000))
def test_random_designs(build, design, seed):
    network, config = design
    try:
        check_carrier(config)
    except ConfigError:
        return
    kernel = build(network, config)
    for full in (False, True):
        assert_same_bits(kernel, *hls_cases.random_kernel(network, config, seed, 20, full=full))

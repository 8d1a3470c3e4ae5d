"""The simulator equals the slow reference in plain integers, for random formats, shapes and data."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path as FilePath

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(FilePath(__file__).parents[2]))

from lstmsim.config import KernelConfig
from lstmsim.errors import ConfigError
from lstmsim.fixedpoint import FixedFormat, Overflow, Quantization
from lstmsim.model import random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, ReshapeLayer
from lstmsim.quantise import QuantisedDense, QuantisedModel, QuantisedPass, activation_tables, check_carrier
from lstmsim.simulate import Path, Simulator, run_raw
from tests.reference.integers import Kernel

EXAMPLES = int(os.environ.get("LSTMSIM_EXAMPLES", "150"))  # every mode and path is met without drawing, below
LANES = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def formats(draw, widths=(4, 20), bits=(-3, 14)):
    overflow = draw(st.sampled_from(list(Overflow)))
    width = draw(st.integers(*widths))
    wraps = overflow is Overflow.WRAP
    return FixedFormat(
        width_bits=width,
        integer_bits=draw(st.integers(*bits)),
        signed=draw(st.integers(0, 5)) > 0,
        quantization=draw(st.sampled_from(list(Quantization))),
        overflow=overflow,
        saturation_bits=draw(st.sampled_from([0, 0, 0, 1, 2, 3])) if wraps else 0,
    )


@st.composite
def configs(draw):
    narrow = draw(st.booleans())
    small = formats(widths=(4, 16), bits=(1, 9)) if narrow else formats()
    wide = formats(widths=(8, 31), bits=(2, 20)) if draw(st.booleans()) else formats(widths=(16, 48), bits=(2, 30))
    names = ("weight_format", "state_format", "cell_format", "io_format")
    chosen = {name: draw(small) for name in names}
    if draw(st.booleans()):
        chosen["io_format"] = chosen["state_format"]
    return KernelConfig(
        **chosen,
        accumulator_format=draw(wide),
        activation=draw(st.sampled_from(["table", "interpolated", "plan", "piecewise"])),
        activation_table_size=draw(st.sampled_from([16, 256, 1024])),
        activation_range=draw(st.sampled_from([1, 4, 8])),
    )


@st.composite
def networks(draw):
    size = st.integers(1, 5)
    direction = st.sampled_from(["forward", "forward", "reverse", "bidirectional"])
    steps, features = draw(st.integers(1, 3)), draw(size)
    layers = [LstmLayer(units=draw(size), direction=draw(direction), return_sequences=draw(st.booleans()))]
    if not layers[0].return_sequences:
        layers.append(RepeatLayer(count=draw(st.integers(1, 3))))
        layers.append(LstmLayer(units=draw(size), direction=draw(direction)))
    if draw(st.booleans()):
        layers.append(DenseLayer(units=draw(size), activation=draw(st.sampled_from(["linear", "relu", "tanh"]))))
    elif draw(st.integers(0, 3)) == 0:
        out = Network(name="drawn", timesteps=steps, features=features, layers=tuple(layers)).output
        layers += [ReshapeLayer(timesteps=1, features=out.timesteps * out.features), DenseLayer(units=draw(size))]
    return Network(name="drawn", timesteps=steps, features=features, layers=tuple(layers))


def raw_values(generator, number, shape, full):
    low, high = number.raw_min, number.raw_max
    if not full:
        reach = max(1, int(2.0**number.fractional_bits)) if number.fractional_bits < 40 else 1 << 40
        low, high = max(low, -reach), min(high, reach)
    return generator.integers(low, high, shape, dtype=np.int64, endpoint=True)


def raw_model(network, config, generator, full):
    """A quantised model of drawn integers; biases may overflow the accumulator, as in the C++."""
    layers = []
    for stage in network.stages:
        inputs = stage.input.features
        if isinstance(stage.layer, LstmLayer):
            units = stage.layer.units
            layers.append(
                tuple(
                    QuantisedPass(
                        raw_values(generator, config.weight_format, (4, units, units + inputs), full),
                        raw_values(generator, config.weight_format, (4, units), full),
                        stage.layer.direction == "reverse" or number == 1,
                    )
                    for number in range(stage.layer.passes)
                )
            )
        elif isinstance(stage.layer, DenseLayer):
            weights = raw_values(generator, config.weight_format, (stage.layer.units, inputs), full)
            biases = raw_values(generator, config.weight_format, (stage.layer.units,), full)
            layers.append(QuantisedDense(weights, biases, stage.layer.activation))
        else:
            layers.append(None)
    return QuantisedModel(network, config, tuple(layers), activation_tables(config))


def check(network, config, seed, full, batch):
    try:
        check_carrier(config)
    except ConfigError:
        assume(False)
    generator = np.random.default_rng(seed)
    model = raw_model(network, config, generator, full)
    inputs = raw_values(generator, config.io_format, (batch, network.timesteps, network.features), full)
    recorded = run_raw(model, inputs, record=True)
    reference = Kernel(model)
    for sample in range(min(batch, 2)):
        outputs, states = reference.run(inputs[sample].tolist())
        assert recorded.outputs[sample].tolist() == outputs
        passes = [
            one
            for kept, layer in zip(model.layers, recorded.records, strict=True)
            if isinstance(kept, tuple)
            for one in layer
        ]
        for record, (hidden, cell) in zip(passes, states, strict=True):
            assert record.hidden[sample].tolist() == hidden
            assert record.cell[sample].tolist() == cell
    fast = Simulator(model)
    run = run_raw(model, inputs, simulator=fast)
    np.testing.assert_array_equal(run.outputs, recorded.outputs)
    if fast.plan.path is not Path.PLAIN:
        for mine, plain in zip(run.state, recorded.state, strict=True):
            for one, other in zip(mine, plain, strict=True):
                np.testing.assert_array_equal(one.hidden, other.hidden)
                np.testing.assert_array_equal(one.cell, other.cell)
    return fast.plan.path


@LANES
@given(networks(), configs(), st.integers(0, 2**32), st.booleans(), st.sampled_from([1, 2, 17]))
def test_equals_plain_integers(network, config, seed, full, batch):
    check(network, config, seed, full, batch)


MODES = [
    (quantization, overflow, bits)
    for quantization, (overflow, bits) in itertools.product(
        Quantization, [*((overflow, 0) for overflow in Overflow), (Overflow.WRAP, 1), (Overflow.WRAP, 2)]
    )
]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("quantization", "overflow", "bits"), MODES)
def test_every_pair_of_modes(quantization, overflow, bits, full):
    """Each pair in weights, state, cell, accumulator and interface at once; the accumulator is finer or coarser."""
    modes = {"quantization": quantization, "overflow": overflow, "saturation_bits": bits}
    number = MODES.index((quantization, overflow, bits))
    config = KernelConfig(
        weight_format=FixedFormat(width_bits=11, integer_bits=3, **modes),
        state_format=FixedFormat(width_bits=10, integer_bits=2, **modes),
        cell_format=FixedFormat(width_bits=9, integer_bits=2, **modes),
        io_format=FixedFormat(width_bits=8, integer_bits=4, signed=number % 3 > 0, **modes),
        accumulator_format=FixedFormat(width_bits=(13, 24)[number % 2], integer_bits=(4, 6)[number % 2], **modes),
        activation=("table", "interpolated", "plan", "piecewise")[number % 4],
        activation_table_size=64,
        activation_range=2,
    )
    layers = (LstmLayer(units=3, direction="bidirectional"), LstmLayer(units=2), DenseLayer(units=2))
    check(Network(name="small", timesteps=3, features=2, layers=layers), config, number, full, 3)


PATHS = {
    Path.PAIRS: ("ap_fixed<16,8>", "ap_fixed<32,16>"),
    Path.IN_ORDER32: ("ap_fixed<12,5,AP_RND,AP_SAT>", "ap_fixed<18,9,AP_RND_CONV,AP_SAT>"),
    Path.PRODUCTS64: ("ap_fixed<24,10>", "ap_fixed<48,20>"),
    Path.IN_ORDER64: ("ap_fixed<20,9,AP_RND_INF,AP_SAT>", "ap_fixed<36,20,AP_RND_ZERO,AP_SAT_SYM>"),
}


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("full", [False, True])
def test_every_path_is_reached_and_equal(path, full):
    from lstmsim.fixedpoint import parse_format

    narrow, wide = (parse_format(text) for text in PATHS[path])
    same = dict.fromkeys(("weight_format", "state_format", "cell_format", "io_format"), narrow)
    config = KernelConfig(**same, accumulator_format=wide)
    layers = (LstmLayer(units=6, return_sequences=False), RepeatLayer(count=3), LstmLayer(units=5), DenseLayer(units=3))
    network = Network(name="small", timesteps=4, features=3, layers=layers)
    taken = check(network, config, 7, full, 21)
    from lstmsim.core.simd import has_pair_multiply

    assert taken is (Path.PRODUCTS32 if path is Path.PAIRS and not has_pair_multiply() else path)


def test_float_lanes_equal_the_plain_engine():
    from lstmsim.config import float_config
    from lstmsim.quantise import quantise_model

    layers = (LstmLayer(units=7, direction="bidirectional"), LstmLayer(units=5), DenseLayer(units=3, activation="tanh"))
    network = Network(name="small", timesteps=4, features=3, layers=layers)
    inputs = np.random.default_rng(5).normal(0, 3, (19, 4, 3))
    for activation in ("table", "interpolated", "plan", "piecewise"):
        model = quantise_model(random_model(network, 3, scale=4.0), float_config(activation=activation))
        fast = Simulator(model)
        assert fast.plan.path is Path.FLOAT
        np.testing.assert_array_equal(fast.run(inputs), Simulator(model, force=Path.PLAIN).run(inputs))

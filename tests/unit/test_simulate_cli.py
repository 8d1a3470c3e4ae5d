import json

import numpy as np
import pytest
from click.testing import CliRunner

from lstmsim.cli.simulate import command
from lstmsim.config import KernelConfig, config_from_dict, float_config
from lstmsim.errors import ConfigError, LstmsimError, ModelFormatError
from lstmsim.model import Model, random_model
from lstmsim.network import LstmLayer, Network, load_preset, preset_names
from lstmsim.simulate import Path, prepare, simulate
from lstmsim.trace import trace


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(load_preset("autoenc-1"), 3)


@pytest.fixture(scope="module")
def inputs(model):
    return np.random.default_rng(1).uniform(-1, 1, (18, model.network.timesteps, model.network.features))


def test_command_writes_outputs_and_says_what_was_random(tmp_path):
    target = tmp_path / "y.npy"
    result = CliRunner().invoke(command, ["autoenc-2", "--batch", "3", "--json", "-o", str(target)])
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["samples"] == 3
    assert any("random" in note for note in told["notes"])
    assert np.load(target).shape == (3, 2, 80)
    again = CliRunner().invoke(command, ["autoenc-2", "--batch", "3", "-o", str(target)])
    assert isinstance(again.exception, ConfigError)


@pytest.mark.parametrize("name", preset_names())
def test_presets_fast_path_equals_plain(name):
    network = load_preset(name)
    if network.macs > 30e6:
        network = Network(name=name, timesteps=4, features=network.features, layers=network.layers)
    model = random_model(network, 2)
    inputs = np.random.default_rng(3).uniform(-1, 1, (2, network.timesteps, network.features))
    fast = prepare(model, KernelConfig())
    assert fast.plan.path in (Path.PAIRS, Path.PRODUCTS32)
    np.testing.assert_array_equal(fast.run(inputs), prepare(model, KernelConfig(), force=Path.PLAIN).run(inputs))


def test_portable_path_has_the_same_bits(model, inputs):
    expected = prepare(model, KernelConfig()).run(inputs)
    for path in (Path.PRODUCTS32, Path.PLAIN):
        simulator = prepare(model, KernelConfig(), force=path)
        assert simulator.plan.path is path
        np.testing.assert_array_equal(simulator.run(inputs), expected)


def test_threads_and_batch_size_change_nothing(model, inputs):
    simulator = prepare(model, KernelConfig())
    whole = simulator.run(inputs)
    np.testing.assert_array_equal(simulator.run(inputs, threads=2), whole)
    np.testing.assert_array_equal(np.concatenate([simulator.run(one[None]) for one in inputs]), whole)


@pytest.mark.parametrize("config", [KernelConfig(), float_config()])
@pytest.mark.parametrize("batch", [2, 17])
def test_state_goes_on_where_it_was_left(config, batch):
    layers = (LstmLayer(units=5), LstmLayer(units=3))
    long = random_model(Network(name="long", timesteps=6, features=2, layers=layers), 4)
    half = Model(Network(name="half", timesteps=3, features=2, layers=layers), long.weights)
    inputs = np.random.default_rng(2).uniform(-1, 1, (batch, 6, 2))
    first, state = simulate(half, config, inputs[:, :3], return_state=True)
    second = simulate(half, config, inputs[:, 3:], initial_state=state)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), simulate(long, config, inputs))


def test_float_kernel_is_near_double_precision(model, inputs):
    config = float_config(activation="interpolated", activation_table_size=65536)
    assert np.abs(simulate(model, config, inputs) - model.predict(inputs)).max() < 1e-4


def test_trace_counts_what_saturates(model, inputs):
    quiet = trace(model, KernelConfig(), inputs)
    assert not any(one.value_overflows or one.sum_overflows for one in quiet.signals)
    np.testing.assert_array_equal(quiet.outputs, simulate(model, KernelConfig(), inputs))
    tight = trace(model, config_from_dict({"cell_format": "ap_fixed<16,-1,AP_RND,AP_SAT>"}), inputs)
    cells = [one for one in tight.signals if one.signal == "cell"]
    assert max(one.value_saturations for one in cells) > 0.1
    assert max(one.high for one in cells) < 0.25


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("batch", [1, 20])
def test_inputs_that_are_not_finite_are_refused(model, value, batch):
    inputs = np.zeros((batch, model.network.timesteps, model.network.features))
    inputs[-1, -1, -1] = value
    with pytest.raises(ModelFormatError, match="NaN or infinity"):
        simulate(model, KernelConfig(), inputs)


@pytest.mark.parametrize(
    "knobs",
    [
        {"weight_format": "ap_fixed<8,-4>"},
        {"accumulator_format": "ap_fixed<16,-2>"},
        {"weight_format": "ap_fixed<40,8>", "state_format": "ap_fixed<40,8>"},
        {"accumulator_format": "ap_fixed<64,20,AP_RND,AP_SAT>"},
        {"state_format": "ap_ufixed<64,8>"},
    ],
)
def test_formats_that_cannot_work_are_refused(model, inputs, knobs):
    with pytest.raises(ConfigError) as told:
        simulate(model, config_from_dict(knobs), inputs)
    assert "\n" not in str(told.value)


def test_wrong_shapes_are_refused(model):
    with pytest.raises(LstmsimError, match="do not fit"):
        simulate(model, KernelConfig(), np.zeros((1, 3, 60)))

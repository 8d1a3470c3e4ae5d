"""What cannot be simulated is refused with one clear line."""

from __future__ import annotations

import numpy as np
import pytest

from lstmsim.cli.main import main
from lstmsim.config import KernelConfig, config_from_dict, float_config
from lstmsim.engine import PassState
from lstmsim.errors import ConfigError, ModelFormatError
from lstmsim.model import DenseWeights, LstmWeights, Model, random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, load_preset
from lstmsim.quantise import quantise_inputs, quantise_model
from lstmsim.simulate import Path, Simulator, run_raw, simulate

NETWORK = Network(name="small", timesteps=3, features=2, layers=(LstmLayer(units=3), DenseLayer(units=2)))
MODEL = random_model(NETWORK, 1)
INPUTS = np.random.default_rng(0).uniform(-1, 1, (4, 3, 2))
CONFIGS = {"fixed": KernelConfig(), "float": float_config(), "float-io": config_from_dict({"io_format": "float"})}
PLAIN = config_from_dict({"accumulator_format": "ap_fixed<24,12,AP_RND,AP_WRAP,2>"})  # takes the plain path


@pytest.fixture(params=[*CONFIGS, "plain"])
def config(request) -> KernelConfig:
    return CONFIGS.get(request.param, PLAIN)


def test_the_plain_path_is_among_them():
    paths = [Simulator(quantise_model(MODEL, one)).plan.path for one in (*CONFIGS.values(), PLAIN)]
    assert [path is Path.PLAIN for path in paths] == [False, False, False, True]


BAD_INPUTS = {
    "one axis": np.zeros(6),
    "four axes": np.zeros((1, 4, 3, 2)),
    "other steps": np.zeros((4, 2, 2)),
    "other features": np.zeros((4, 3, 5)),
    "objects": np.zeros((4, 3, 2), object),
    "text": np.full((4, 3, 2), "1.0"),
    "one word": "abc",
    "nothing": None,
    "ragged": [[[1.0, 2.0], [3.0, 4.0]], [[1.0]]],
    "complex": np.zeros((4, 3, 2), complex),
    "dates": np.zeros((4, 3, 2), "M8[s]"),
    "nan": np.full((4, 3, 2), np.nan),
    "inf": np.full((4, 3, 2), -np.inf, np.float32),
    "beyond double": np.full((4, 3, 2), np.longdouble("1e4000")),
}


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_inputs(config, kind):
    with pytest.raises(ModelFormatError) as told:
        simulate(MODEL, config, BAD_INPUTS[kind])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["float", "float-io"])
@pytest.mark.parametrize("samples", [1, 20])
def test_inputs_beyond_single_precision(name, samples):
    with pytest.raises(ModelFormatError, match="single precision"):
        simulate(MODEL, CONFIGS[name], np.full((samples, 3, 2), 1e39))


def test_no_sample_gives_no_output(config):
    outputs, state = simulate(MODEL, config, INPUTS[:0], return_state=True)
    assert outputs.shape == (0, 3, 2)
    assert state[0][0].hidden.shape == (0, 3)
    assert simulate(MODEL, config, INPUTS[:0], initial_state=state).shape == (0, 3, 2)


@pytest.mark.parametrize("layout", [">f8", "f2", "i4", "fortran", "strided"])
def test_layouts_of_memory_change_nothing(config, layout):
    values = np.round(4 * INPUTS) / (4 if "i" not in layout else 1)
    if layout == "fortran":
        given = np.asfortranarray(values)
    elif layout == "strided":
        given = np.repeat(np.repeat(values, 2, axis=0), 2, axis=2)[::2, :, ::2]
    else:
        given = values.astype(layout)
    np.testing.assert_array_equal(simulate(MODEL, config, given), simulate(MODEL, config, given.astype(float)))


@pytest.mark.parametrize("threads", [0, -1, 257, 1.5, "2", None])
def test_threads(config, threads):
    with pytest.raises(ConfigError, match="threads"):
        simulate(MODEL, config, INPUTS, threads=threads)
    with pytest.raises(ConfigError, match="threads"):
        run_raw(quantise_model(MODEL, config), quantise_inputs(NETWORK, config, INPUTS), threads=threads)


def test_more_threads_than_samples(config):
    np.testing.assert_array_equal(simulate(MODEL, config, INPUTS, threads=256), simulate(MODEL, config, INPUTS))


def _bad_states(state) -> dict[str, object]:
    kept = state[0][0]
    wide = np.full(kept.cell.shape, np.inf if kept.cell.dtype.kind == "f" else 1 << 62)
    return {
        "of no layer": (),
        "of one layer": state[:1],
        "a number": 5,
        "text": "ab",
        "of other samples": ((PassState(kept.hidden[:2], kept.cell[:2]),), ()),
        "of other units": ((PassState(kept.hidden[:, :2], kept.cell),), ()),
        "of two passes": ((kept, kept), ()),
        "lists": ((PassState(kept.hidden.tolist(), kept.cell.tolist()),), ()),
        "arrays alone": (((kept.hidden, kept.cell),), ()),
        "nan": ((PassState(np.full(kept.hidden.shape, np.nan), kept.cell),), ()),
        "objects": ((PassState(kept.hidden.astype(object), kept.cell),), ()),
        "cell out of range": ((PassState(kept.hidden, wide),), ()),
        "hidden out of range": ((PassState(wide, kept.cell),), ()),
    }


def test_initial_states(config):
    model = quantise_model(MODEL, config)
    simulator, raw = Simulator(model), quantise_inputs(NETWORK, config, INPUTS)
    _, state = simulator.run(INPUTS, return_state=True)
    for what, bad in _bad_states(state).items():
        for call in (
            lambda bad=bad: simulator.run(INPUTS, initial_state=bad),
            lambda bad=bad: run_raw(model, raw, initial_state=bad, simulator=simulator),
            lambda bad=bad: run_raw(model, raw, initial_state=bad, record=True),
        ):
            with pytest.raises(ModelFormatError, match="state") as told:
                call()
            assert "\n" not in str(told.value), what
    if not config.is_float:
        with pytest.raises(ModelFormatError, match="raw integers"):
            simulator.run(INPUTS, initial_state=((PassState(state[0][0].hidden + 0.5, state[0][0].cell),), ()))


@pytest.mark.parametrize("kind", ["float", "object", "beyond", "text", "shape"])
def test_raw_inputs(kind):
    model = quantise_model(MODEL, KernelConfig())
    raw = quantise_inputs(NETWORK, KernelConfig(), INPUTS)
    bad = {
        "float": raw + 0.5,
        "object": raw.astype(object),
        "beyond": raw + (1 << 20),
        "text": "abc",
        "shape": raw[0],
    }
    with pytest.raises(ModelFormatError, match="inputs"):
        run_raw(model, bad[kind])


def test_a_simulator_of_another_model():
    raw = quantise_inputs(NETWORK, KernelConfig(), INPUTS)
    other = Simulator(quantise_model(random_model(NETWORK, 2), KernelConfig()))
    with pytest.raises(ConfigError, match="another"):
        run_raw(quantise_model(MODEL, KernelConfig()), raw, simulator=other)


@pytest.mark.parametrize("bad", [0, 100, 163])
def test_any_thread_tells_of_a_bad_value(bad: int):
    simulator = Simulator(quantise_model(MODEL, KernelConfig()))
    inputs = np.tile(INPUTS, (41, 1, 1))  # ten blocks and four samples one by one
    wanted = simulator.run(inputs)
    broken = inputs.copy()
    broken[bad] = np.nan
    for threads in (1, 2, 3):
        with pytest.raises(ModelFormatError, match="NaN"):
            simulator.run(broken, threads=threads)
        np.testing.assert_array_equal(simulator.run(inputs, threads=threads), wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("where", ["kernel", "recurrent", "bias", "dense"])
def test_weights(config, value, where):
    lstm, dense = MODEL.weights[0][0], MODEL.weights[1]
    arrays = {"kernel": lstm.kernel, "recurrent": lstm.recurrent, "bias": lstm.bias, "dense": dense.kernel}
    arrays[where] = arrays[where].copy()
    arrays[where].flat[-1] = value
    with pytest.raises(ModelFormatError, match=r"NaN|single precision") as told:
        changed = (LstmWeights(arrays["kernel"], arrays["recurrent"], arrays["bias"]),)
        simulate(Model(NETWORK, (changed, DenseWeights(arrays["dense"], dense.bias))), config, INPUTS)
    assert "\n" not in str(told.value)


def test_weights_that_are_no_numbers():
    lstm = MODEL.weights[0][0]
    with pytest.raises(ModelFormatError, match="object"):
        Model(NETWORK, ((LstmWeights(lstm.kernel.astype(object), lstm.recurrent, lstm.bias),), MODEL.weights[1]))


def _saved(path, values) -> str:
    np.save(path, values, allow_pickle=True)
    return str(path)


def _weights_with_nan(path) -> str:
    network = load_preset("autoenc-1")
    random_model(network, 0).save(path)
    with np.load(path) as archive:
        arrays = dict(archive)
    next(iter(arrays.values())).flat[0] = np.nan
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize(
    "arguments",
    [
        lambda folder: ["--input", _saved(folder / "x.npy", np.zeros((0, 3, 60)))],
        lambda folder: ["--input", _saved(folder / "x.npy", np.zeros(7))],
        lambda folder: ["--input", _saved(folder / "x.npy", np.zeros((1, 1, 3, 60)))],
        lambda folder: ["--input", _saved(folder / "x.npy", np.array([None, {}]))],
        lambda folder: ["--input", _saved(folder / "x.npy", np.array(["a"]))],
        lambda folder: ["--input", str(folder / "none.npy")],
        lambda folder: ["--weights", _weights_with_nan(folder / "w.npz")],
        lambda folder: ["--threads", "0"],
        lambda folder: ["--threads", "-2"],
        lambda folder: ["--batch", "0"],
        lambda folder: ["--set", "weight_format=ap_fixed<8,-4>"],
        lambda folder: ["--set", "accumulator_format=ap_fixed<64,20,AP_RND,AP_SAT>"],
        lambda folder: ["--set", "state_format=ap_fixed<16,8,AP_RND,AP_WRAP_SM>"],
    ],
)
def test_the_command_says_one_line(tmp_path, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "autoenc-1", "--quiet", *arguments(tmp_path)])
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert told.out == ""
    assert len(told.err.strip().splitlines()) == 1
    assert "Traceback" not in told.err

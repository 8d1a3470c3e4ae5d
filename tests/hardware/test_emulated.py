"""Host code end to end on the emulated board: the same calls as on a real one."""

import dataclasses
import json
import sys
import time
import types

import numpy as np
import pytest
from click.testing import CliRunner

from lstmsim.cli.run import command
from lstmsim.config import KernelConfig, config_from_dict, fixed_config, float_config
from lstmsim.device import load_device
from lstmsim.errors import ConfigError, HardwareError
from lstmsim.hardware import board_timing, emulated, xrt
from lstmsim.hardware.axlf import Xclbin
from lstmsim.hardware.axlf_writer import xclbin_bytes
from lstmsim.hardware.lstm_board import KERNEL, LstmKernel
from lstmsim.measurements import read_measurements
from lstmsim.model import random_model
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, network_from_shape
from lstmsim.quantise import quantise_inputs, quantise_model
from lstmsim.simulate import run_raw

NETWORK = Network(
    name="small",
    timesteps=4,
    features=3,
    layers=(
        LstmLayer(units=6, direction="bidirectional"),
        LstmLayer(units=5, return_sequences=False),
        RepeatLayer(count=3),
        DenseLayer(units=2, activation="tanh"),
    ),
)
MODEL = random_model(NETWORK, seed=2)
DEVICE = load_device("u280")
SAMPLES = np.random.default_rng(4).uniform(-1, 1, (5, 4, 3))


class Setup:
    """A design on an emulated board, closed at the end."""

    def __init__(self, folder, config, description: Xclbin | None = None, **faults):
        self.design = emulated.Design(network=NETWORK, config=config, device=DEVICE, **faults)
        path = folder / "kernel.xclbin"
        path.write_bytes(xclbin_bytes(description or emulated.design_of(NETWORK, config, DEVICE)))
        self.board = xrt.Board(emulated.EmulatedRuntime(self.design), str(path), kernel=KERNEL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.board.close()


CONFIGS = {
    "16 bit": KernelConfig(),
    "wide ports": KernelConfig(memory_bits=512, memory_ports=2),
    "odd widths": fixed_config(13, 5, memory_bits=32),
    "wider than the port": config_from_dict({"memory_bits": 16, "io_format": "ap_fixed<24,8>"}),
    "float": float_config(),
    "float interface": config_from_dict({"io_format": "float", "memory_bits": 64}),
    "three instances": KernelConfig(instances=3),
    "saturating": config_from_dict({"state_format": "ap_fixed<10,3,AP_RND,AP_SAT>", "io_format": "ap_fixed<12,4>"}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_bits_are_those_of_the_simulator(tmp_path, name):
    config = CONFIGS[name]
    with Setup(tmp_path, config) as setup:
        kernel = LstmKernel(setup.board, MODEL, config)
        kernel.load()
        outputs = kernel.run(SAMPLES)
    expected = run_raw(quantise_model(MODEL, config), quantise_inputs(NETWORK, config, SAMPLES)).outputs
    np.testing.assert_array_equal(outputs, expected)
    assert outputs.any()
    assert not setup.design.allocated


def test_a_comparison_counts_what_differs(tmp_path, monkeypatch):
    with Setup(tmp_path, KernelConfig()) as setup:
        kernel = LstmKernel(setup.board, MODEL, KernelConfig())
        kernel.load()
        assert board_timing.compare(kernel, SAMPLES) == board_timing.Comparison(values=30, differing=0)
        run = kernel.run
        monkeypatch.setattr(LstmKernel, "run", lambda self, inputs: run(inputs) + np.eye(5, 6).reshape(5, 3, 2)[::-1])
        wrong = board_timing.compare(kernel, SAMPLES)
    assert (wrong.differing, wrong.first, wrong.equal) == (5, (0, 2, 0), False)


def test_weights_that_differ_change_bits(tmp_path):
    with Setup(tmp_path, KernelConfig()) as setup:
        kernel = LstmKernel(setup.board, random_model(NETWORK, seed=3), KernelConfig())
        kernel.load()
        kernel.model = MODEL
        assert not board_timing.compare(kernel, SAMPLES).equal


def test_another_configuration_is_refused(tmp_path):
    other = KernelConfig(engines=2)
    with Setup(tmp_path, KernelConfig(), digest=other.digest) as setup:
        kernel = LstmKernel(setup.board, MODEL, KernelConfig())
        with pytest.raises(HardwareError, match=f"{other.digest}, not from {KernelConfig().digest}"):
            kernel.load()


def test_a_silent_board_ends_in_an_error_and_keeps_no_buffer(tmp_path):
    start = time.monotonic()
    with Setup(tmp_path, KernelConfig(), silent=True) as setup:
        kernel = LstmKernel(setup.board, MODEL, KernelConfig(), limit_s=0.3)
        with pytest.raises(HardwareError, match=r"within 0\.3 s"):
            kernel.load()
        assert setup.design.allocated
    assert not setup.design.allocated
    assert time.monotonic() - start < 20


def test_overhead_and_time_per_input_separate(tmp_path):
    with Setup(tmp_path, KernelConfig()) as setup:
        kernel = LstmKernel(setup.board, MODEL, KernelConfig())
        kernel.load()
        timings = board_timing.time_calls(kernel, SAMPLES, [1, 2, 7], repeat=5)
        cost = board_timing.separate(timings)
        one, two = setup.design.call_s(1), setup.design.call_s(2)
    assert [timing.batch for timing in timings] == [1, 2, 7]
    assert [timing.latency_s for timing in timings] == pytest.approx([setup.design.call_s(n) for n in (1, 2, 7)])
    assert cost.input_s == pytest.approx(two - one, rel=1e-3)
    assert cost.overhead_s == pytest.approx(2 * one - two, rel=1e-3)
    assert cost.cycles_per_input(300e6) == pytest.approx((two - one) * 300e6, rel=1e-3)
    assert board_timing.separate(timings[:1]) is None


def test_emulated_times_are_no_measurements(tmp_path):
    with Setup(tmp_path, KernelConfig()) as setup:
        kernel = LstmKernel(setup.board, MODEL, KernelConfig())
        kernel.load()
        timings = board_timing.time_calls(kernel, SAMPLES, [1], repeat=2)
        with pytest.raises(HardwareError, match="'emulate'"):
            board_timing.rows(kernel, timings, device="u280", source="here")
        kernel.board.mode = "hw"  # a board would say so
        (row,) = board_timing.rows(kernel, timings, device="u280", source="here")
    assert (row.device, row.network, row.stage, row.batch) == ("u280", "small", "board", 1)
    assert row.extra["clock_seen_hz"] == "300000000"
    assert row.extra["uuid"] == str(kernel.board.description.uuid)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"batch": 1 << 31}, "outside"),
        ({"batch": -(1 << 31) - 1}, "outside"),
        ({"batch": 1.0}, "not an integer"),
        ({"batch": True}, "not an integer"),
        ({"batch": "1"}, "not an integer"),
        ({"inputs": 5}, "is a buffer, not a scalar"),
        ({"more": 1}, "no argument 'more'"),
    ],
)
def test_every_argument_is_checked_before_the_call(tmp_path, change, complaint):
    with Setup(tmp_path, KernelConfig()) as setup:
        unit = setup.board.unit("lstm_kernel_1")
        buffers = {name: setup.board.allocate(unit, name, 64) for name in ("weights0", "inputs", "outputs", "digest")}
        good = {**buffers, "batch": 0, "load_weights": 0}
        unit.prepare(good)
        with pytest.raises(HardwareError, match=complaint):
            unit.prepare({**good, **change})
        with pytest.raises(HardwareError, match="bank"):
            unit.prepare({**good, "inputs": buffers["outputs"]})
        with pytest.raises(HardwareError, match="is a scalar, not a buffer"):
            unit.prepare({**good, "batch": buffers["outputs"]})
        with pytest.raises(HardwareError, match="lacks argument 'load_weights'"):
            unit.prepare({name: value for name, value in good.items() if name != "load_weights"})
        setup.board.free(buffers["inputs"])
        with pytest.raises(HardwareError, match="was released"):
            unit.prepare(good)


def test_buffers_keep_to_their_bank_and_size(tmp_path):
    with Setup(tmp_path, KernelConfig()) as setup:
        unit = setup.board.unit("lstm_kernel_1")
        for size in (0, emulated.BANK_BYTES + 1):
            with pytest.raises(HardwareError, match="size of bank"):
                setup.board.allocate(unit, "inputs", size)
        buffer = setup.board.allocate(unit, "inputs", 64)
        with pytest.raises(HardwareError, match="65 bytes do not fit"):
            buffer.write(bytes(65))
        with pytest.raises(HardwareError, match="65 bytes are more"):
            buffer.read(65)
        with pytest.raises(HardwareError, match="no argument 'nothing'"):
            setup.board.allocate(unit, "nothing", 64)
        with pytest.raises(HardwareError, match="No such kernel"):
            setup.board.unit("lstm_kernel_2")


def test_a_kernel_with_other_arguments_or_copies_is_refused(tmp_path):
    with (
        Setup(tmp_path, KernelConfig()) as setup,
        pytest.raises(HardwareError, match=r"2 memory port\(s\) has weights0, weights1"),
    ):
        LstmKernel(setup.board, MODEL, KernelConfig(memory_ports=2))
    with Setup(tmp_path, KernelConfig()) as setup, pytest.raises(HardwareError, match="1 copies"):
        LstmKernel(setup.board, MODEL, KernelConfig(instances=2))


def test_an_xclbin_without_the_kernel_is_refused(tmp_path):
    description = emulated.design_of(NETWORK, KernelConfig(), DEVICE)
    other = dataclasses.replace(description, kernels=(dataclasses.replace(description.kernels[0], name="other"),))
    with pytest.raises(HardwareError, match="no kernel 'lstm_kernel'; kernels: other"):
        Setup(tmp_path, KernelConfig(), other)


def run(*words):
    """Call the command; `return_value` is its exit code, `exception` what it raised."""
    return CliRunner().invoke(command, [*words], catch_exceptions=True, standalone_mode=False)


def test_the_command_ends_with_equal_bits(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("memory_bits = 512\nengines = 2\n")
    words = ["autoenc-1", "--target", "emulate", "--config", str(config), "--seed", "1", "--repeat", "3", "--json"]
    done = run(*words, "--batch", "1,2")
    assert done.return_value == 0
    seen = json.loads(done.output)
    assert seen["bits_equal"]
    assert seen["mode"] == "emulate"
    assert seen["values_compared"] == 4 * 2 * 60
    assert [call["batch"] for call in seen["calls"]] == [1, 2]
    assert all(call["latency_s"] == pytest.approx(call["predicted_s"]) for call in seen["calls"])


def test_the_command_prints_a_table():
    done = run("lstm:units=4,timesteps=3", "--target", "emulate", "--repeat", "2")
    assert "predicted" in done.output
    assert "bits equal: 48 values" in done.output


def test_the_command_reads_samples(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 1)))
    words = ["lstm:units=4,timesteps=3", "--target", "emulate", "--repeat", "1", "--json"]
    done = run(*words, "--input", str(tmp_path / "x.npy"))
    assert done.exception is None
    assert json.loads(done.output)["values_compared"] == 2 * 3 * 4
    np.save(tmp_path / "y.npy", np.zeros((2, 3, 2)))
    assert "do not fit" in str(run(*words, "--input", str(tmp_path / "y.npy")).exception)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--target", "emulate", "-o", "rows.csv"], "no measurements"),
        ([], "--xclbin is missing"),
        (["--xclbin", "absent.xclbin"], "No such file"),
        (["--target", "emulate", "--batch", "0"], "--batch 0"),
        (["--target", "emulate", "--repeat", "0"], "--repeat 0"),
        (["--target", "emulate", "-d", "v100"], "name an FPGA"),
    ],
)
def test_wrong_options_are_one_clear_error(words, complaint):
    done = run("lstm:units=4,timesteps=3", *words)
    assert isinstance(done.exception, ConfigError | HardwareError)
    assert complaint in str(done.exception)


def test_pyxrt_comes_first(monkeypatch):
    own = types.ModuleType("pyxrt")
    monkeypatch.setitem(sys.modules, "pyxrt", own)
    assert xrt.load_runtime() is own


class BoardRuntime(emulated.EmulatedRuntime):
    """The emulated board as a real one would look: no mode of its own."""

    mode = None


def test_the_command_writes_the_rows_of_a_board(tmp_path, monkeypatch):
    network = network_from_shape("lstm:units=4,timesteps=3")
    config = KernelConfig(memory_bits=64)
    design = emulated.Design(network=network, config=config, device=DEVICE)
    description = emulated.design_of(network, config, DEVICE)
    path = tmp_path / "kernel.xclbin"
    path.write_bytes(xclbin_bytes(dataclasses.replace(description, mode="hw", xsa="xilinx_u280_gen3x16_xdma_1")))
    monkeypatch.setattr(xrt, "load_runtime", lambda: BoardRuntime(design))
    monkeypatch.setattr(xrt, "probe", lambda device: None)
    monkeypatch.delenv("XCL_EMULATION_MODE", raising=False)
    rows = tmp_path / "rows.csv"
    words = ["--xclbin", str(path), "--set", "memory_bits=64", "--repeat", "3", "--batch", "1,4", "-o", str(rows)]
    done = run(network.name, *words)
    assert done.return_value == 0, done.output
    first, second = read_measurements(rows)
    assert (first.device, first.network, first.batch, second.batch) == ("u280", network.name, 1, 4)
    assert first.config == config
    assert first.extra["mode"] == "hw"
    assert first.extra["xsa"] == "xilinx_u280_gen3x16_xdma_1"
    assert first.extra["uuid"] == str(description.uuid)
    assert first.latency_s == pytest.approx(design.call_s(1))

    design.digest = KernelConfig().digest
    refused = run(network.name, *words, "--force")
    assert isinstance(refused.exception, HardwareError)
    assert "was built from configuration" in str(refused.exception)
    monkeypatch.setenv("XCL_EMULATION_MODE", "noop")
    design.digest = None
    assert "mode 'noop' are no measurements" in str(run(network.name, *words, "--force").exception)

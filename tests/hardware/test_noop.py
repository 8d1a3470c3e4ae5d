"""Real XRT without a board: its noop emulation opens, loads, allocates and starts, and computes nothing.

Every step runs in a process of its own with a time limit: XRT aborts the process where its environment is wrong.
"""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from designs import DESIGN

from lstmsim.config import KernelConfig
from lstmsim.device import load_device
from lstmsim.hardware import emulated
from lstmsim.hardware.axlf import Connection
from lstmsim.hardware.axlf_writer import xclbin_bytes
from lstmsim.network import network_from_shape

LIMIT_S = 120
NETWORK = "lstm:units=4,layers=1,timesteps=3,features=2"
OPEN = """
from lstmsim.errors import HardwareError
from lstmsim.hardware.xrt import Board, load_runtime
runtime = load_runtime()
"""


def noop_library():
    """Return the folder that holds XRT's noop library, or None."""
    folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]
    if "XILINX_XRT" in os.environ:
        folders.insert(0, os.path.join(os.environ["XILINX_XRT"], "lib"))
    return next((folder for folder in folders if Path(folder, "libxrt_noop.so.2").exists()), None)


pytestmark = pytest.mark.skipif(
    noop_library() is None,
    reason="XRT's libraries are absent (Debian: apt-get install libxrt1)",
)


@pytest.fixture
def environment(tmp_path):
    root = tmp_path / "xrt"
    root.mkdir()
    (root / "lib").symlink_to(noop_library())
    quick = {"NUMBA_DISABLE_JIT": "1", "HOME": str(tmp_path)}  # small networks: compiling would take longer
    return {**os.environ, "XCL_EMULATION_MODE": "noop", "XILINX_XRT": str(root), **quick}


@pytest.fixture
def design(tmp_path):
    path = tmp_path / "copy.xclbin"
    path.write_bytes(xclbin_bytes(DESIGN))
    return path


def python(program, environment, *words):
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S)


def lstmsim(environment, *words):
    command = [sys.executable, "-m", "lstmsim", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S)


def test_load_allocate_run(environment, design):
    program = f"""{OPEN}
import sys
with Board(runtime, sys.argv[1], kernel="copy") as board:
    unit = board.unit("copy_1")
    source, target = board.allocate(unit, "source", 4096), board.allocate(unit, "target", 8192)
    source.write(b"0123456789")
    print(runtime.__name__, board.mode, source.bank, target.bank, source.handle.size(), source.read(10))
    unit.prepare({{"source": source, "target": target, "count": 5}})
    for _ in range(3):
        unit.start()
        unit.wait(5.0)
print("released", source.handle)
"""
    done = python(program, environment, design)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split("\n")
    assert words[0].endswith("noop 0 1 4096 b'0123456789'")
    assert words[1] == "released None"


def test_a_wrong_kernel_name(environment, design):
    program = f"""{OPEN}
import sys
try:
    Board(runtime, sys.argv[1], kernel="nope")
except HardwareError as problem:
    print("ours:", problem)
device = runtime.device(0)
identity = device.load_xclbin(sys.argv[1])
try:
    runtime.kernel(device, identity, "nope", runtime.kernel.shared)
except RuntimeError as problem:
    print("theirs:", problem)
"""
    done = python(program, environment, design)
    assert done.returncode == 0, done.stderr
    assert "ours: the xclbin has no kernel 'nope'; kernels: copy" in done.stdout
    assert "theirs:" in done.stdout


def test_a_wrong_bank(environment, tmp_path, design):
    absent = dataclasses.replace(DESIGN, connections=(DESIGN.connections[0], Connection(argument=1, unit=0, bank=2)))
    wrong = tmp_path / "wrong.xclbin"
    wrong.write_bytes(xclbin_bytes(absent))
    program = f"""{OPEN}
import sys
with Board(runtime, sys.argv[1], kernel="copy") as board:
    unit = board.unit("copy_1")
    source = board.allocate(unit, "source", 4096)
    try:
        unit.prepare({{"source": source, "target": source, "count": 1}})
    except HardwareError as problem:
        print("buffer:", problem)
with Board(runtime, sys.argv[2], kernel="copy") as board:
    try:
        board.allocate(board.unit("copy_1"), "target", 4096)
    except HardwareError as problem:
        print("xclbin:", problem)
"""
    done = python(program, environment, design, wrong)
    assert done.returncode == 0, done.stderr
    assert "buffer: the buffer for 'target' lies in bank 0, but the argument reaches bank 1" in done.stdout
    assert "xclbin: the xclbin connects argument 'target' of 'copy' to bank 2" in done.stdout


def test_a_missing_library_is_one_line(environment, tmp_path):
    (tmp_path / "empty" / "lib").mkdir(parents=True)
    environment["XILINX_XRT"] = str(tmp_path / "empty")
    program = "from lstmsim.hardware import xrt; xrt.probe(0)"
    done = python(program, environment)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "XRT cannot open board 0" in last
    assert "libxrt_noop.so.2" in last
    assert "XILINX_XRT" in last


def test_no_xrt_at_all_says_what_to_install():
    program = """
from lstmsim.hardware import xrt, xrt_ctypes
xrt_ctypes.LIBRARY = "libxrt_absent.so.2"
xrt.load_runtime()
"""
    done = python(program, {key: value for key, value in os.environ.items() if key != "XILINX_XRT"})
    assert done.returncode == 1
    assert "apt-get install libxrt1" in done.stderr


@pytest.fixture
def lstm_xclbin(tmp_path):
    path = tmp_path / "lstm.xclbin"
    description = emulated.design_of(network_from_shape(NETWORK), KernelConfig(), load_device("u280"))
    path.write_bytes(xclbin_bytes(dataclasses.replace(description, mode="hw", xsa="xilinx_u280_gen3x16_xdma_1")))
    return path


def test_the_command_refuses_a_kernel_that_writes_no_digest(environment, lstm_xclbin):
    done = lstmsim(environment, "run", NETWORK, "--xclbin", lstm_xclbin, "--repeat", "2")
    assert done.returncode == 2
    assert "the kernel wrote no digest back" in done.stderr.splitlines()[-1]


def test_the_whole_path_of_the_host_code(environment, lstm_xclbin):
    program = f"""{OPEN}
import sys
from lstmsim.config import KernelConfig
from lstmsim.hardware import board_timing
from lstmsim.hardware.lstm_board import KERNEL, LstmKernel
from lstmsim.model import random_model
from lstmsim.network import network_from_shape
import numpy as np
network = network_from_shape({NETWORK!r})
inputs = np.random.default_rng(0).uniform(-1, 1, (3, 3, 2))
with Board(runtime, sys.argv[1], kernel=KERNEL) as board:
    kernel = LstmKernel(board, random_model(network), KernelConfig())
    kernel.move_weights()
    comparison = board_timing.compare(kernel, inputs)
    timings = board_timing.time_calls(kernel, inputs, [1, 4], repeat=3)
    print(comparison.values, comparison.equal, [timing.runs for timing in timings])
    try:
        board_timing.rows(kernel, timings, device="u280", source="here")
    except HardwareError as problem:
        print(problem)
"""
    done = python(program, environment, lstm_xclbin)
    assert done.returncode == 0, done.stderr
    assert "36 False [3, 3]" in done.stdout
    assert "mode 'noop' are no measurements" in done.stdout

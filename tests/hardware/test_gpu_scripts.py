"""The scripts for a GPU, tried on the CPU: a plain checkout with numpy and one backend is enough to measure."""

import subprocess
import sys
from pathlib import Path

import pytest

from lstmsim.measurements import read_measurements

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "calibration"
LIMIT_S = 240
BLOCKED = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"click", "rich", "numba", "scipy", "pandas", "keras", "tensorflow", "torch"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*words):
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=LIMIT_S)


@pytest.fixture
def checkout():
    if not SCRIPTS.is_dir():
        pytest.skip("not a checkout: calibration/ is not part of the package")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")


@pytest.mark.usefixtures("checkout")
def test_measure_and_evaluate(tmp_path):
    rows = tmp_path / "cpu.csv"
    script = SCRIPTS / "measure_gpu.py"
    words = ["--device", "cpu", "--quick", "--limit", "0.05", "--name", "this-machine", "-o", rows]
    backend = ["--backends", "torch,onnxruntime", "--grid-backend", "onnxruntime"]
    first = run("-c", BLOCKED, script, *words, *backend)
    assert first.returncode == 0, first.stderr
    assert "skipped: timing with torch needs the package 'torch'" in first.stdout
    before = read_measurements(rows)
    assert len([row for row in before if not row.network.startswith("lstm:")]) == 7
    assert len([row for row in before if row.network.startswith("lstm:")]) == 36
    assert "this-machine-onnxruntime-autoenc-1-b1,cpu.device.toml," in rows.read_text()

    again = run("-c", BLOCKED, script, *words, *backend)
    assert f"43 rows in {rows}" in again.stdout
    assert read_measurements(rows) == before

    pytest.importorskip("scipy")
    done = run(SCRIPTS / "evaluate_gpu.py", rows, "--backend", "onnxruntime", "-o", tmp_path / "fitted.toml")
    assert done.returncode == 0, done.stderr
    assert "mean |error|, left out:" in done.stdout
    assert "| all | 36 |" in done.stdout
    assert (tmp_path / "fitted.toml").exists()


@pytest.mark.usefixtures("checkout")
def test_rows_without_the_seven_are_one_clear_error(tmp_path):
    pytest.importorskip("scipy")
    (tmp_path / "rows.csv").write_text("id,device,network,stage,latency_s\na,v100,autoenc-1,board,0.001\n")
    done = run(SCRIPTS / "evaluate_gpu.py", tmp_path / "rows.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: 0 of the seven networks were timed with 'torch-jit'")

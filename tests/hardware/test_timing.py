import json
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from lstmsim.cli.measure import command
from lstmsim.device import load_device
from lstmsim.errors import ConfigError, HardwareError
from lstmsim.hardware import machine, timing
from lstmsim.hardware.backends import Runner
from lstmsim.measurements import read_measurements
from lstmsim.network import network_from_shape

SMALL = network_from_shape("lstm:units=4,layers=1,timesteps=3,features=2")


def stub(run):
    """A backend in place of a framework: the clock around it is what is tested."""
    return lambda job: Runner(run=lambda: run(job), library="stub 1.0")


def zeros(job):
    import numpy as np

    network = job.model.network
    return np.zeros((len(job.inputs), network.output.timesteps, network.output.features), dtype=np.float32)


def test_the_median_is_that_of_the_runs(monkeypatch):
    def run(job):
        time.sleep(0.002 * len(job.inputs))
        return zeros(job)

    monkeypatch.setattr(timing, "build", stub(run))
    one, three = timing.measure([SMALL], [1, 3], timing.Plan(repeat=20, rounds=4, threads=0))
    assert 0.002 <= one.median_s < 0.006
    assert 0.006 <= three.median_s < 0.018
    assert one.runs == 20
    assert one.low_s <= one.median_s <= one.high_s


def test_runs_that_waited_for_the_processor_are_left_out(monkeypatch):
    def run(job):
        run.count += 1
        if run.count % 3 == 0:
            time.sleep(0.02)
        end = time.process_time() + 0.001
        while time.process_time() < end:
            pass
        return zeros(job)

    run.count = 0
    monkeypatch.setattr(timing, "build", stub(run))
    (seen,) = timing.measure([SMALL], [1], timing.Plan(repeat=60, rounds=4))
    assert seen.disturbed >= 20
    assert seen.runs + seen.disturbed == 60
    assert seen.median_s < 0.01


def test_a_slow_case_ends_near_its_limit(monkeypatch):
    def run(job):
        time.sleep(0.05)
        return zeros(job)

    monkeypatch.setattr(timing, "build", stub(run))
    start = time.perf_counter()
    (seen,) = timing.measure([SMALL], [1], timing.Plan(repeat=100_000, limit_s=0.2))
    assert time.perf_counter() - start < 2.0
    assert 1 <= seen.runs < 20


def test_a_backend_that_fails_names_the_case(monkeypatch):
    def run(job):
        raise RuntimeError("CUDA out of memory\nand more")

    monkeypatch.setattr(timing, "build", stub(run))
    with pytest.raises(HardwareError, match=r"units=4.*batch 7: CUDA out of memory$"):
        timing.measure([SMALL], [7], timing.Plan())


def test_wrong_outputs_are_refused(monkeypatch):
    monkeypatch.setattr(timing, "build", stub(lambda job: zeros(job)[:, :1]))
    with pytest.raises(HardwareError, match=r"\[1, 1, 4\]"):
        timing.measure([SMALL], [1], timing.Plan())


@pytest.mark.parametrize("batch", [0, -1, timing.MAX_BATCH + 1])
def test_a_batch_out_of_range_is_refused(batch):
    with pytest.raises(ConfigError, match="--batch"):
        timing.measure([SMALL], [batch], timing.Plan())


@pytest.mark.parametrize("options", [{"repeat": 0}, {"threads": -1}, {"limit_s": 0.0}, {"rounds": 0}])
def test_a_plan_out_of_range_is_refused(options):
    with pytest.raises(ConfigError):
        timing.Plan(**options)


def test_rows_of_the_command_read_back(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    target = tmp_path / "rows.csv"
    words = ["autoenc-1", SMALL.name, "--batch", "1,2", "--repeat", "20", "--name", "here", "-o", str(target), "--json"]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0
    seen = json.loads(done.output)
    rows = read_measurements(target)
    assert [(row.network, row.batch, load_device(row.device).name, row.stage) for row in rows] == [
        (name, batch, "here", "board") for name in ("autoenc-1", SMALL.name) for batch in (1, 2)
    ]
    assert [row.latency_s for row in rows] == pytest.approx([one["latency_s"] for one in seen], rel=1e-6)
    assert all(row.extra["mode"] == "cpu" and "onnxruntime" in row.extra["tool"] for row in rows)


def test_a_device_of_the_package_needs_no_file(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    target = tmp_path / "rows.csv"
    words = [SMALL.name, "--repeat", "2", "--name", "xeon-4210", "-o", str(target), "-q"]
    assert CliRunner().invoke(command, words, catch_exceptions=False).exit_code == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.csv"]
    assert read_measurements(target)[0].device == "xeon-4210"


def test_the_command_never_writes_over_a_file(tmp_path):
    target = tmp_path / "rows.csv"
    target.write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        CliRunner().invoke(command, ["autoenc-1", "-o", str(target)], catch_exceptions=False)
    assert target.read_text() == "mine"


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ConfigError, match="nothing to measure"):
        CliRunner().invoke(command, [], catch_exceptions=False)


@pytest.mark.parametrize("words", [["--grid", "1:2"], ["--grid", "a:1:1"], ["--batch", "1,x"]])
def test_wrong_lists_are_errors(words):
    with pytest.raises(ConfigError, match=words[0]):
        CliRunner().invoke(command, ["autoenc-1", *words], catch_exceptions=False)


def test_a_grid_has_every_point():
    networks = timing.grid([16, 32], [1, 2], [5])
    assert [network.name for network in networks] == [
        f"lstm:units={units},layers={layers},timesteps=5,features=32" for units in (16, 32) for layers in (1, 2)
    ]


def test_machines_have_plain_names():
    assert machine.device_key("Intel(R) Xeon(R) Silver 4210 CPU @ 2.20GHz") == "intel-xeon-silver-4210-2-20ghz"
    assert machine.device_key("NVIDIA A30") == "a30"
    assert machine.cpu_name()


def test_hanging_work_ends_the_process():
    program = (
        "import time; from lstmsim.hardware.watchdog import time_limit\nwith time_limit(0.2, 'waiting'): time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr == "Error: waiting did not end within 0.2 s: process ended\n"

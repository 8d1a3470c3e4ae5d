"""Heavy sweeps: nothing lost and nothing twice, whichever executor, also when a worker dies or the run is cut off."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from lstmsim.errors import ConfigError
from lstmsim.explore import accuracies
from lstmsim.explore.accuracies import key_of, measure_accuracies, read_accuracies
from lstmsim.explore.jobs import read_checkpoint, run_jobs
from lstmsim.explore.space import default_space

TASKS = {f"task {number}": (number,) for number in range(20)}
WANTED = {key: number * number for key, (number,) in TASKS.items()}


def square(number: int) -> int:
    return number * number


def slow_square(folder: str, number: int) -> int:
    """Leave a mark for every run, take a while."""
    marks = Path(folder)
    (marks / f"{number}-{os.getpid()}").write_text("")
    time.sleep(0.15)
    return number * number


def fails_at_seven(number: int) -> int:
    if number == 7:
        raise ValueError("seven")
    return number * number


class Inline(Executor):
    """Runs at once, in the order of submission."""

    def __init__(self) -> None:
        self.ran: list[tuple] = []

    def submit(self, function, /, *arguments, **options):
        self.ran.append(arguments)
        future: Future = Future()
        try:
            future.set_result(function(*arguments, **options))
        except Exception as problem:
            future.set_exception(problem)
        return future


@pytest.mark.parametrize("make", [Inline, lambda: ThreadPoolExecutor(3), lambda: ProcessPoolExecutor(2)])
def test_results_by_key_in_order_on_any_executor(tmp_path, make):
    done = []
    with make() as executor:
        found = run_jobs(square, TASKS, executor, checkpoint=tmp_path / "c.jsonl", progress=done.append)
    assert list(found.items()) == list(WANTED.items())
    assert sum(done) == len(TASKS)
    lines = (tmp_path / "c.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["key"] for line in lines) == sorted(TASKS)


def test_an_interrupted_sweep_resumes_where_it_stopped(tmp_path):
    path = tmp_path / "c.jsonl"
    with pytest.raises(ValueError, match="seven"):
        run_jobs(fails_at_seven, TASKS, Inline(), checkpoint=path)
    before = read_checkpoint(path)
    assert before.keys() == TASKS.keys() - {"task 7"}
    second = Inline()
    assert run_jobs(square, TASKS, second, checkpoint=path) == WANTED
    assert len(second.ran) == len(TASKS) - len(before)
    third = Inline()
    assert run_jobs(square, TASKS, third, checkpoint=path) == WANTED
    assert third.ran == []


def test_a_line_cut_off_by_a_crash_is_measured_again(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"key": "task 1", "value": 1}\n{"key": "task 2", "va')
    executor = Inline()
    assert run_jobs(square, TASKS, executor, checkpoint=path) == WANTED
    assert (1,) not in executor.ran
    assert read_checkpoint(path) == WANTED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no results here\n\n", "line 1 is not a result"),
        ('{"key": "a", "value": 1}\n{"key": "a", "value": 2}\n', "two results for a"),
        ("[1, 2]\nx\n", "line 1 is not a result"),
    ],
)
def test_files_that_are_no_checkpoints_are_refused(tmp_path, text, message):
    path = tmp_path / "c.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        run_jobs(square, TASKS, Inline(), checkpoint=path)
    assert path.read_text() == text


@pytest.mark.slow
def test_a_dask_worker_killed_midway_loses_nothing_and_repeats_no_result(tmp_path):
    distributed = pytest.importorskip("distributed")
    marks, path = tmp_path / "marks", tmp_path / "c.jsonl"
    marks.mkdir()
    tasks = {f"task {number}": (str(marks), number) for number in range(24)}
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        victim = next(iter(client.run(os.getpid).values()))
        killed = threading.Event()

        def kill_once_busy() -> None:
            while len(list(marks.iterdir())) < 6:
                time.sleep(0.02)
            os.kill(victim, signal.SIGKILL)
            killed.set()

        killer = threading.Thread(target=kill_once_busy)
        killer.start()
        with client.get_executor(pure=False, retries=3) as executor:
            found = run_jobs(slow_square, tasks, executor, checkpoint=path)
        killer.join()
    assert killed.is_set()
    assert found == {key: number * number for key, (_, number) in tasks.items()}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(line["key"] for line in lines) == sorted(tasks)
    assert any(mark.name.endswith(f"-{victim}") for mark in marks.iterdir())


def fake_measure(network, data, formats, samples) -> float:
    return 1.0 - 1.0 / formats.weight_format.width_bits


def test_accuracies_by_format_are_kept_and_read_back(tmp_path, monkeypatch):
    from lstmsim.device import load_device
    from lstmsim.network import load_preset

    network, device = load_preset("autoenc-1"), load_device("zcu104")
    space = default_space(network, device)
    monkeypatch.setattr(accuracies, "measure_format", fake_measure)
    path = str(tmp_path / "a.jsonl")
    found = measure_accuracies(network, "telemetry", space, checkpoint=path, executor=Inline())
    assert found[space.formats[0]] == 1 - 1 / 8
    assert read_accuracies(path, space) == found
    Path(path).write_text(json.dumps({"key": key_of("other", "x", space.formats[0]), "value": 0.5}) + "\n")
    assert read_accuracies(path, space) == {space.formats[0]: 0.5}
    Path(path).write_text('{"key": "[\\"n\\", \\"d\\"]", "value": 1}\n')
    with pytest.raises(ConfigError, match="no accuracy of a format"):
        read_accuracies(path, space)

"""explore(): the compiled loop over a whole space, on all cores, in constant memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lstmsim.calibration import Calibration
from lstmsim.core import sweep as core
from lstmsim.core.rules import RULES
from lstmsim.device import Device, FpgaDevice, load_device
from lstmsim.errors import ConfigError
from lstmsim.explore.explain import explain_nothing
from lstmsim.explore.goals import DEFAULT_OBJECTIVES, Constraint, parse_objectives
from lstmsim.explore.problem import Problem, pack_problem
from lstmsim.explore.result import Exploration
from lstmsim.explore.space import DesignSpace, Formats, default_space
from lstmsim.network import Network, load_preset

Progress = Callable[[int], None]
CHUNK_DESIGNS = 1 << 18
FIRST_CAPACITY = 1 << 13
SAMPLE_SIZE = 4096
MAX_BATCH = 1 << 24
DEFAULT_QUEUE = 128


def explore(
    network: Network | str,
    device: Device | str,
    *,
    space: DesignSpace | None = None,
    objectives: Sequence[str] = DEFAULT_OBJECTIVES,
    constraints: Sequence[Constraint] = (),
    batch: int = 1,
    queue: int = DEFAULT_QUEUE,
    accuracy: Mapping[Formats, float] | None = None,
    calibration: Calibration | str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Exploration:
    """Evaluate every design of a space and return the exact Pareto front of those that fit and meet the constraints.

    Args:
        network: a network, or the name of one that comes with the package.
        device: an FPGA, its name, or a TOML file.
        space: the designs; by default `default_space`.
        objectives: names out of `METRIC_NAMES`, the first sorts the front.
        constraints: bounds made by `parse_constraint`.
        batch: inputs of the call whose latency is meant.
        queue: inputs of the call whose throughput is meant.
        accuracy: share by formats, where it was measured.
        threads: at most so many at once; all cores by default. The result does not depend on it.
        progress: called with the number of designs done since the last call.

    Raises:
        ConfigError: a device that is no FPGA, an unknown objective, or no design left: the message says which
            constraint excludes most.
    """
    chosen = load_preset(network) if isinstance(network, str) else network
    board = load_device(device) if isinstance(device, str) else device
    if not isinstance(board, FpgaDevice):
        raise ConfigError(f"{board.name!r} is a {board.kind}: only FPGAs have a design space; try lstmsim place")
    for name, value in (("batch", batch), ("queue", queue)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_BATCH:
            raise ConfigError(f"{name} = {value!r} is not a whole number in 1..{MAX_BATCH}")
    goals = parse_objectives(objectives)
    designs = space or default_space(chosen, board)
    problem = pack_problem(
        chosen, board, designs, goals, constraints,
        batch=batch, queue=queue, accuracy=accuracy, calibration=calibration,
    )  # fmt: skip
    workers = max(1, min(threads or os.cpu_count() or 1, -(-designs.size // CHUNK_DESIGNS)))
    compile_loop(problem)
    started = time.perf_counter()
    tally = run_sweep(problem, workers, progress)
    seconds = time.perf_counter() - started
    if tally.counts[core.FEASIBLE] == 0:
        raise ConfigError(explain_nothing(chosen.name, board.name, problem, tally, constraints))
    return Exploration(
        network=chosen.name,
        device=board.name,
        objectives=goals,
        constraints=tuple(map(str, constraints)),
        batch=batch,
        queue=queue,
        space=designs,
        evaluated=int(tally.counts[core.EVALUATED]),
        fitting=int(tally.counts[core.FITTING]),
        feasible=int(tally.counts[core.FEASIBLE]),
        pruned={rule: int(count) for rule, count in zip(RULES, tally.pruned, strict=True) if count},
        excluded={name: int(row[0]) for name, row in zip(problem.limit_names, tally.broken, strict=True) if row[0]},
        front=_sorted_front(tally),
        seconds=seconds,
        threads=workers,
        problem=problem,
        sample=tuple(tuple(map(float, row)) for row in tally.sample[: tally.counts[core.SAMPLED]]),
    )


def _sorted_front(tally: core.Tally) -> tuple[int, ...]:
    """Return the front's indices, best first by the first objective, then the others."""
    count = int(tally.counts[core.FRONT])
    points, tags = tally.front[:count], tally.tags[:count]
    keys = [tags, *(points[:, k] for k in range(points.shape[1] - 1, -1, -1))]
    return tuple(int(tag) for tag in tags[np.lexsort(keys)])


def run_sweep(problem: Problem, workers: int, progress: Progress | None = None) -> core.Tally:
    """Run the compiled loop over all groups of a problem; every worker keeps a front, merged at the end."""
    loop = compiled_loop()
    chunks = _Chunks(problem.groups, max(1, CHUNK_DESIGNS // problem.group_size), problem.group_size, progress)
    if workers == 1:
        return _work(loop, problem, chunks)
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_work, loop, problem, chunks) for _ in range(workers)]
        try:
            return _merged([job.result() for job in jobs])
        except BaseException:
            chunks.stop()
            raise


def compile_loop(problem: Problem) -> None:
    """Compile the loop, or load it from the cache, so that a sweep's seconds are its own."""
    _run(compiled_loop(), 0, 0, problem, new_tally(problem, 1), 0, _new_work(problem))


def compiled_loop() -> Callable[..., int]:
    """Return the compiled loop."""
    from lstmsim.core.compiled import compiled_sweep

    return compiled_sweep()


class _Chunks:
    """Ranges of groups, handed out to threads one after the other."""

    def __init__(self, groups: int, step: int, group_size: int, progress: Progress | None) -> None:
        self._lock = threading.Lock()
        self._next = 0
        self._groups, self._step, self._group_size, self._progress = groups, step, group_size, progress

    def stop(self) -> None:
        """Hand out no more."""
        with self._lock:
            self._next = self._groups

    def __iter__(self) -> Iterator[tuple[int, int]]:
        while True:
            with self._lock:
                start = self._next
                stop = min(start + self._step, self._groups)
                self._next = stop
            if start >= stop:
                return
            yield start, stop
            if self._progress is not None:
                with self._lock:
                    self._progress((stop - start) * self._group_size)


def new_tally(problem: Problem, capacity: int) -> core.Tally:
    """Return empty counters and a front with room for `capacity` designs."""
    limits, width = len(problem.goal.limits), len(problem.goal.objectives)
    return core.Tally(
        counts=np.zeros(5, np.int64),
        pruned=np.zeros(len(RULES), np.int64),
        broken=np.zeros((limits, 2), np.int64),
        best=np.full(limits, np.inf),
        front=np.zeros((capacity, width)),
        tags=np.zeros(capacity, np.int64),
        hint=np.zeros(1, np.int64),
        sample=np.zeros((SAMPLE_SIZE, 1 + len(core.METRICS))),
    )


def _new_work(problem: Problem) -> core.Work:
    time_choices = int(np.prod(problem.tables.sizes[core.FIRST_TIME_AXIS :]))
    return core.Work(
        metric=np.zeros(len(core.METRICS)),
        point=np.zeros(len(problem.goal.objectives)),
        digits=np.zeros(len(core.AXES), np.int64),
        times=np.zeros((time_choices, 6)),
    )


def _work(loop: Callable[..., int], problem: Problem, chunks: _Chunks) -> core.Tally:
    tally = new_tally(problem, FIRST_CAPACITY + problem.group_size)
    work = _new_work(problem)
    designs = problem.groups * problem.group_size
    below = min(core.SAMPLE_MASK + 1, (core.SAMPLE_MASK + 1) * SAMPLE_SIZE * 4 // designs)
    for start, stop in chunks:
        at = start
        while True:
            at = _run(loop, at, stop, problem, tally, below, work)
            if at >= stop:
                break
            tally = _grown(tally)
    return tally


def _run(
    loop: Callable[..., int], start: int, stop: int, problem: Problem, tally: core.Tally, below: int, work: core.Work
) -> int:
    return loop(
        start, stop, problem.layers, problem.load, problem.extent, problem.model, problem.tables, problem.goal, tally,
        below, work,
    )  # fmt: skip


def _grown(tally: core.Tally) -> core.Tally:
    more = np.zeros_like(tally.front), np.zeros_like(tally.tags)
    return tally._replace(front=np.concatenate([tally.front, more[0]]), tags=np.concatenate([tally.tags, more[1]]))


def _merged(parts: list[core.Tally]) -> core.Tally:
    """Return one tally out of those of several workers."""
    from lstmsim.core.compiled import compiled_merge

    counts = [int(part.counts[core.FRONT]) for part in parts]
    front = np.zeros((sum(counts), parts[0].front.shape[1]))
    tags = np.zeros(sum(counts), np.int64)
    count = 0
    for part, size in zip(parts, counts, strict=True):
        count = compiled_merge()(front, tags, count, part.front, part.tags, size, parts[0].hint)
    totals = sum(part.counts for part in parts)
    totals[core.FRONT] = count
    samples = np.concatenate([part.sample[: part.counts[core.SAMPLED]] for part in parts])
    samples = samples[np.argsort(samples[:, 0])][:SAMPLE_SIZE]
    totals[core.SAMPLED] = len(samples)
    return core.Tally(
        counts=totals,
        pruned=sum(part.pruned for part in parts),
        broken=sum(part.broken for part in parts),
        best=np.min([part.best for part in parts], axis=0),
        front=front,
        tags=tags,
        hint=parts[0].hint,
        sample=samples,
    )

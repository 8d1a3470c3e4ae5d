"""Accuracy by number format, measured by any executor, kept in a checkpoint, read back by later explorations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from lstmsim.config import KernelConfig
from lstmsim.errors import ConfigError, MissingExtra
from lstmsim.explore.jobs import read_checkpoint, run_jobs
from lstmsim.explore.space import FORMAT_KNOBS, DesignSpace, Formats

if TYPE_CHECKING:
    from lstmsim.network import Network

Progress = Callable[[int], None]


def key_of(network: str, data: str, formats: Formats) -> str:
    """Return the key of one measurement in a checkpoint."""
    return json.dumps([network, data, *(str(getattr(formats, name)) for name in FORMAT_KNOBS)])


def measure_format(network: Network, data: str, formats: Formats, samples: int) -> float:
    """Return the accuracy of one set of formats as a share; for forecasts float error over error."""
    from lstmsim.accuracy import quick_accuracy

    config = KernelConfig(**{name: getattr(formats, name) for name in FORMAT_KNOBS})
    result = quick_accuracy(network, config, data, samples=samples)
    share = result.accuracy if result.accuracy is not None else result.quality
    return float(share)


def measure_accuracies(
    network: Network,
    data: str,
    space: DesignSpace,
    *,
    samples: int = 1000,
    checkpoint: str | None = None,
    scheduler: str | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> dict[Formats, float]:
    """Measure every set of formats of a space; each once, also where an earlier run was cut off.

    Args:
        checkpoint: a file of JSON lines to resume from and to add to.
        scheduler: address of a Dask scheduler; `executor` is any other `concurrent.futures.Executor`.

    Raises:
        MissingExtra: a scheduler without the package distributed.
        DataError: no such data, or no weights for it.
    """
    tasks = {key_of(network.name, data, formats): (network, data, formats, samples) for formats in space.formats}
    with _executor(executor, scheduler) as chosen:
        found = run_jobs(measure_format, tasks, chosen, checkpoint=checkpoint, progress=progress)
    return {formats: float(found[key_of(network.name, data, formats)]) for formats in space.formats}


def read_accuracies(path: str, space: DesignSpace) -> dict[Formats, float]:
    """Return the accuracies of a checkpoint for the formats of a space; others stay unknown.

    Raises:
        ConfigError: no format of the space in it, or several networks or data sets.
    """
    found: dict[Formats, float] = {}
    names = {str([str(getattr(formats, knob)) for knob in FORMAT_KNOBS]): formats for formats in space.formats}
    sources = set()
    for key, value in read_checkpoint(path).items():
        network, data, *formats = json.loads(key)
        if str(formats) in names:
            found[names[str(formats)]] = float(value)
            sources.add((network, data))
    if not found:
        raise ConfigError(f"{path!r} has no accuracy of a format in the space")
    if len(sources) > 1:
        raise ConfigError(f"{path!r} mixes {len(sources)} networks or data sets: keep one file for each")
    return found


def _executor(given: Executor | None, scheduler: str | None) -> AbstractContextManager[Executor]:
    if given is not None:
        return _borrowed(given)
    if scheduler is not None:
        return _dask(scheduler)
    return ProcessPoolExecutor()


@contextmanager
def _borrowed(executor: Executor) -> Iterator[Executor]:
    yield executor


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra("distributed", "cluster", "sweeping on a Dask cluster") from None
    try:
        client: Any = Client(address, timeout=10, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as problem:
        raise ConfigError(f"no Dask scheduler answers at {address!r}: {problem}") from None
    with client:
        yield client.get_executor(pure=False)

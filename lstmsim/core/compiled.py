"""Loops over designs and events, compiled by numba on first use from the very functions that an estimate calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from lstmsim.core import cycles, energy, loops, memory, pareto, resources, rules, stepped, sweep
from lstmsim.core.jit import njit_cached

_MODULES: tuple[ModuleType, ...] = (loops, memory, cycles, resources, energy, rules, pareto, sweep, stepped)
_SOURCES = ("design", *(module.__name__.rpartition(".")[2] for module in _MODULES))


@cache
def _register() -> None:
    """Let numba compile the plain functions where compiled code calls them; Python keeps calling them as they are."""
    from numba.extending import register_jitable

    for module in _MODULES:
        for _, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                register_jitable(function)


@cache
def compiled_sweep() -> Callable[..., int]:
    """Return `sweep.sweep`, compiled; it runs without the interpreter's lock."""
    _register()
    compiled: Callable[..., int] = njit_cached(_SOURCES, nogil=True)(sweep.sweep)
    return compiled


@cache
def compiled_merge() -> Callable[..., int]:
    """Return `sweep.merge`, compiled."""
    _register()
    compiled: Callable[..., int] = njit_cached(_SOURCES, nogil=True)(sweep.merge)
    return compiled


@cache
def compiled_step_call() -> Callable[..., float]:
    """Return `stepped.step_call`, compiled; layers are an array, see `arrays_of_rows`."""
    _register()
    compiled: Callable[..., float] = njit_cached(_SOURCES, nogil=True)(stepped.step_call)
    return compiled


def arrays_of_rows(rows: Any) -> Any:
    """Return layers as an array [layers, columns], so that one compilation serves every network."""
    import numpy as np

    return np.array(rows, dtype=np.int64)


def records_of_rows(rows: Any) -> Any:
    """Return layers as an array of records: as `arrays_of_rows`, but a row of it costs compiled code nothing."""
    import numpy as np

    return np.array([tuple(row) for row in rows], dtype=[(name, np.int64) for name in LAYER_COLUMNS])


LAYER_COLUMNS = ("kind", "steps", "inputs", "units", "passes")

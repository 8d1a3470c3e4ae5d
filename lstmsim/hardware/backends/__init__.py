"""Frameworks that run a network on a GPU or a CPU, one module each; every module imports its framework on use only."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lstmsim.errors import ConfigError, nearest
from lstmsim.model import Model

Target = Literal["cuda", "cpu"]

_MODULES = {
    "lstmsim": "with_lstmsim",
    "onnxruntime": "with_onnxruntime",
    "tensorflow": "with_tensorflow",
    "torch": "with_torch",
    "torch-jit": "with_torch",
}
BACKENDS = tuple(_MODULES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a backend is asked to build: a model, float32 inputs [batch, timesteps, features], a place and its threads.

    `threads` is the number of CPU threads; 0 leaves it to the framework.
    """

    model: Model
    inputs: Any
    target: Target
    threads: int = 1
    backend: str = "onnxruntime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A network ready to run.

    `run()` goes from inputs in host memory to outputs in host memory, float32 [batch, timesteps, features], and
    returns when they are there. `device_time_s()` runs once more and returns the accelerator's own clock (CUDA
    events) around the computation without transfers; None on a CPU. `library` names the framework and its version.
    """

    run: Callable[[], Any]
    library: str
    device_time_s: Callable[[], float] | None = None


def build(job: Job) -> Runner:
    """Return the job's network in its backend.

    Raises:
        ConfigError: no such backend.
        MissingExtra: its package is not installed.
        HardwareError: it has no such device.
    """
    if job.backend not in _MODULES:
        raise ConfigError(f"--backend {job.backend!r} is unknown. {nearest(job.backend, _MODULES)}")
    module = importlib.import_module(f"{__name__}.{_MODULES[job.backend]}")
    runner: Runner = module.build(job)
    return runner

"""This package's own bit-accurate simulator, as a CPU implementation of the network."""

from __future__ import annotations

from typing import Any

from lstmsim.config import KernelConfig
from lstmsim.errors import HardwareError
from lstmsim.hardware.backends import Job, Runner
from lstmsim.hardware.machine import cpu_cores


def build(job: Job) -> Runner:
    """Return the simulator in 16-bit fixed point."""
    if job.target != "cpu":
        raise HardwareError("lstmsim's simulator runs on the CPU only: use --device cpu")
    from lstmsim._version import __version__
    from lstmsim.simulate import prepare

    simulator = prepare(job.model, KernelConfig())
    threads = job.threads or cpu_cores()

    def run() -> Any:
        return simulator.run(job.inputs, threads=threads)

    return Runner(run=run, library=f"lstmsim {__version__}")

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
    from lstmsim.quantise import interface_to_float, quantise_inputs, quantise_model
    from lstmsim.simulate import host_outputs, run_raw

    config, network = KernelConfig(), job.model.network
    quantised = quantise_model(job.model, config)

    def run() -> Any:
        raw = run_raw(quantised, quantise_inputs(network, config, job.inputs), threads=job.threads or cpu_cores())
        return host_outputs(network, interface_to_float(config, raw.outputs))

    return Runner(run=run, library=f"lstmsim {__version__}")

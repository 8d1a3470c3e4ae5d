"""Choosing a kernel configuration that fits: the paper's architecture, shared as little as the device allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from lstmsim.config import KernelConfig
from lstmsim.device import FpgaDevice
from lstmsim.kernel_model import kernel_model
from lstmsim.network import Network

WIDEST_PORT_BITS = 512


def default_config(network: Network, device: FpgaDevice, values: Mapping[str, float]) -> KernelConfig:
    """Return the first configuration that fits the device's budget: four gate engines, rows unrolled fully.

    16-bit fixed point, the board's full port width. Where it does not fit, weights move to block RAM and UltraRAM,
    then columns share multipliers, then gates take turns. Where nothing fits, the design that comes nearest is
    returned.
    """
    budget = device.budget.as_dict()
    nearest, least = KernelConfig(), math.inf
    for config in _candidates(network, device):
        needs = kernel_model(network, device, config, 1).usage(values)._asdict()
        if fits_budget(needs, budget):
            return config
        worst = max(need / budget[name] if budget[name] > 0 else math.inf for name, need in needs.items() if need)
        if worst < least:
            nearest, least = config, worst
    return nearest


def fits_budget(needs: Mapping[str, float], budget: Mapping[str, float]) -> bool:
    """Return whether no resource is needed beyond its budget."""
    return all(need <= budget[name] for name, need in needs.items())


def _candidates(network: Network, device: FpgaDevice) -> Iterator[KernelConfig]:
    port = min(WIDEST_PORT_BITS, device.memory_port_bits)
    widest = max(2, max((stage.input.features + stage.output.features for stage in network.stages), default=2))
    for gates in (4, 2, 1):
        share = 1
        while share < 2 * widest:
            for memory in ("lutram", "bram", "uram"):
                yield KernelConfig(parallel_gates=gates, mac_share=share, memory_bits=port, weight_memory=memory)
            share *= 2

"""Power and energy of a design: static power, switching by resources, and weights that travel from memory."""

from __future__ import annotations

from typing import NamedTuple

from lstmsim.core.cycles import layer_weights
from lstmsim.core.design import PASSES, Knobs, Layers, Usage
from lstmsim.core.memory import weight_word_bits


class PowerCoefficients(NamedTuple):
    """Joule a clock cycle and block at typical activity; `data/energy` says where each comes from."""

    static_w: float
    lut_j: float
    ff_j: float
    dsp_j: float
    bram18_j: float
    uram_j: float
    memory_j_per_byte: float


def traffic_bytes(layers: Layers, knobs: Knobs) -> float:
    """Return the bytes of weights that one input reads from memory: none where weights are resident."""
    if knobs.resident_weights:
        return 0.0
    words = 0.0
    for i in range(len(layers)):
        words += layers[i][PASSES] * layer_weights(layers[i])
    return words * weight_word_bits(knobs) / 8.0


def switching_w(used: Usage, clock_hz: float, c: PowerCoefficients) -> float:
    """Return the power of logic, memories and multipliers that switch at `clock_hz`."""
    per_cycle = used.lut * c.lut_j + used.ff * c.ff_j + used.dsp * c.dsp_j + used.bram18 * c.bram18_j
    return clock_hz * (per_cycle + used.uram * c.uram_j)


def inference_joule(latency_s: float, batch: int, switching: float, bytes_read: float, c: PowerCoefficients) -> float:
    """Return the energy of one input of a call: power over its share of the call, and its memory traffic."""
    return (c.static_w + switching) * latency_s / batch + bytes_read * c.memory_j_per_byte


def average_w(joule: float, latency_s: float, batch: int) -> float:
    """Return the average power while a call runs."""
    return joule * batch / latency_s if latency_s > 0.0 else 0.0

"""What the comparison of closed formulas and stepped simulator cannot see: inputs that both share, and mere factors."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lstmsim.calibration import load_calibration
from lstmsim.config import KernelConfig
from lstmsim.core.cycles import call_phases, total_cycles
from lstmsim.core.memory import full_burst_bits, load_cycles, port_bits
from lstmsim.device import FpgaDevice, load_device
from lstmsim.kernel_model import calibrated_values, latency_coefficients
from lstmsim.pack import board_of, knobs_of

DEVICE = load_device("u280")
COEFFICIENTS = latency_coefficients(calibrated_values(load_calibration("paper-fpga")))
LAYERS = ((0, 5, 6, 7, 1), (1, 5, 7, 3, 1))


def knobs(batch: int = 1, **changes: Any) -> Any:
    assert isinstance(DEVICE, FpgaDevice)
    return knobs_of(dataclasses.replace(KernelConfig(), **changes), DEVICE, batch)


def board(launch_s: float) -> Any:
    assert isinstance(DEVICE, FpgaDevice)
    return board_of(DEVICE, launch_s)


@pytest.mark.parametrize(
    ("rows", "columns", "memory_bits", "widen", "bits"),
    [
        (60, 108, 32, True, 256),  # 6480 words of 16 bits: four factors of two
        (128, 256, 32, True, 512),  # no wider than 512
        (230, 414, 32, True, 64),
        (159, 287, 32, True, 32),  # odd: stays as it is
        (128, 256, 32, False, 32),
        (128, 256, 64, True, 64),  # explicitly wide ports are left alone
        (128, 256, 16, True, 512),
    ],
)
def test_ports_widen_to_what_divides_the_array(
    rows: int, columns: int, memory_bits: int, widen: bool, bits: int
) -> None:
    assert port_bits(rows, columns, knobs(memory_bits=memory_bits, widen_ports=widen)) == bits


@pytest.mark.parametrize(("memory_bits", "beats", "bits"), [(32, 16, 512), (128, 256, 32768), (1024, 256, 32768)])
def test_bursts_keep_to_four_kilobytes(memory_bits: int, beats: int, bits: int) -> None:
    assert full_burst_bits(knobs(memory_bits=memory_bits, burst_beats=beats)) == bits


def test_nothing_to_load_takes_no_time() -> None:
    assert load_cycles(0, 1.0, 0.0, knobs(), board(0.0)) == 0.0
    assert load_cycles(1, 1.0, 0.0, knobs(), board(0.0)) > 64.0


def test_launch_counts_once_a_call() -> None:
    for batch in (1, 8):
        one = call_phases(LAYERS, 15, knobs(batch), board(1e-3), COEFFICIENTS)
        assert one.launch == 1e-3 * knobs().clock_hz
        without = call_phases(LAYERS, 15, knobs(batch), board(0.0), COEFFICIENTS)
        assert total_cycles(one) - total_cycles(without) == pytest.approx(one.launch)


@pytest.mark.parametrize(("instances", "batch", "others"), [(1, 8, 0), (4, 8, 3), (4, 2, 1), (4, 1, 0)])
def test_each_further_instance_at_work_slows_all_down(instances: int, batch: int, others: int) -> None:
    found = call_phases(LAYERS, 15, knobs(batch, instances=instances), board(0.0), COEFFICIENTS)
    work = total_cycles(found) - found.waiting
    assert found.waiting == pytest.approx(work * COEFFICIENTS.instance_slowdown * others)


def test_cells_of_their_own_load_once_a_call() -> None:
    one, many = (
        call_phases(LAYERS, 15, knobs(batch, layer_parallel=True), board(0.0), COEFFICIENTS) for batch in (1, 9)
    )
    assert many.weight_load == one.weight_load
    assert many.gates > one.gates
    shared = call_phases(LAYERS, 15, knobs(9), board(0.0), COEFFICIENTS)
    assert shared.weight_load == pytest.approx(9 * one.weight_load)

"""What the comparison of closed formulas and stepped simulator cannot see: inputs that both share, and mere factors."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from lstmsim.calibration import load_calibration
from lstmsim.config import KernelConfig
from lstmsim.core.cycles import (
    call_phases,
    cell_columns,
    cell_rows,
    inference_phases,
    layer_phases,
    slowest_layer_cycles,
    total_cycles,
)
from lstmsim.core.design import CASCADE, CHAIN, DENSE, LSTM, Board, Knobs, LatencyCoefficients
from lstmsim.core.memory import cycles_per_weight, full_burst_bits, gap_after_load, load_cycles, port_bits
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


@pytest.mark.parametrize("weight_bits", [6, 8])
def test_words_that_widen_are_bytes_at_least(weight_bits: int) -> None:
    assert port_bits(60, 108, knobs(widen_ports=True)._replace(weight_bits=weight_bits)) == 8 * 16


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


HAND = LatencyCoefficients(
    row_interval_cycles=2, activation_cycles=3, state_cycles=5, float_add_cycles=7, float_sequential_cycles=11,
    narrow_beat_cycles=3, widened_word_cycles=13, staged_float_word_cycles=17, instance_slowdown=0,
)  # fmt: skip
CELL = (LSTM, 4, 6, 10, 2)
WIDE_DENSE = (DENSE, 4, 40, 7, 1)


@pytest.mark.parametrize(
    ("layer", "changes", "cycles"),
    [
        (CELL, {}, (4 + 4) + 2 * 9 - 1),
        (CELL, {"parallel_gates": 2, "engines": 3}, (4 + 4) + 2 * 7 - 1),
        (CELL, {"mac_share": 8}, 17 + 16 * 9 - 1),
        (CELL, {"accumulation": CASCADE}, (4 + 16) + 2 * 9 - 1),
        (CELL, {"is_float": 1}, (4 + 7 * 4) + 2 * 9 - 1),
        (CELL, {"is_float": 1, "accumulation": CASCADE}, (4 + 7 * 16) + 2 * 9 - 1),
        (CELL, {"accumulation": CHAIN, "engines": 3}, 4 * 4 * 16),
        (CELL, {"accumulation": CHAIN, "is_float": 1}, 4 * 10 * 16 * 11),
        (WIDE_DENSE, {}, (4 + 4) + 6 * 27 - 1),
        (WIDE_DENSE, {"accumulation": CHAIN}, 28 * 40),
    ],
)
def test_rows_by_hand(layer: tuple[int, ...], changes: dict[str, int], cycles: int) -> None:
    found = layer_phases(layer, 16, knobs()._replace(**changes), HAND)
    assert (found.gates, found.dense) == ((8 * cycles, 0) if layer == CELL else (0, cycles))


def test_steps_and_output_by_hand() -> None:
    resident = knobs(resident_weights=True, elementwise_unroll=3)
    found = inference_phases((CELL,), 3, 0.0, resident, board(0.0), HAND)
    assert found.input == 8 * (3 + 5 - 1)
    assert found.elementwise == 8 * (10 * 3 + 4 * 5)
    assert found.gates == 8 * 25
    assert found.output == 64 + 2 * 3
    assert slowest_layer_cycles((CELL,), resident, HAND) == 8 * (7 + 50 + 25) + 32


def test_the_cell_has_room_for_the_largest_layer() -> None:
    lstms = ((LSTM, 5, 6, 10, 1), (LSTM, 5, 10, 4, 2))
    denses = ((DENSE, 5, 60, 7, 1), (DENSE, 5, 7, 30, 1))
    assert (cell_columns(lstms + denses), cell_rows(lstms + denses)) == (16, 10)
    assert (cell_columns(denses), cell_rows(denses)) == (60, 30)


@pytest.mark.parametrize(
    ("changes", "cycles"),
    [
        ({}, 3 * 16 / 32),
        ({"memory_bits": 512, "weight_bits": 24}, 3 * 24 / 512),
        ({"widen_ports": 1}, 13),
        ({"io_is_float": 1}, 3 * 32 / 32),
        ({"io_is_float": 1, "memory_bits": 512}, 1),
        ({"io_is_float": 1, "is_float": 1, "memory_bits": 512}, 3 * 32 / 512),
        ({"io_is_float": 1, "staged_weights": 1}, 17),
    ],
)
def test_cycles_of_a_weight(changes: dict[str, int], cycles: float) -> None:
    assert cycles_per_weight(60, 108, knobs()._replace(**changes), HAND) == cycles  # widens to 256 bits


def test_odd_arrays_keep_the_beats_of_narrow_ports() -> None:
    assert cycles_per_weight(230, 414, knobs(widen_ports=True), HAND) == 3 * 16 / 32


@pytest.mark.parametrize(
    ("outstanding", "instances", "channel_cycles", "latency", "lead", "cycles"),
    [
        (1, 1, 1, 0, 0, (64 + 16) + (64 + 16) + (64 + 8)),
        (16, 1, 1, 0, 0, 64 + 16 + 16 + 8),
        (16, 1, 1, 90, 0, 90 + 16 + 16 + 8),
        (2, 1, 1, 0, 0, (64 + 16) + (64 + 8)),
        (1, 1, 40, 0, 0, (64 + 40) + (64 + 40) + (64 + 20)),
        (16, 3, 12, 0, 0, 64 + (12 + 12) + (12 + 12) + (6 + 8)),  # the other's burst, then this one's
        (16, 3, 12, 0, 5, 64 + (7 + 12) + (12 + 12) + (6 + 8)),
        (16, 3, 12, 0, 99, 64 + 12 + (12 + 12) + (6 + 8)),
        (16, 3, 2, 0, 0, 64 + 2 + 16 + 16 + 8),
    ],
)
def test_two_bursts_and_a_half(
    outstanding: int, instances: int, channel_cycles: int, latency: int, lead: int, cycles: int
) -> None:
    """A burst of 512 bits has 32 weights, 16 cycles on the port; two channels of 64 bytes each `channel_cycles`."""
    design, memory = shared_channel(outstanding, instances, channel_cycles, latency)
    assert load_cycles(80, 0.5, lead, design, memory) == pytest.approx(cycles)


@pytest.mark.parametrize(
    ("weights", "channel_cycles", "before", "after"),
    [
        (80, 12, 0, 6),  # a full channel: half of a burst
        (80, 12, 9, 6),
        (80, 2, 0, 2),  # a channel with time left: one burst
        (80, 2, 9, 9),
        (8, 12, 0, 3),  # a quarter of a burst
        (8, 12, 9, 9),
        (0, 12, 9, 9),
    ],
)
def test_gap_that_a_load_leaves(weights: int, channel_cycles: int, before: int, after: int) -> None:
    assert gap_after_load(weights, 0.5, before, *shared_channel(16, 3, channel_cycles, 0)) == pytest.approx(after)


def shared_channel(outstanding: int, instances: int, channel_cycles: int, latency: int) -> tuple[Knobs, Board]:
    changes = {"burst_beats": 16, "outstanding_reads": outstanding, "instances": instances, "clock_hz": 100e6}
    memory = Board(0.0, 2, 512, 2 * 64 * 100e6 / channel_cycles, latency / 100e6)
    return knobs(instances)._replace(**changes), memory

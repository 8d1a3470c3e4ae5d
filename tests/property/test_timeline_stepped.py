"""Closed formulas against the stepped simulator, on random designs."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from lstmsim.calibration import load_calibration
from lstmsim.core.compiled import arrays_of_rows, compiled_step_call
from lstmsim.core.cycles import call_phases, total_cycles
from lstmsim.core.design import Board, Knobs
from lstmsim.core.stepped import step_call
from lstmsim.device import FpgaDevice, device_names, load_device
from lstmsim.kernel_model import calibrated_values, latency_coefficients
from lstmsim.pack import board_of

CASES = 2000
EXACT = 1e-9
CONTENDED = 0.03
BOARDS = [load_device(name) for name in device_names() if isinstance(load_device(name), FpgaDevice)]
COEFFICIENTS = latency_coefficients(calibrated_values(load_calibration("paper-fpga")))._replace(instance_slowdown=0.0)

Case = tuple[tuple[tuple[int, ...], ...], int, Knobs, Board]


def random_layers(draw: random.Random) -> tuple[tuple[int, ...], ...]:
    steps, features, layers = draw.randint(1, 12), draw.randint(1, 80), []
    for _ in range(draw.randint(1, 5)):
        dense, units = draw.random() < 0.25, draw.randint(1, 80)
        passes = 1 if dense else draw.choice((1, 1, 1, 2))
        layers.append((int(dense), steps, features, units, passes))
        features = units * passes
    return tuple(layers)


def random_knobs(draw: random.Random, instances: int, batch: int, beats: tuple[int, ...]) -> Knobs:
    is_float, techniques = draw.random() < 0.3, draw.choice(((0, 1), (0, 1), (1, 1), (0, 4)))
    io_float = is_float or draw.random() < 0.3
    return Knobs(
        parallel_gates=draw.choice((1, 2, 4)), mac_share=draw.choice((1, 2, 8, 33)), engines=draw.randint(1, 5),
        instances=instances, layer_parallel=techniques[0], systolic_steps=techniques[1],
        elementwise_unroll=draw.choice((1, 3, 16)), accumulation=draw.randint(0, 2), is_float=int(is_float),
        weight_bits=32 if is_float else draw.choice((8, 12, 16, 24)), state_bits=16, accumulator_bits=32,
        io_bits=32 if io_float else 16, io_is_float=int(io_float), activation=0, table_entries=1024,
        memory_bits=draw.choice((16, 32, 64, 128, 256, 512, 1024)), memory_ports=1,
        widen_ports=draw.randint(0, 1), burst_beats=draw.choice(beats),
        outstanding_reads=draw.choice((1, 2, 4, 16, 32)), resident_weights=int(draw.random() < 0.2),
        double_buffer=draw.randint(0, 1), staged_weights=draw.randint(0, 1), weight_memory=0,
        clock_hz=draw.choice((100e6, 300e6)), batch=batch, bank_per_column=0,
    )  # fmt: skip


def alone(draw: random.Random) -> Case:
    """Every instance has a memory channel of its own."""
    layers, device = random_layers(draw), draw.choice(BOARDS)
    instances = draw.randint(1, min(4, device.memory_channels))
    knobs = random_knobs(draw, instances, draw.randint(1, 12), (1, 4, 16, 64, 256))
    return layers, layers[-1][1] * layers[-1][3], knobs, board_of(device, 0.0)


def contended(draw: random.Random) -> Case:
    """Instances share channels, all of them busy to the end."""
    layers, device = random_layers(draw), draw.choice([board for board in BOARDS if board.memory_channels <= 4])
    instances = draw.randint(device.memory_channels + 1, 4 * device.memory_channels)
    knobs = random_knobs(draw, instances, instances * draw.choice((1, 2, 3, 12)), (1, 4, 16, 64))
    return layers, layers[-1][1] * layers[-1][3], knobs, board_of(device, 0.0)


def closed_cycles(case: Case) -> float:
    layers, outputs, knobs, board = case
    return total_cycles(call_phases(layers, outputs, knobs, board, COEFFICIENTS))


def stepped_cycles(case: Case, step: Any) -> float:
    layers, outputs, knobs, board = case
    slices, outs = np.zeros((knobs.batch, len(layers), 4)), np.zeros((knobs.batch, 2))
    return float(step(arrays_of_rows(layers), outputs, knobs, board, COEFFICIENTS, slices, outs))


def test_equal_without_contention() -> None:
    draw, step = random.Random(20), compiled_step_call()
    for number in range(CASES // 2):
        case = alone(draw)
        assert stepped_cycles(case, step) == pytest.approx(closed_cycles(case), rel=EXACT), (number, case)


@pytest.mark.parametrize("seed", [21, 31])
def test_near_with_contention(seed: int) -> None:
    draw, step = random.Random(seed), compiled_step_call()
    errors, met = [], 0
    for _ in range(CASES // 2):
        layers, outputs, knobs, board = case = contended(draw)
        stepped = stepped_cycles(case, step)
        errors.append(stepped / closed_cycles(case) - 1)
        more = board.channels * knobs.instances
        free = board._replace(channels=more, bandwidth_bytes_per_s=board.bandwidth_bytes_per_s * knobs.instances)
        met += stepped > stepped_cycles((layers, outputs, knobs, free), step) * (1 + CONTENDED)
    assert max(map(abs, errors)) <= CONTENDED
    assert met > CASES // 20  # instances did meet on their channels


def test_idle_instances_only_speed_up() -> None:
    """In the closed formula all instances take the last round of a batch; where some are idle it is too careful."""
    draw, step = random.Random(22), compiled_step_call()
    for _ in range(200):
        layers, outputs, knobs, board = contended(draw)
        case = (layers, outputs, knobs._replace(batch=max(1, knobs.batch - knobs.instances // 2)), board)
        assert stepped_cycles(case, step) <= closed_cycles(case) * (1 + CONTENDED)


def test_compiled_equals_plain_python() -> None:
    draw, step = random.Random(23), compiled_step_call()
    for make in (alone, contended) * 3:
        case = make(draw)
        small = (tuple((kind, 2, 5, 9, 1) for kind, *_ in case[0]), 4, case[2], case[3])
        assert stepped_cycles(small, step_call) == pytest.approx(stepped_cycles(small, step), rel=1e-14)

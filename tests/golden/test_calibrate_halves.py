"""Half of the paper's rows predict the other half, from physical priors that have seen neither."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the extra fit is not installed")

from lstmsim.calibration import Z90
from lstmsim.device import load_device
from lstmsim.estimate import estimate
from lstmsim.fitting.recalibrate import recalibrate
from lstmsim.importers import load_network
from lstmsim.measurements import package_measurements, read_measurements

HALVES = range(5)


@pytest.mark.slow
def test_one_half_predicts_the_other() -> None:
    rows = [
        replace(row, resources={})  # latency alone: the resources of a design are decided before it runs
        for row in read_measurements(package_measurements() / "paper-fpga.csv")
        if row.latency_s is not None
    ]
    errors, inside = [], []
    for seed in HALVES:
        order = np.random.default_rng(seed).permutation(len(rows)).tolist()
        half = [rows[index] for index in order[: len(rows) // 2]]
        calibration = recalibrate("half", half, None).calibration
        for index in order[len(rows) // 2 :]:
            row = rows[index]
            guess = estimate(
                load_network(row.network),
                load_device(row.device),
                row.config,
                batch=row.batch,
                calibration=calibration,
            )
            assert row.latency_s is not None
            errors.append(abs(guess.latency_s / row.latency_s - 1))
            inside.append(guess.latency_low_s <= row.latency_s <= guess.latency_high_s)
            width = math.log(guess.latency_high_s / guess.latency_low_s) / (2 * Z90)
            assert width < 1.0  # intervals that hold everything would be no answer
    assert np.mean(errors) < 0.15
    assert 0.80 <= np.mean(inside) <= 0.97

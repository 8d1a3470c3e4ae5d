"""The model against the paper's tables: the tolerances that the project promises."""

from __future__ import annotations

import pytest

from lstmsim.calibration import load_calibration
from lstmsim.core.design import LatencyCoefficients
from lstmsim.estimate import FPGA_CALIBRATION, PROCESSOR_CALIBRATION
from lstmsim.validate import ValidationRow, unidentified, validation_rows, validation_summary

ROWS = validation_rows()
SUMMARY = validation_summary(ROWS)


def rows_of(quantity: str, *, table: str | None = None) -> list[ValidationRow]:
    return [row for row in ROWS if row.quantity == quantity and table in (None, row.table)]


def test_every_figure_of_the_tables_is_there() -> None:
    assert SUMMARY["FPGA latency"]["rows"] == 21
    assert SUMMARY["GPU latency"]["rows"] == 42
    assert SUMMARY["CPU latency"]["rows"] == 4
    assert SUMMARY["Table 1"]["rows"] == 14
    assert {row.table for row in ROWS} == {"1", "3", "4", "5", "6", "7", "text"}


def test_fpga_latency() -> None:
    summary = SUMMARY["FPGA latency"]
    assert summary["mean_error"] <= 0.05
    assert summary["off_by_over_12_percent"] <= 2
    assert summary["left_out_mean_error"] <= 0.12


def test_latency_has_at_most_twelve_coefficients() -> None:
    calibration = load_calibration(FPGA_CALIBRATION)
    launches = [name for name in calibration.coefficients if name.startswith("launch_s.")]
    assert len(LatencyCoefficients._fields) + len(launches) <= 12


def test_gpu_latency() -> None:
    assert SUMMARY["GPU latency"]["mean_error"] <= 0.03
    assert SUMMARY["GPU latency"]["left_out_mean_error"] <= 0.05


def test_dsp() -> None:
    for row in rows_of("dsp"):
        assert abs(row.error) <= (0.03 if "FP" in row.row else 0.01), row


@pytest.mark.parametrize(("group", "limit"), [("LUT as memory", 0.06), ("LUT", 0.12), ("FF", 0.12), ("BRAM", 0.15)])
def test_other_resources(group: str, limit: float) -> None:
    assert SUMMARY[group]["mean_error"] <= limit


def test_table_1_to_the_printed_digits() -> None:
    differing = {row.network for row in ROWS if row.table == "1" and row.note == "differs"}
    assert differing <= {"lstm-cell"}


def test_speedups_follow_from_the_same_model() -> None:
    speedups = rows_of("speedup")
    assert len(speedups) == 7
    assert all(abs(row.error) <= 0.1 for row in speedups)


@pytest.mark.parametrize("name", [FPGA_CALIBRATION, PROCESSOR_CALIBRATION])
def test_intervals_hold_the_left_out_rows(name: str) -> None:
    quality = load_calibration(name).quality
    assert 0.80 <= quality["latency_s: leave-one-out rows in the 90 % interval"] <= 0.97


def test_figures_that_nothing_else_identifies_are_listed() -> None:
    alone = unidentified(load_calibration(FPGA_CALIBRATION))
    assert alone["float_sequential_cycles"] == "t4-fp"


def test_each_coefficient_names_its_measurements() -> None:
    for name in (FPGA_CALIBRATION, PROCESSOR_CALIBRATION):
        calibration = load_calibration(name)
        for coefficient in calibration.coefficients.values():
            assert set(coefficient.rows) <= set(calibration.made_from)
            assert coefficient.low <= coefficient.value <= coefficient.high
            assert coefficient.unit
        behind = {row for coefficient in calibration.coefficients.values() for row in coefficient.rows}
        assert behind == set(calibration.made_from)

"""Every kind of report, on hand-written files in the tools' schemas."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("defusedxml", reason="the extra reports is not installed")

from lstmsim.errors import ReportError
from lstmsim.reports.cells import number, seconds, span
from lstmsim.reports.read import REPORT_LIMIT_BYTES, parse_report, read_report, read_reports
from lstmsim.reports.types import Span

FIXTURES = Path(__file__).parents[1] / "fixtures" / "reports"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234", 1234.0),
        ("~0", 0.0),
        ("207 (31%)", 207.0),
        ("5.381e+05", 538100.0),
        ("-", None),
        ("undef", None),
        ("?", None),
        ("N/A", None),
        ("", None),
        ("-5", None),
        ("1e999", None),
        ("12 apples", None),
        (None, None),
    ],
)
def test_numbers(text: str | None, value: float | None) -> None:
    assert number(text) == value


def test_spans_and_times() -> None:
    assert span("40 ~ 41") == Span(40.0, 41.0)
    assert span("41 ~ 40") == Span()
    assert span("7") == Span(7.0, 7.0)
    assert span("undef") == Span()
    assert seconds("10.00 ns") == pytest.approx(1e-8)
    assert seconds("4.137 ms") == pytest.approx(4.137e-3)
    assert seconds("9.571") == pytest.approx(9.571e-9)
    assert seconds("3 parsecs") is None


def test_csynth_xml_of_vitis() -> None:
    report = read_report(FIXTURES / "vitis" / "csynth.xml")
    assert (report.kind, report.tool, report.version, report.top) == ("csynth", "Vitis HLS", "2023.1", "toy_lstm")
    assert report.clock_target_s == pytest.approx(5e-9)
    assert report.clock_estimate_s == pytest.approx(3.65e-9)
    assert report.latency == Span(2755.0, 2755.0)
    assert report.resources == {"bram18": 12, "dsp": 71, "ff": 9042, "lut": 11873, "uram": 0}
    assert report.available["uram"] == 96
    rows = report.modules["toy_lstm_Pipeline_rows"].loops[0]
    assert (rows.trips.high, rows.ii.high, rows.depth.high, rows.latency.high) == (60, 4, 27, 262)
    assert rows.pipelined
    assert [(op.kind, op.count) for op in report.operators] == [("add", 1), ("fmul", 2)]


def test_summary_places_calls_inside_loops() -> None:
    report = read_report(FIXTURES / "vitis" / "csynth.rpt")
    top = report.modules["toy_lstm"]
    assert top.calls == ("toy_lstm_Pipeline_load",)
    assert top.loops[0].calls == ("toy_lstm_Pipeline_rows",)
    assert report.resources["dsp"] == 71
    assert {op.kind: op.resources["dsp"] for op in report.operators} == {"fmul": 3, "add": 0}


def test_folder_joins_what_each_file_knows() -> None:
    found = read_reports(FIXTURES / "vitis")
    assert found.synthesis is not None
    assert found.synthesis.modules["toy_lstm"].loops[0].calls == ("toy_lstm_Pipeline_rows",)
    assert found.synthesis.modules["toy_lstm"].latency.low == 2755  # from the XML: the summary has no minimum
    assert found.synthesis.clock_target_s == pytest.approx(5e-9)


def test_vivado_module_report() -> None:
    report = read_report(FIXTURES / "vivado" / "toy_top_csynth.rpt")
    top = report.modules["toy_top"]
    assert (report.tool, report.version, report.part) == ("Vivado HLS", "2019.2", "xc7z020-clg400-1")
    assert top.calls == ("toy_row",)
    assert not top.calls_placed
    assert [loop.name for loop in top.loops] == ["memset_h", "Loop 2", "Loop 3"]
    assert top.loops[1].loops[0].name == "Loop 2.1"
    assert report.resources["lut"] == 3345
    assert report.available["dsp"] == 220
    assert {op.kind: op.count for op in report.operators} == {"fadd": 1, "fmul": 1}


def test_ranges_of_a_2017_report() -> None:
    report = read_report(FIXTURES / "vivado" / "toy_mode_csynth.rpt")
    loop = report.modules["toy_mode"].loops[0]
    assert report.latency == Span(57, 421)
    assert (loop.trips, loop.iteration) == (Span(4, 10), Span(14, 42))
    assert loop.loops[0].ii == Span(4, 4)
    assert "uram" not in report.resources


def test_vivado_counts_tiles_as_two_bram18() -> None:
    report = read_report(FIXTURES / "utilization_placed.rpt")
    assert report.resources == {"lut": 10240, "lutram": 1240, "ff": 11999, "bram18": 83, "uram": 3, "dsp": 483}
    assert report.available["bram18"] == 624
    linked = read_report(FIXTURES / "kernel_util_routed.rpt")
    assert linked.resources["bram18"] == 40
    assert linked.available["dsp"] == 9020


def test_utilization_by_hierarchy() -> None:
    text = """
| Tool Version : Vivado v.2021.2 (lin64) Build 1
| Design       : toy
| Device       : xczu7ev-ffvc1156-2-e
Utilization Design Information

1. Utilization by Hierarchy
+----------+--------+------------+------------+---------+------+------+--------+--------+------+------------+
| Instance | Module | Total LUTs | Logic LUTs | LUTRAMs | SRLs |  FFs | RAMB36 | RAMB18 | URAM | DSP Blocks |
+----------+--------+------------+------------+---------+------+------+--------+--------+------+------------+
| toy      |  (top) |       5000 |       4200 |     500 |  300 | 6000 |     10 |      3 |    1 |         71 |
|   core_U |   core |       4000 |       3600 |     400 |    0 | 5000 |     10 |      3 |    1 |         71 |
+----------+--------+------------+------------+---------+------+------+--------+--------+------+------------+
"""
    report = parse_report(text.encode(), "x")
    assert report.resources == {"lut": 5000, "lutram": 800, "ff": 6000, "bram18": 23, "uram": 1, "dsp": 71}
    assert report.version == "2021.2"


def test_timing_takes_the_worst_clock() -> None:
    report = read_report(FIXTURES / "timing_summary.rpt")
    assert report.status == "not met"
    assert report.clock_target_s == pytest.approx(3.333e-9)
    assert report.clock_estimate_s == pytest.approx(3.458e-9)


def test_place_and_route_old_and_new() -> None:
    new, old = read_report(FIXTURES / "impl_pnr.rpt"), read_report(FIXTURES / "export_impl.rpt")
    assert (new.resources["bram18"], new.clock_estimate_s) == (14, pytest.approx(4.868e-9))
    assert (old.resources["dsp"], old.clock_estimate_s) == (44, pytest.approx(2.105e-9))
    assert (old.version, old.part) == ("2019.1", "xczu3eg-sbva484-1-e")


def test_cosim_system_estimate_xclbin_and_runs() -> None:
    cosim = read_report(FIXTURES / "cosim.rpt")
    assert (cosim.status, cosim.latency, cosim.interval) == ("Pass", Span(2759, 2770), Span(2760, 2771))
    estimate = read_report(FIXTURES / "system_estimate.xtxt")
    assert estimate.latency == Span(2755, 2789)
    assert estimate.interval == Span(2756, 2790)
    assert estimate.resources["lut"] == 11873
    assert estimate.clock_estimate_s == pytest.approx(1e-6 / 403.2258)
    xclbin = read_report(FIXTURES / "toy.xclbin.info")
    assert (xclbin.top, xclbin.part) == ("toy_lstm", "xcu280")
    assert xclbin.clock_estimate_s == pytest.approx(1e-6 / 271.4)
    runs = read_report(FIXTURES / "profile_summary.csv")
    assert [(run.kernel, run.count, run.mean_s) for run in runs.runs] == [("toy_lstm_1", 4, pytest.approx(5e-4))]


def test_refusals_name_the_reason() -> None:
    with pytest.raises(ReportError, match="clock utilization"):
        read_report(FIXTURES / "clock_utilization.rpt")
    with pytest.raises(ReportError, match="not a report that is read here"):
        parse_report(b"hello", "x")
    with pytest.raises(ReportError, match="empty"):
        parse_report(b"\n", "x")
    with pytest.raises(ReportError, match="entities"):
        parse_report(b'<!DOCTYPE p [<!ENTITY a "b">]><profile>&a;</profile>', "x")
    with pytest.raises(ReportError, match="not a synthesis report"):
        parse_report(b"<other/>", "x")
    with pytest.raises(ReportError, match="binary"):
        parse_report(b"\x7fELF\0\0\0", "x")
    with pytest.raises(ReportError, match="nested deeper"):
        parse_report(b"<a>" * 100 + b"</a>" * 100, "x")


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    huge = tmp_path / "csynth.xml"
    with huge.open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)
    with pytest.raises(ReportError, match="larger than"):
        read_report(huge)
    with pytest.raises(ReportError, match="larger than"):
        parse_report(b" " * (REPORT_LIMIT_BYTES + 1), "x")


def test_several_syntheses_are_not_mixed(tmp_path: Path) -> None:
    for folder in ("syn", "copy"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "csynth.xml").write_bytes((FIXTURES / "vitis" / "csynth.xml").read_bytes())
    assert read_reports(tmp_path).synthesis is not None  # the same run twice
    other = (FIXTURES / "vitis" / "csynth.xml").read_bytes().replace(b"2755", b"2799")
    (tmp_path / "copy" / "csynth.xml").write_bytes(other)
    several = read_reports(tmp_path)
    assert len(several.syntheses) == 2
    with pytest.raises(ReportError, match="2 syntheses"):
        _ = several.synthesis
    (tmp_path / "three").mkdir()
    with pytest.raises(ReportError, match="no report"):
        read_reports(tmp_path / "three")

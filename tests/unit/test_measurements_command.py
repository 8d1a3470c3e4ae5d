"""`lstmsim measurements`: rows from reports and board runs, appended whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("defusedxml", reason="the extra reports is not installed")

from click.testing import CliRunner

from lstmsim.cli.measurements import command
from lstmsim.errors import CalibrationError, LstmsimError
from lstmsim.measurements import read_measurements
from lstmsim.reports.read import ReportSet, read_report, read_reports
from lstmsim.reports.rows import rows_from_reports

FIXTURES = Path(__file__).parents[1] / "fixtures" / "reports"
NETWORK = "lstm:units=60,layers=1,timesteps=10,features=4"


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_csynth_report_becomes_a_row(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    _run("add", "--from-report", str(FIXTURES / "vitis"), "--network", NETWORK, "--set", "engines=2", "-o", str(target))
    (row,) = read_measurements(target)
    assert (row.device, row.stage, row.network) == ("zcu104", "csynth", NETWORK)
    assert row.latency_s == pytest.approx(2755 * 5e-9)
    assert row.resources == {"bram18": 12, "dsp": 71, "ff": 9042, "lut": 11873, "uram": 0}
    assert row.config.engines == 2
    assert row.config.clock_hz == pytest.approx(200e6)
    assert row.extra["tool"] == "Vitis HLS 2023.1"


def test_each_stage_has_its_own_row() -> None:
    others = ("utilization_placed.rpt", "timing_summary.rpt", "cosim.rpt")
    found = ReportSet(
        path="",
        syntheses=read_reports(FIXTURES / "vitis").syntheses,
        others=tuple(read_report(FIXTURES / name) for name in others),
    )
    rows = {row.stage: row for row in rows_from_reports(found, network=NETWORK)}
    assert set(rows) == {"csynth", "route"}
    assert rows["route"].resources["dsp"] == 483
    assert rows["route"].latency_s is None
    assert float(rows["route"].extra["clock_seen_hz"]) == pytest.approx(1 / 3.458e-9, rel=1e-4)
    with pytest.raises(CalibrationError, match="stage board"):
        rows_from_reports(found, network=NETWORK, stage="board")


def test_board_runs_and_appending(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    summary = str(FIXTURES / "profile_summary.csv")
    _run("add", "--from-report", summary, "--network", NETWORK, "-o", str(target))
    _run("add", "--latency", "0.72ms", "--network", "autoenc-5", "-d", "u280", "--source", "bench", "-o", str(target))
    rows = read_measurements(target)
    assert [(row.device, row.stage, row.latency_s) for row in rows] == [
        ("u280", "board", pytest.approx(5e-4)),
        ("u280", "board", pytest.approx(7.2e-4)),
    ]
    assert rows[1].source == "bench"
    before = target.read_bytes()
    with pytest.raises(CalibrationError, match="stands twice"):
        _run("add", "--latency", "1ms", "--network", "autoenc-5", "-d", "u280", "-o", str(target))
    assert target.read_bytes() == before
    assert "board" in _run("check", str(target))
    assert json.loads(_run("check", str(target), "--json")) == [{"stage": "board", "device": "u280", "rows": 2}]


def test_without_a_file_the_rows_are_printed() -> None:
    shown = _run("add", "--latency", "720us", "--network", "autoenc-5", "-d", "u280", "--batch", "4")
    assert shown.splitlines()[0].startswith("id,device,network,stage,batch")
    assert "0.00072" in shown


def test_errors_name_the_line(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("id,device,network,stage,latency_s\na,u280,autoenc-1,board,0.001\nb,u280,autoenc-1,board,-3\n")
    with pytest.raises(CalibrationError, match="line 3"):
        _run("check", str(target))
    target.write_text("id,device,network,stage\na,u280,autoenc-1,boards\n")
    with pytest.raises(CalibrationError, match="line 2: stage 'boards'"):
        _run("check", str(target))


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "--network", NETWORK),
        ("add", "--network", NETWORK, "--latency", "1ms", "--from-report", "x"),
        ("add", "--network", NETWORK, "--latency", "1ms"),
        ("add", "--network", NETWORK, "--latency", "soon", "-d", "u280"),
        ("add", "--network", "nothing", "--latency", "1ms", "-d", "u280"),
        ("add", "--network", NETWORK, "--latency", "1ms", "-d", "nothing"),
        ("add", "--network", NETWORK, "--latency", "1ms", "-d", "u280", "--set", "engins=2"),
        ("add", "--network", NETWORK, "--from-report", str(FIXTURES / "cosim.rpt"), "-d", "u280"),
        ("add", "--network", NETWORK, "--from-report", str(FIXTURES / "impl_pnr.rpt") + ".missing"),
        ("add", "--network", NETWORK, "--from-report", str(FIXTURES / "export_impl.rpt")),  # xczu3eg: not known
        ("check", "missing.csv"),
    ],
)
def test_refusals(arguments: tuple[str, ...]) -> None:
    with pytest.raises(LstmsimError):
        CliRunner().invoke(command, list(arguments), catch_exceptions=False)

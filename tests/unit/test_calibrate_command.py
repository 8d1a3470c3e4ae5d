"""`lstmsim calibrate`: what a user sees, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="the extra fit is not installed")

from click.testing import CliRunner

from lstmsim.calibration import load_calibration
from lstmsim.cli.calibrate import command
from lstmsim.errors import CalibrationError, LstmsimError
from lstmsim.estimate import estimate
from lstmsim.fitting.recalibrate import recalibrate
from lstmsim.fitting.studies import row_model
from lstmsim.measurements import Measurement, package_measurements, read_measurements, write_measurements

SLOWER = 1.4


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def three_rows(tmp_path: Path) -> Path:
    """Three of the paper's kernels as a slower board would run them."""
    rows = [
        replace(row, latency_s=(row.latency_s or 0.0) * SLOWER, stage="board", resources={})
        for row in read_measurements(package_measurements() / "paper-fpga.csv")
        if row.id in ("t5-fixed-1", "t5-fixed-3", "t5-fixed-4")
    ]
    target = tmp_path / "rows.csv"
    write_measurements(target, rows)
    return target


def test_three_rows_already_help(three_rows: Path, tmp_path: Path) -> None:
    target = tmp_path / "my.toml"
    answer = json.loads(_run(str(three_rows), "-o", str(target), "--json"))
    calibration = load_calibration(str(target))
    assert (calibration.name, calibration.stage, calibration.devices) == ("my", "board", ("u280",))
    assert calibration.made_from == ("t5-fixed-1", "t5-fixed-3", "t5-fixed-4")
    assert "prior paper-fpga" in calibration.made_with
    held_out = next(
        row for row in read_measurements(package_measurements() / "paper-fpga.csv") if row.id == "t5-fixed-2"
    )
    truth = (held_out.latency_s or 0.0) * SLOWER
    before = estimate("autoenc-2", "u280", held_out.config)
    after = estimate("autoenc-2", "u280", held_out.config, calibration=calibration)
    assert abs(after.latency_s / truth - 1) < abs(before.latency_s / truth - 1) / 2
    assert after.latency_low_s <= truth <= after.latency_high_s
    assert "instance_slowdown" in answer["unidentified"]
    assert answer["coefficients"]["instance_slowdown"]["value"] == pytest.approx(
        load_calibration("paper-fpga").value("instance_slowdown"), rel=0.05
    )
    assert any("3 rows" in note for note in answer["notes"])


def test_another_device_is_extrapolated(three_rows: Path, tmp_path: Path) -> None:
    target = tmp_path / "my.toml"
    _run(str(three_rows), "-o", str(target), "-q")
    elsewhere = estimate("autoenc-1", "zcu104", calibration=load_calibration(str(target)))
    assert elsewhere.extrapolated
    assert any("zcu104" in reason for reason in elsewhere.reasons)
    with pytest.raises(CalibrationError, match="not for processor"):
        estimate("autoenc-1", "a30", calibration=load_calibration(str(target)))


def test_figure_and_text(three_rows: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    figure = tmp_path / "fit.svg"
    shown = _run(str(three_rows), "-o", str(tmp_path / "a.toml"), "--plot", str(figure), "--prior", "wide")
    assert "left out" in shown
    assert figure.read_bytes().startswith(b"<?xml")
    with pytest.raises(LstmsimError, match="exists"):
        _run(str(three_rows), "-o", str(tmp_path / "a.toml"))


def test_stages_and_kinds_are_not_mixed(three_rows: Path, tmp_path: Path) -> None:
    rows = read_measurements(three_rows)
    csynth = replace(rows[0], id="s", stage="csynth", knobs={**rows[0].knobs})
    mixed = tmp_path / "mixed.csv"
    write_measurements(mixed, [*rows, csynth])
    target = tmp_path / "x.toml"
    with pytest.raises(CalibrationError, match="never mixed"):
        _run(str(mixed), "-o", str(target))
    assert not target.exists()
    _run(str(mixed), "-o", str(target), "--stage", "board", "-q")
    gpu = Measurement(id="g", device="a30", network="autoenc-1", stage="board", latency_s=3e-4)
    with pytest.raises(CalibrationError, match="FPGAs and of processors"):
        recalibrate("x", [*rows, gpu], None)
    with pytest.raises(CalibrationError, match="processor devices"):
        recalibrate("x", rows, load_calibration("paper-processors"))


def test_csynth_rows_do_not_touch_the_launch() -> None:
    prior = load_calibration("paper-fpga")
    row = Measurement(id="s", device="u280", network="autoenc-5", stage="csynth")
    values = {name: entry.value for name, entry in prior.coefficients.items()} | {"launch_s.u280": 1e-12}
    kernel_alone = row_model(row).latency_s(values)
    result = recalibrate("s", [replace(row, latency_s=kernel_alone)], prior)
    assert result.calibration.value("launch_s.u280") == pytest.approx(prior.value("launch_s.u280"), rel=1e-6)
    assert result.rows[0].before == pytest.approx(kernel_alone)
    assert any("stage 'paper'" in note for note in result.notes)


def test_processor_rows() -> None:
    rows = [
        Measurement(id=f"g{index}", device="A30", network=network, stage="board", latency_s=seconds)
        for index, (network, seconds) in enumerate({"autoenc-1": 4e-4, "autoenc-5": 2e-3, "lstm-dense": 1.2e-3}.items())
    ]
    result = recalibrate("gpu", rows, load_calibration("paper-processors"))
    guess = estimate("lstm-cell", "a30", calibration=result.calibration)
    assert guess.latency_s == pytest.approx(2e-3, rel=0.2)


def test_an_outlier_is_named() -> None:
    rows = [
        replace(row, resources={})
        for row in read_measurements(package_measurements() / "paper-fpga.csv")
        if row.id.startswith("t5-fixed") or row.id in ("t3-512", "t3-512-x2")
    ]
    wild = [replace(row, latency_s=(row.latency_s or 0.0) * (5 if row.id == "t5-fixed-3" else 1)) for row in rows]
    assert [row.id for row in recalibrate("o", wild, load_calibration("paper-fpga")).outliers] == ["t5-fixed-3"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-o", "my.txt"),
        ("-o", "my.toml", "--plot", "figure.doc"),
        ("-o", "my.toml", "--prior", "mine"),
        ("-o", "my.toml", "--stage", "route"),
        ("-o", "my.toml", "-d", "zcu104"),
        ("-o", "my.toml", "-d", "nothing"),
    ],
)
def test_refusals(
    three_rows: Path, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LstmsimError):
        CliRunner().invoke(command, [str(three_rows), *arguments], catch_exceptions=False)
    assert not Path("my.toml").exists()


def test_equal_ids_in_two_files(three_rows: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_bytes(three_rows.read_bytes())
    with pytest.raises(CalibrationError, match="stands in"):
        _run(str(three_rows), str(copy), "-o", str(tmp_path / "x.toml"))

"""`lstmsim measurements`: rows that calibrations are made from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import config_options, output_options, print_json
from lstmsim.errors import CalibrationError, ConfigError

if TYPE_CHECKING:
    from lstmsim.measurements import Measurement

_TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


@click.group("measurements")
def command() -> None:
    """Collect and check the measurements that `lstmsim calibrate` reads."""


@command.command("add")
@click.option("--from-report", "reports", type=click.Path(), metavar="PATH", help="Report file, folder or project.")
@click.option("--latency", metavar="0.72ms", help="Measured time of one call, where there is no report of it.")
@click.option(
    "--network", required=True, metavar="NETWORK", help="Network of the kernel: a name, file or lstm:... word."
)
@click.option("--device", "-d", metavar="DEVICE", help="Device; by default the one whose part the reports name.")
@click.option("--stage", type=click.Choice(["csynth", "route", "board", "paper"]), help="Take this stage only.")
@click.option("--batch", default=1, show_default=True, help="Inputs of one call.")
@click.option("--id", "name", metavar="ID", help="Name of the row; by default made of stage, kernel and device.")
@click.option("--source", metavar="TEXT", help="Where the figures come from.")
@click.option("--output", "-o", "output", type=click.Path(), metavar="rows.csv", help="Append to this file.")
@config_options
@output_options
def add(
    *,
    reports: str | None,
    latency: str | None,
    network: str,
    device: str | None,
    stage: str | None,
    batch: int,
    name: str | None,
    source: str | None,
    output: str | None,
    config_file: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Add rows to a file of measurements, all of them or none.

    A report gives one row for each stage that it covers: csynth, route, board. The kernel's knobs are in no report:
    name those that differ from the defaults with --set or --config. Without -o the rows are printed.
    """
    from lstmsim.importers import load_network
    from lstmsim.measurements import measurements_csv

    if (reports is None) == (latency is None):
        raise ConfigError("give either --from-report PATH or --latency TIME")
    load_network(network)
    knobs = _knobs(config_file, assignments)
    if reports is not None:
        rows = _from_reports(reports, network, device, stage, batch, name, knobs)
    else:
        rows = [_from_latency(latency or "", network, device, stage, batch, name, knobs)]
    rows = [_checked(_with_source(row, source)) for row in rows]
    if output is not None:
        _append(Path(output), rows)
    if as_json:
        print_json([_as_dict(row) for row in rows])
    elif output is None:
        click.echo(measurements_csv(rows), nl=False)
    elif not quiet:
        for row in rows:
            click.echo(f"{output}: {row.id} ({row.stage}, {row.device}, {_figures(row)})")


@command.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@output_options
def check(*, files: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Check files of measurements row by row; a wrong value is named with its line."""
    rows = read_all(files)
    from lstmsim.cli.common import print_json as output_json

    counted = Counter((row.stage, row.device) for row in rows)
    if as_json:
        output_json([{"stage": stage, "device": device, "rows": rows} for (stage, device), rows in counted.items()])
        return
    if quiet:
        click.echo(len(rows))
        return
    for (stage, device), number in sorted(counted.items()):
        click.echo(f"{stage:8} {device:16} {number} rows")


def read_all(files: tuple[str, ...]) -> list[Measurement]:
    """Return the rows of all files; networks and devices must exist.

    Raises:
        CalibrationError: as `read_measurements`, an id that stands in two files, an unknown network or device.
    """
    from lstmsim.measurements import read_measurements

    rows: list[Measurement] = []
    seen: dict[str, str] = {}
    for file in files:
        for row in read_measurements(file):
            if row.id in seen:
                raise CalibrationError(f"the id {row.id!r} stands in {seen[row.id]!r} and in {file!r}: rename one")
            seen[row.id] = file
            rows.append(_checked(row))
    return rows


def _checked(row: Measurement) -> Measurement:
    from lstmsim.device import load_device
    from lstmsim.errors import LstmsimError
    from lstmsim.importers import load_network

    try:
        load_device(row.device)
        load_network(row.network)
        _ = row.config
    except LstmsimError as problem:
        raise CalibrationError(f"measurement {row.id!r}: {problem}") from None
    return row


def _knobs(config_file: str | None, assignments: tuple[str, ...]) -> dict[str, str]:
    """Return the knobs that differ from the defaults, as text."""
    from lstmsim.config import KernelConfig, config_from_toml, parse_assignments, replace_knobs

    base = config_from_toml(config_file) if config_file else KernelConfig()
    chosen = replace_knobs(base, parse_assignments(assignments), "--set").to_dict()
    defaults = KernelConfig().to_dict()
    return {knob: _knob_text(value) for knob, value in chosen.items() if value != defaults[knob]}


def _knob_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from_reports(
    path: str,
    network: str,
    device: str | None,
    stage: str | None,
    batch: int,
    name: str | None,
    knobs: dict[str, str],
) -> list[Measurement]:
    from lstmsim.reports.read import read_reports
    from lstmsim.reports.rows import rows_from_reports

    return rows_from_reports(
        read_reports(path), network=network, device=device, knobs=knobs, batch=batch, name=name, stage=stage
    )


def _from_latency(
    text: str,
    network: str,
    device: str | None,
    stage: str | None,
    batch: int,
    name: str | None,
    knobs: dict[str, str],
) -> Measurement:
    from lstmsim.measurements import Measurement

    if device is None:
        raise ConfigError("--latency needs --device, the device that was measured")
    return Measurement(
        id=name or f"{stage or 'board'}-{network}-{device}",
        device=device,
        network=network,
        stage=stage or "board",
        batch=batch,
        knobs=knobs,
        latency_s=_seconds(text),
    )


def _seconds(text: str) -> float:
    compact = text.strip().lower()
    unit = next((unit for unit in ("ms", "us", "s") if compact.endswith(unit)), None)
    try:
        value = float(compact.removesuffix(unit or "")) * _TIMES[unit or "s"]
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise ConfigError(f"--latency {text!r} is not a time such as 0.72ms")
    return value


def _with_source(row: Measurement, source: str | None) -> Measurement:
    from dataclasses import replace

    return replace(row, extra={**row.extra, "source": source}) if source else row


def _append(path: Path, rows: list[Measurement]) -> None:
    """Write the file with the new rows added, atomically: an interrupted run leaves the old file whole."""
    from lstmsim.measurements import read_measurements, write_measurements

    known = read_measurements(path) if path.exists() else []
    write_measurements(path, [*known, *rows], force=True)


def _figures(row: Measurement) -> str:
    parts = [f"{row.latency_s * 1e3:.4g} ms"] if row.latency_s is not None else []
    parts += [f"{value:,.0f} {name}" for name, value in row.resources.items()]
    return ", ".join(parts)


def _as_dict(row: Measurement) -> dict[str, Any]:
    return {
        "id": row.id,
        "device": row.device,
        "network": row.network,
        "stage": row.stage,
        "batch": row.batch,
        "knobs": row.knobs,
        "latency_s": row.latency_s,
        "resources": row.resources,
        **row.extra,
    }

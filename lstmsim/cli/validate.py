"""`lstmsim validate`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import output_options, print_json

if TYPE_CHECKING:
    from lstmsim.validate import ValidationRow

TABLES = ("1", "3", "4", "5", "6", "7", "text")


@click.command("validate")
@click.option("--table", "table", type=click.Choice(TABLES), help="One table of the paper only.")
@output_options
def command(*, table: str | None, as_json: bool, quiet: bool) -> None:
    """Compare every figure of the paper's tables with the model's prediction."""
    from lstmsim.calibration import load_calibration
    from lstmsim.estimate import FPGA_CALIBRATION
    from lstmsim.validate import unidentified, validation_rows, validation_summary

    rows = [row for row in validation_rows() if table in (None, row.table)]
    summary = validation_summary(rows)
    calibration = load_calibration(FPGA_CALIBRATION)
    alone = unidentified(calibration)
    if as_json:
        summary_json: dict[str, Any] = {**summary, "calibration": calibration.quality, "one_row_alone": alone}
        print_json({"rows": [asdict(row) for row in rows], "summary": summary_json})
        return
    from rich.console import Console

    console = Console()
    if not quiet:
        console.print(_row_table(rows))
    console.print(_summary_table({name: entry for name, entry in summary.items() if entry["rows"]}))
    if alone and not quiet:
        listed = ", ".join(f"{name} ({row})" for name, row in alone.items())
        console.print(f"Decided by one row alone, so a fit without it falls back on its prior: {listed}.")


def _row_table(rows: list[ValidationRow]) -> Any:
    from rich.table import Table

    table = Table(header_style="dim", box=None, padding=(0, 1))
    for heading in ("table", "row", "device", "quantity", "paper", "model", "error", "left out"):
        table.add_column(heading, justify="left" if heading in ("table", "row", "device", "quantity") else "right")
    for row in rows:
        far = abs(row.error) > 0.12 or row.note == "differs"
        table.add_row(
            row.table,
            row.row,
            row.device or row.network,
            row.quantity,
            _value(row.quantity, row.measured),
            _value(row.quantity, row.predicted),
            f"[red]{row.error:+.1%}[/red]" if far else f"{row.error:+.1%}",
            "" if row.left_out_error is None else f"{row.left_out_error:+.1%}",
        )
    return table


def _summary_table(summary: dict[str, dict[str, float]]) -> Any:
    from rich.table import Table

    table = Table(title="mean |error|", header_style="dim")
    for heading in ("group", "figures", "in sample", "largest", "over 12 %", "left out", "largest left out"):
        table.add_column(heading, justify="left" if heading == "group" else "right")
    for name, entry in summary.items():
        left_out = "left_out_mean_error" in entry
        table.add_row(
            name,
            f"{entry['rows']:.0f}",
            f"{entry['mean_error']:.1%}",
            f"{entry['largest_error']:.1%}",
            f"{entry['off_by_over_12_percent']:.0f}",
            f"{entry['left_out_mean_error']:.1%}" if left_out else "-",
            f"{entry['left_out_largest_error']:.1%}" if left_out else "-",
        )
    return table


def _value(quantity: str, value: float) -> str:
    from lstmsim.render.units import time_text

    if quantity == "latency_s":
        return time_text(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

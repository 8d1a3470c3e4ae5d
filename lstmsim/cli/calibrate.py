"""`lstmsim calibrate`: coefficients from a user's own measurements."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import force_option, output_options, print_json
from lstmsim.errors import CalibrationError, ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lstmsim.calibration import Calibration
    from lstmsim.fitting.recalibrate import Recalibration
    from lstmsim.measurements import Measurement

_ROWS_SHOWN = 60
PLOT_SUFFIXES = (".png", ".svg", ".pdf")


@click.command("calibrate")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="MEASUREMENTS...")
@click.option(
    "--output", "-o", "output", required=True, type=click.Path(), metavar="my.toml", help="Calibration to write."
)
@click.option("--name", help="Name of the calibration; by default that of the file.")
@click.option("--stage", type=click.Choice(["csynth", "route", "board", "paper"]), help="Use the rows of this stage.")
@click.option("--device", "-d", "devices", multiple=True, help="Use the rows of this device; may be repeated.")
@click.option(
    "--prior",
    default="paper",
    show_default=True,
    metavar="paper|wide|FILE.toml",
    help="What is known before: the package's calibration, physical ranges only, or an earlier calibration.",
)
@click.option(
    "--plot", type=click.Path(), metavar="FIGURE.png", help="Draw predicted against measured (.png .svg .pdf)."
)
@force_option
@output_options
def command(
    *,
    files: tuple[str, ...],
    output: str,
    name: str | None,
    stage: str | None,
    devices: tuple[str, ...],
    prior: str,
    plot: str | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit the model to your own measurements, starting from what is known; three rows already help.

    Stages (csynth, route, board, paper) are never mixed. Use the result with `lstmsim estimate --calibration my.toml`.
    """
    from pathlib import Path

    from lstmsim.cli.measurements import read_all
    from lstmsim.files import refuse_existing

    if not output.endswith(".toml"):
        raise ConfigError(f"-o {output!r} does not end in .toml")
    if plot is not None and not plot.lower().endswith(PLOT_SUFFIXES):
        raise ConfigError(f"--plot {plot!r} does not end in one of {', '.join(PLOT_SUFFIXES)}")
    for target in filter(None, (output, plot)):
        refuse_existing(Path(target), force=force)
    rows = _chosen(read_all(files), stage, devices)
    known = _prior(prior, rows)
    result = _fitted(name or Path(output).stem, rows, known, silent=quiet or as_json)
    if plot is not None:
        from lstmsim.files import write_bytes
        from lstmsim.render.calibration_plot import calibration_figure

        write_bytes(plot, calibration_figure(result, plot.rpartition(".")[2].lower()), force=force)
    result.calibration.save(output, force=force)
    if as_json:
        print_json(_as_dict(result, output))
        return
    from rich.console import Console

    _print(Console(), result, output, quiet=quiet)


def _chosen(rows: list[Measurement], stage: str | None, devices: tuple[str, ...]) -> list[Measurement]:
    from lstmsim.device import load_device

    wanted = {load_device(device).name for device in devices}
    chosen = [
        row
        for row in rows
        if (stage is None or row.stage == stage) and (not wanted or load_device(row.device).name in wanted)
    ]
    if not chosen:
        stages = ", ".join(sorted({row.stage for row in rows})) or "none"
        raise CalibrationError(f"no row is left: the files hold {len(rows)} rows of the stages {stages}")
    return chosen


def _prior(text: str, rows: list[Measurement]) -> Calibration | None:
    from lstmsim.calibration import load_calibration
    from lstmsim.device import FpgaDevice, load_device
    from lstmsim.estimate import FPGA_CALIBRATION, PROCESSOR_CALIBRATION

    if text == "wide":
        return None
    if text == "paper":
        fpga = isinstance(load_device(rows[0].device), FpgaDevice)
        return load_calibration(FPGA_CALIBRATION if fpga else PROCESSOR_CALIBRATION)
    if not text.endswith(".toml"):
        raise ConfigError(f"--prior {text!r} is not paper, wide or a .toml file")
    return load_calibration(text)


def _fitted(name: str, rows: list[Measurement], known: Calibration | None, *, silent: bool) -> Recalibration:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from lstmsim.fitting.recalibrate import recalibrate

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=silent) as progress:
        task = progress.add_task("calibrating", total=None)
        return recalibrate(name, rows, known, progress=lambda step: progress.update(task, description=step))


def _print(console: Console, result: Recalibration, output: str, *, quiet: bool) -> None:
    from rich.table import Table

    calibration = result.calibration
    if not quiet:
        moved = Table(title="Coefficients that the rows moved", title_justify="left")
        for heading in ("coefficient", "before", "now", "± (relative)", "unit", "rows"):
            moved.add_column(heading, justify="left" if heading in ("coefficient", "unit") else "right")
        for name, entry in calibration.coefficients.items():
            if name not in result.unidentified:
                cells = (f"{entry.prior:.4g}", f"{entry.value:.4g}", f"{100 * entry.log_stderr:.1f} %", entry.unit)
                moved.add_row(name, *cells, str(len(entry.rows)))
        console.print(moved)
        table = Table(title="Predicted against measured: error before, now, and without the row", title_justify="left")
        for heading in ("row", "quantity", "measured", "before", "now", "left out", ""):
            table.add_column(heading, justify="left" if heading in ("row", "quantity") else "right")
        for row in result.rows[:_ROWS_SHOWN]:
            shares = (f"{100 * (value / row.measured - 1):+.1f} %" for value in (row.before, row.fitted, row.left_out))
            table.add_row(row.id, row.quantity, f"{row.measured:.4g}", *shares, "outlier" if row.outlier else "")
        console.print(table)
    console.print(_quality_table(calibration))
    if not quiet:
        if result.unidentified:
            console.print(f"Not decided by these rows (as before): {', '.join(result.unidentified)}", style="dim")
        for note in result.notes:
            console.print(f"Note: {note}", style="yellow", markup=False)
        console.print(f"Prior: {result.prior}. Written to {output}", markup=False)


def _quality_table(calibration: Calibration) -> Table:
    from rich.table import Table

    table = Table(title="How well the model follows the rows", title_justify="left")
    for heading in (
        "quantity",
        "rows",
        "mean error",
        "left out, mean",
        "left out, median",
        "in 90 % interval",
        "spread",
    ):
        table.add_column(heading, justify="left" if heading == "quantity" else "right")
    keys = (
        "mean in-sample error",
        "mean leave-one-out error",
        "median leave-one-out error",
        "leave-one-out rows in the 90 % interval",
    )
    for quantity in dict.fromkeys(key.partition(":")[0] for key in calibration.quality):
        values = [calibration.quality.get(f"{quantity}: {key}") for key in keys]
        shown = ["" if value is None else f"{100 * value:.1f} %" for value in values]
        spread = f"{100 * calibration.log_sigma[quantity]:.1f} %"
        table.add_row(quantity, f"{calibration.quality[f'{quantity}: rows']:.0f}", *shown, spread)
    return table


def _as_dict(result: Recalibration, output: str) -> dict[str, Any]:
    calibration = result.calibration
    return {
        "output": output,
        "name": calibration.name,
        "stage": calibration.stage,
        "devices": list(calibration.devices),
        "prior": result.prior,
        "coefficients": {
            name: {
                "prior": entry.prior,
                "value": entry.value,
                "stderr": entry.stderr,
                "unit": entry.unit,
                "identified": name not in result.unidentified,
                "rows": list(entry.rows),
            }
            for name, entry in calibration.coefficients.items()
        },
        "quality": calibration.quality,
        "rows": [asdict(row) for row in result.rows],
        "outliers": [row.id for row in result.outliers],
        "unidentified": list(result.unidentified),
        "notes": list(result.notes),
    }

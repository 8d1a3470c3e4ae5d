"""`lstmsim timeline`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lstmsim.cli.common import config_options, force_option, load_config, output_options, print_json
from lstmsim.errors import ConfigError

if TYPE_CHECKING:
    from lstmsim.timeline import Timeline


@click.command("timeline")
@click.argument("network", default="autoenc-5")
@click.option("--device", "-d", "device_name", required=True, help="FPGA: a name or a .toml file.")
@click.option("--batch", default=1, show_default=True, help="Inputs of the call.")
@click.option("--calibration", metavar="FILE.toml", help="Calibration to use instead of the package's own.")
@click.option("--output", "-o", metavar="FILE.json", help="Write the trace for ui.perfetto.dev or chrome://tracing.")
@click.option("--svg", metavar="FILE.svg", help="Write a Gantt chart.")
@click.option(
    "--max-events", default=100_000, show_default=True, help="Join steps, then layers, beyond so many slices."
)
@config_options
@force_option
@output_options
def command(
    *, network: str, device_name: str, batch: int, calibration: str | None, output: str | None, svg: str | None,
    max_events: int, config_file: str | None, assignments: tuple[str, ...], force: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Step through one call of NETWORK's kernel, event by event, and write its schedule.

    NETWORK is a name (see `lstmsim networks`), a .toml file or a model file; autoenc-5 by default.
    """
    from lstmsim.device import FpgaDevice, load_device
    from lstmsim.files import refuse_existing, write_text
    from lstmsim.importers import load_network
    from lstmsim.render.timeline import gantt_svg, summary, trace_json
    from lstmsim.timeline import timeline

    loaded, device = load_network(network), load_device(device_name)
    if not isinstance(device, FpgaDevice):
        raise ConfigError(f"{device.name!r} is a {device.kind}: only FPGAs have a schedule to show")
    if max_events < 10:
        raise ConfigError(f"--max-events {max_events} is below 10")
    if output and svg and Path(output).absolute() == Path(svg).absolute():
        raise ConfigError(f"--output and --svg name the same file {output!r}")
    for path in filter(None, (output, svg)):
        refuse_existing(Path(path), force=force)
    config = load_config(loaded, device, config_file, assignments, calibration)
    result = timeline(loaded, device, config, batch=batch, calibration=calibration, max_events=max_events)
    if output:
        write_text(output, trace_json(result), force=force)
    if svg:
        write_text(svg, gantt_svg(result), force=force)
    if as_json:
        print_json(summary(result))
        return
    _print(result, [path for path in (output, svg) if path], quiet=quiet)


def _print(result: Timeline, written: list[str], *, quiet: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from lstmsim.render.units import percent_text, time_text
    from lstmsim.timeline import busy_times

    console = Console()
    console.print(
        f"[bold]{result.network} on {result.device}[/bold], batch {result.batch:,}: {time_text(result.total_s)}"
    )
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("part", "busy", "share"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for part, seconds in busy_times(result).items():
        table.add_row(part, time_text(seconds), percent_text(seconds / result.total_s))
    console.print(table)
    if quiet:
        return
    console.print(f"  stepped against closed form: {100 * result.difference:+.3g} %", style="dim")
    if result.detail != "steps":
        console.print(f"  slices are joined: {result.detail} are the finest, {result.dropped:,} inputs left out")
    for path in written:
        console.print(f"  written: {path}", markup=False, highlight=False)

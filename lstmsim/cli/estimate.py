"""`lstmsim estimate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lstmsim.cli.common import config_options, load_config, output_options, print_json

if TYPE_CHECKING:
    from lstmsim.accuracy import AccuracyResult
    from lstmsim.config import KernelConfig


@click.command("estimate")
@click.argument("network", default="autoenc-5")
@click.option("--device", "-d", "device_name", required=True, help="Device name (see `lstmsim devices`) or .toml file.")
@click.option("--batch", default=1, show_default=True, help="Inputs of one call.")
@click.option("--calibration", metavar="FILE.toml", help="Calibration to use instead of the package's own.")
@click.option("--accuracy", is_flag=True, help="Run the formats bit for bit and show their accuracy too.")
@click.option("--data", metavar="DATA", help="Data for --accuracy, as for `lstmsim accuracy`; synthetic by default.")
@config_options
@output_options
def command(
    *,
    network: str,
    device_name: str,
    batch: int,
    calibration: str | None,
    accuracy: bool,
    data: str | None,
    config_file: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Tell what NETWORK costs on a device: latency, resources, what limits it.

    NETWORK is a name (see `lstmsim networks`), a .toml file or a model file; autoenc-5 by default.
    """
    from lstmsim.device import load_device
    from lstmsim.estimate import estimate
    from lstmsim.importers import load_network

    loaded = load_network(network)
    device = load_device(device_name)
    config = load_config(loaded, device, config_file, assignments, calibration)
    if data is not None and not accuracy:
        raise click.UsageError("--data goes with --accuracy", click.get_current_context())
    result = estimate(loaded, device, config, batch=batch, calibration=calibration)
    kept = _accuracy(network, config, data, silent=quiet or as_json) if accuracy else None
    if as_json:
        print_json({**result.to_dict(), "accuracy": kept.to_dict()} if kept else result.to_dict())
        return
    from rich.console import Console

    from lstmsim.render.text import accuracy_view

    Console().print(result)
    if kept:
        Console().print(accuracy_view(kept))
    if not quiet:
        for note in result.notes:
            Console().print(f"\n  [dim]{note}[/dim]")


def _accuracy(network: str, config: KernelConfig | None, data: str | None, *, silent: bool) -> AccuracyResult:
    from rich.console import Console

    from lstmsim.accuracy import quick_accuracy
    from lstmsim.config import float_config
    from lstmsim.importers import load_model
    from lstmsim.network import preset_names

    source = network if network in preset_names() else load_model(network)
    with Console(stderr=True, quiet=silent).status("running the kernel bit for bit"):
        return quick_accuracy(source, config or float_config(), data)

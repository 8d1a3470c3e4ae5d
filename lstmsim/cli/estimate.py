"""`lstmsim estimate`."""

from __future__ import annotations

import click

from lstmsim.cli.common import config_options, load_config, output_options, print_json


@click.command("estimate")
@click.argument("network", default="autoenc-5")
@click.option("--device", "-d", "device_name", required=True, help="Device name (see `lstmsim devices`) or .toml file.")
@click.option("--batch", default=1, show_default=True, help="Inputs of one call.")
@click.option("--calibration", metavar="FILE.toml", help="Calibration to use instead of the package's own.")
@config_options
@output_options
def command(
    *,
    network: str,
    device_name: str,
    batch: int,
    calibration: str | None,
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
    result = estimate(loaded, device, config, batch=batch, calibration=calibration)
    if as_json:
        print_json(result.to_dict())
        return
    from rich.console import Console

    Console().print(result)
    if not quiet:
        for note in result.notes:
            Console().print(f"\n  [dim]{note}[/dim]")

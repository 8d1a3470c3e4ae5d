"""`lstmsim networks`."""

from __future__ import annotations

import click

from lstmsim.cli.common import output_options, print_json
from lstmsim.network import Network, load_preset, preset_names


@click.command("networks")
@output_options
def command(*, as_json: bool, quiet: bool) -> None:
    """List the networks that come with the package."""
    networks = [load_preset(name) for name in preset_names()]
    if as_json:
        print_json([_row(network) for network in networks])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=None if quiet else "Networks of the package")
    for heading in ("name", "time steps", "features", "parameters", "MFLOP", "layer steps"):
        table.add_column(heading, justify="left" if heading == "name" else "right")
    for network in networks:
        table.add_row(
            network.name,
            str(network.timesteps),
            str(network.features),
            f"{network.params:,}",
            f"{network.flops / 1e6:.2f}",
            str(network.layer_steps),
        )
    Console().print(table)


def _row(network: Network) -> dict[str, object]:
    return {
        "name": network.name,
        "timesteps": network.timesteps,
        "features": network.features,
        "layers": len(network.layers),
        "params": network.params,
        "macs": network.macs,
        "flops": network.flops,
        "layer_steps": network.layer_steps,
        "note": network.note,
    }

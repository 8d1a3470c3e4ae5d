"""`lstmsim place`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import force_option, output_options, print_json
from lstmsim.cli.explore import BOUNDS, check_outputs, constraint_options, progress_bar
from lstmsim.errors import ConfigError

if TYPE_CHECKING:
    from lstmsim.placement import Placement


@click.command("place")
@click.argument("networks", nargs=-1, required=True)
@click.option("--devices", "-d", multiple=True, metavar="NAME", help="Devices; all that are known by default.")
@click.option("--objective", "-o", default="latency", show_default=True, help="latency, throughput, energy or power.")
@constraint_options
@click.option("--plot", metavar="FILE", help="Draw the devices side by side: .png or .svg.")
@force_option
@output_options
def command(
    *, networks: tuple[str, ...], devices: tuple[str, ...], objective: str, plot: str | None, force: bool,
    as_json: bool, quiet: bool, **bounds: Any
) -> None:  # fmt: skip
    """Rank devices for each of NETWORKS: the best design on every FPGA, every GPU and CPU, near and far edge apart."""
    from lstmsim.device import device_names
    from lstmsim.importers import load_network
    from lstmsim.placement import paper_factors, place, winners_of_the_paper

    if bounds.get("min_accuracy"):
        raise ConfigError("placement takes 16-bit fixed point everywhere: bound accuracy with lstmsim explore")
    check_outputs(None, plot, force=force)
    given = {bound: bounds[bound.replace("-", "_")] for bound in BOUNDS}
    wanted = {bound: text for bound, text in given.items() if text is not None}
    chosen = [part.strip() for word in devices for part in word.split(",") if part.strip()] or device_names()
    loaded = [load_network(name) for name in networks]
    with progress_bar("Placing", len(loaded) * len(chosen), hidden=quiet or as_json) as progress:
        found = [place(one, chosen, objective=objective, bounds=wanted, progress=progress) for one in loaded]
    factors = paper_factors(found)
    if plot:
        from lstmsim.render.plots import device_comparison, save

        save(device_comparison(found), plot, force=force)
    if as_json:
        rows = [{name: getattr(row, name) for name in row.__slots__} for row in factors]
        print_json({"placements": [one.to_dict() for one in found], "paper_factors": rows})
        return
    from rich.console import Console

    from lstmsim.render.exploration import factors_table, placement_lines, placement_table

    console = Console()
    for one in found:
        for edge in ("far", "near"):
            if one.of_edge(edge):
                console.print(placement_table(one, edge, quiet=quiet))
                for line in placement_lines(one, edge):
                    console.print(line, style="dim")
    if factors:
        console.print(factors_table(factors, quiet=quiet))
    if not quiet:
        for one in found:
            console.print(_conclusion(one))
        for line in winners_of_the_paper(factors):
            console.print(line)


def _conclusion(found: Placement) -> str:
    words = []
    for edge in ("far", "near"):
        best = found.winner(edge)
        if best is not None:
            words.append(f"{edge} edge: {best.device} ({best.kind})")
    return f"{found.network}: best {found.objective} at the " + ", ".join(words) if words else f"{found.network}: none"

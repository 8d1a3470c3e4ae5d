"""`lstmsim what-if`."""

from __future__ import annotations

import click

from lstmsim.cli.common import config_options, force_option, output_options, print_json
from lstmsim.errors import ConfigError


@click.command("what-if")
@click.argument("network_name", metavar="[NETWORK]", default="autoenc-5")
@click.option("--device", "-d", default="u280", show_default=True, help="FPGA: a name or a .toml file.")
@config_options
@click.option("--batch", default=1, show_default=True, help="Inputs of the call whose latency is meant.")
@click.option("--top", default=15, show_default=True, help="Changes to show; 0 shows all.")
@click.option("--plot", metavar="FILE", help="Draw a tornado: .png or .svg.")
@force_option
@output_options
def command(
    *, network_name: str, device: str, config_file: str | None, assignments: tuple[str, ...], batch: int, top: int,
    plot: str | None, force: bool, as_json: bool, quiet: bool
) -> None:  # fmt: skip
    """Change one knob at a time: what it does to latency and resources, and which single change helps most."""
    from lstmsim.config import config_from_toml, parse_assignments, replace_knobs
    from lstmsim.device import FpgaDevice, load_device
    from lstmsim.estimate import chosen_config, estimate
    from lstmsim.explore.sensitivity import best_change, what_if
    from lstmsim.importers import load_network

    network, board = load_network(network_name), load_device(device)
    if not isinstance(board, FpgaDevice):
        raise ConfigError(f"{board.name!r} is a {board.kind}: it has no knobs to change")
    if top < 0:
        raise ConfigError("--top is 0 or more")
    base = config_from_toml(config_file) if config_file else chosen_config(network, board)
    config = replace_knobs(base, parse_assignments(assignments), "--set")
    now = estimate(network, board, config, batch=batch)
    changes = what_if(network, board, config, batch=batch)
    best = best_change(changes)
    if plot:
        from lstmsim.render.plots import save, tornado

        save(tornado(changes, f"{network.name} on {board.name}"), plot, force=force)
    if as_json:
        print_json(
            {
                "network": network.name,
                "device": board.name,
                "config": config.to_dict(),
                "latency_s": now.latency_s,
                "changes": [change.to_dict() for change in changes[: top or None]],
                "best": best.to_dict() if best else None,
            }
        )
        return
    from rich.console import Console

    from lstmsim.render.exploration import design_text, sensitivity_table
    from lstmsim.render.units import time_text

    console = Console()
    if not quiet:
        console.print(f"{network.name} on {board.name}: {time_text(now.latency_s)} with {design_text(config)}")
    console.print(sensitivity_table(changes[: top or None], quiet=quiet))
    if best is not None and not quiet:
        named = f"number format {best.value}" if best.knob == "number_format" else f"--set {best.knob}={best.value}"
        console.print(f"Most helps {named}: {time_text(best.latency_s)}, {best.latency:+.1%}.", highlight=False)

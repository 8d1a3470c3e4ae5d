"""`lstmsim import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import force_option, output_options, print_json
from lstmsim.errors import ConfigError
from lstmsim.network import DenseLayer, LstmLayer, Network, RepeatLayer, ReshapeLayer, Stage, network_to_toml

if TYPE_CHECKING:
    from lstmsim.model import Model


@click.command("import")
@click.argument("model", metavar="MODEL")
@click.option("--weights", metavar="FILE", help="Weights for a network of the package or a .toml file (.npz, .pt).")
@click.option("--timesteps", type=int, metavar="N", help="Time steps, where the model leaves them open.")
@click.option("--output", "-o", metavar="FILE.npz", help="Write the weights.")
@click.option("--network", "network_file", metavar="FILE.toml", help="Write the network's shape.")
@force_option
@output_options
def command(
    *,
    model: str,
    weights: str | None,
    timesteps: int | None,
    output: str | None,
    network_file: str | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Read a trained model of Keras, TensorFlow, ONNX or PyTorch; show it, and write it as .toml and .npz.

    MODEL is a .keras, .h5, .onnx, .pt, .pth or .safetensors file, a SavedModel folder, a .toml file or a network of
    the package.
    """
    from lstmsim.files import refuse_existing, write_text
    from lstmsim.importers import load_model, load_network

    for path, suffix in ((output, ".npz"), (network_file, ".toml")):
        if path is not None:
            if Path(path).suffix != suffix:
                raise ConfigError(f"output {path!r} must end in {suffix}")
            refuse_existing(Path(path), force=force)
    found: Model | None = None
    if output is not None or weights is not None:
        found = load_model(model, weights=weights, timesteps=timesteps)
    network = found.network if found else load_network(model, timesteps=timesteps)
    if network_file is not None:
        write_text(network_file, network_to_toml(network), force=force)
    if found is not None and output is not None:
        found.save(output, force=force)
    if as_json:
        print_json({**_document(network), "written": [path for path in (network_file, output) if path]})
        return
    _print_table(network, quiet=quiet, written=[path for path in (network_file, output) if path])


def _describe(stage: Stage) -> tuple[str, str]:
    match stage.layer:
        case LstmLayer(units=units, return_sequences=sequences, direction=direction):
            kind = "LSTM" if direction == "forward" else f"LSTM, {direction}"
            return kind, f"{units} units, {'all steps' if sequences else 'last step'}"
        case DenseLayer(units=units, activation=activation):
            return "dense", f"{units} units, {activation}"
        case RepeatLayer(count=count):
            return "repeat", f"{count} times"
        case ReshapeLayer():
            return "reshape", ""


def _document(network: Network) -> dict[str, Any]:
    layers = []
    for stage in network.stages:
        kind, detail = _describe(stage)
        layers.append(
            {
                "type": kind,
                "detail": detail,
                "input": [stage.input.timesteps, stage.input.features],
                "output": [stage.output.timesteps, stage.output.features],
                "params": stage.params,
            }
        )
    return {
        "name": network.name,
        "timesteps": network.timesteps,
        "features": network.features,
        "params": network.params,
        "flops": network.flops,
        "note": network.note,
        "layers": layers,
    }


def _print_table(network: Network, *, quiet: bool, written: list[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    title = f"{escape(network.name)}: {network.timesteps} time steps of {network.features} features"
    table = Table(title=None if quiet else title, show_footer=True)
    table.add_column("layer", footer="total")
    table.add_column("", footer="")
    table.add_column("reads", justify="right")
    table.add_column("gives", justify="right")
    table.add_column("parameters", justify="right", footer=f"{network.params:,}")
    for stage in network.stages:
        kind, detail = _describe(stage)
        reads = f"{stage.input.timesteps} x {stage.input.features}"
        gives = f"{stage.output.timesteps} x {stage.output.features}"
        table.add_row(kind, detail, reads, gives, f"{stage.params:,}")
    console = Console()
    console.print(table)
    if quiet:
        return
    if network.note:
        console.print(escape(network.note))
    for path in written:
        console.print(f"Wrote {escape(path)}")

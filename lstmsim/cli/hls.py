"""`lstmsim hls`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lstmsim.cli.common import config_options, force_option, output_options, print_json
from lstmsim.cli.models import RANDOM_SEED, load_array, trained_or_random

if TYPE_CHECKING:
    from lstmsim.hls import Project


@click.command("hls")
@click.argument("network")
@click.option("--device", "-d", "device_name", required=True, metavar="DEVICE", help="An FPGA, such as zcu104.")
@config_options
@click.option("--weights", metavar="FILE.npz", help="Trained weights, as `Model.save` writes them.")
@click.option("--seed", type=click.IntRange(0), help="Random weights and inputs of this seed.")
@click.option("--input", "input_file", metavar="FILE.npy", help="Samples for the test vectors; random ones by default.")
@click.option("--samples", type=click.IntRange(1, 1 << 16), default=2, show_default=True, help="Random samples.")
@click.option("--output", "-o", "folder", required=True, metavar="FOLDER", help="The folder to make.")
@force_option
@output_options
def command(
    *,
    network: str,
    device_name: str,
    config_file: str | None,
    assignments: tuple[str, ...],
    weights: str | None,
    seed: int | None,
    input_file: str | None,
    samples: int,
    folder: str,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write an HLS project for NETWORK: C++ kernel, weights, test vectors, scripts for Vitis and g++.

    `make csim` in the folder compiles the kernel with g++ and compares every bit with the simulator.
    """
    from lstmsim.config import KernelConfig, config_from_toml, parse_assignments, replace_knobs
    from lstmsim.device import load_device
    from lstmsim.hls import write_project

    config = KernelConfig() if config_file is None else config_from_toml(config_file)
    config = replace_knobs(config, parse_assignments(assignments), "--set")
    model = trained_or_random(network, weights, seed)
    project = write_project(
        model,
        config,
        load_device(device_name),
        folder,
        inputs=None if input_file is None else load_array(input_file),
        samples=samples,
        seed=RANDOM_SEED if seed is None else seed,
        force=force,
    )
    if as_json:
        print_json(_row(project, config.digest))
    elif quiet:
        click.echo(str(project.folder))
    else:
        _print_project(project, config.digest)


def _row(project: Project, digest: str) -> dict[str, object]:
    return {
        "folder": str(project.folder),
        "digest": digest,
        "files": list(project.files),
        "samples": project.samples,
        "output_values": project.output_values,
        "internal_states": project.internal_states,
        "weight_bytes": project.weight_bytes,
    }


def _print_project(project: Project, digest: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"HLS project in {project.folder}", show_header=False)
    table.add_row("digest", digest)
    table.add_row("files", str(len(project.files)))
    table.add_row("weights", f"{project.weight_bytes:,} bytes in memory")
    table.add_row("test vectors", f"{project.samples:,} samples, {project.output_values:,} output values")
    table.add_row("", f"{project.internal_states:,} cell and hidden states")
    console = Console()
    console.print(table)
    console.print(f"Next: [bold]make -C {project.folder} csim[/bold] compares the C++ with the simulator, bit for bit.")

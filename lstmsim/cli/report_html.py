"""`lstmsim report html`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import config_options, force_option, load_config, output_options, print_json
from lstmsim.errors import ConfigError

if TYPE_CHECKING:
    from lstmsim.device import Device
    from lstmsim.explore import Exploration
    from lstmsim.network import Network

MAX_DEVICES = 6
ACCURACY_FIGURES = ("accuracy", "agreement", "f1", "auc")
OBJECTIVES = ("latency", "dsp", "lut")


@click.command("html")
@click.argument("network", default="autoenc-5")
@click.option("--device", "-d", "device_names", multiple=True, required=True, help="A device; may be repeated.")
@click.option("--output", "-o", metavar="FILE.html", help="Where to write the page; needed unless --json.")
@click.option("--batch", default=1, show_default=True, help="Inputs of one call.")
@click.option("--calibration", metavar="FILE.toml", help="Calibration to use for FPGAs instead of the package's own.")
@click.option("--explore/--no-explore", "exploring", default=True, show_default=True, help="Add the Pareto front.")
@click.option(
    "--objective", "objectives", multiple=True, default=OBJECTIVES, show_default=True,
    help="Objectives of the front; may be repeated.",
)  # fmt: skip
@click.option("--accuracy", "accuracy_file", metavar="FILE.json", help="Output of `lstmsim accuracy --json` to draw.")
@config_options
@force_option
@output_options
def html(
    *, network: str, device_names: tuple[str, ...], output: str | None, batch: int, calibration: str | None,
    exploring: bool, objectives: tuple[str, ...], accuracy_file: str | None, config_file: str | None,
    assignments: tuple[str, ...], force: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write one self-contained page about NETWORK on one or more devices."""
    from lstmsim.device import load_device
    from lstmsim.files import refuse_existing, write_text
    from lstmsim.importers import load_network
    from lstmsim.render.html import report_data, report_page

    if output is None and not as_json:
        raise ConfigError("--output FILE.html is missing")
    if output is not None:
        refuse_existing(Path(output), force=force)
    if len(device_names) > MAX_DEVICES:
        raise ConfigError(f"{len(device_names)} devices are more than the {MAX_DEVICES} that one report shows")
    loaded = load_network(network)
    devices = [load_device(name) for name in dict.fromkeys(device_names)]
    configs = [_config(loaded, device, config_file, assignments, calibration) for device in devices]
    fronts = _fronts(loaded, devices, objectives, calibration, hidden=quiet or as_json) if exploring else []
    data = report_data(
        loaded, devices, configs, batch=batch, calibration=calibration, fronts=fronts,
        accuracy=_accuracy(loaded.name, accuracy_file), command=_command_line(),
    )  # fmt: skip
    if output is not None:
        write_text(output, report_page(data), force=force)
    if as_json:
        print_json(data)
    elif not quiet:
        click.echo(f"written: {output}")


def _config(
    network: Network, device: Device, config_file: str | None, assignments: tuple[str, ...], calibration: str | None
) -> Any:
    from lstmsim.device import FpgaDevice

    if not isinstance(device, FpgaDevice):
        return None
    return load_config(network, device, config_file, assignments, calibration)


def _fronts(
    network: Network, devices: list[Device], objectives: tuple[str, ...], calibration: str | None, *, hidden: bool
) -> list[Exploration]:
    from lstmsim.cli.explore import progress_bar
    from lstmsim.device import FpgaDevice
    from lstmsim.explore import default_space, explore

    found = []
    for device in devices:
        if isinstance(device, FpgaDevice):
            space = default_space(network, device)
            with progress_bar(f"Exploring {device.name}", space.size, hidden=hidden) as progress:
                found.append(
                    explore(network, device, space=space, objectives=objectives, calibration=calibration,
                            progress=progress)
                )  # fmt: skip
    return found


def _accuracy(network: str, path: str | None) -> list[dict[str, Any]]:
    """Return the curve's points: what was measured, and what was published of this network."""
    from lstmsim.accuracy import published_points

    rows = [
        {
            "label": f"{point.fractional_bits} fractional bits",
            "figure": "accuracy",
            "value": point.accuracy,
            "fractional_bits": point.fractional_bits,
            "source": "published",
        }
        for point in published_points(network)
    ]
    return rows + (_measured(path) if path else [])


def _measured(path: str) -> list[dict[str, Any]]:
    import json

    from lstmsim.files import read_text

    try:
        document = json.loads(read_text(path))
    except (ValueError, RecursionError) as problem:
        raise ConfigError(f"{path!r} is not JSON: {problem}") from None
    found = document.get("results") if isinstance(document, dict) else document
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ConfigError(f"{path!r} is not the output of lstmsim accuracy --json")
    rows = [row for entry in found for row in _points(entry)]
    if not rows:
        raise ConfigError(f"{path!r} holds no figure of a fixed-point format")
    return sorted(rows, key=lambda row: row["fractional_bits"])


def _points(entry: dict[str, Any]) -> list[dict[str, Any]]:
    bits, label, source = entry.get("fractional_bits"), str(entry.get("label")), str(entry.get("data", "measured"))
    if isinstance(bits, bool) or not isinstance(bits, int):
        return []
    values = {figure: entry.get(figure) for figure in ACCURACY_FIGURES}
    return [
        {"label": label, "figure": figure, "value": float(value), "fractional_bits": bits, "source": source}
        for figure, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _command_line() -> str:
    return "lstmsim " + shlex.join(sys.argv[1:])

"""`lstmsim devices`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import output_options, print_json
from lstmsim.device import Device, FpgaDevice, Resources, device_names, load_device

if TYPE_CHECKING:
    from rich.table import Table

_EDGE = {"far": "far edge", "near": "near edge"}
# suffix of a field's name -> (factor, unit) to show it in
_UNITS = {
    "_bytes_per_s": (1e-9, "GB/s"),
    "_bytes": (1e-9, "GB"),
    "_flops": (1e-12, "TFLOP/s"),
    "_hz": (1e-6, "MHz"),
    "_bits": (1.0, "bits"),
    "_s": (1e6, "us"),
    "_w": (1.0, "W"),
}


@click.command("devices")
@click.argument("name", required=False)
@output_options
def command(*, name: str | None, as_json: bool, quiet: bool) -> None:
    """List the devices that come with the package, or show one (NAME or a .toml file) with its sources."""
    devices = [load_device(name)] if name else [load_device(known) for known in device_names()]
    if as_json:
        rows = [_as_dict(device) for device in devices]
        print_json(rows[0] if name else rows)
        return
    from rich.console import Console

    console = Console()
    if name:
        _print_one(devices[0], console, quiet=quiet)
        return
    fpgas = [device for device in devices if isinstance(device, FpgaDevice)]
    console.print(_fpga_table(fpgas, quiet=quiet))
    console.print(_processor_table([device for device in devices if device not in fpgas], quiet=quiet))
    if not quiet:
        console.print("FPGA counts are what the platform leaves to a kernel. `lstmsim devices NAME` shows sources.")


def _as_dict(device: Device) -> dict[str, Any]:
    values = {"kind": device.kind, **{entry.name: getattr(device, entry.name) for entry in fields(device)}}
    return {key: value.as_dict() if isinstance(value, Resources) else value for key, value in values.items()}


def _fpga_table(devices: list[FpgaDevice], *, quiet: bool) -> Table:
    table = _table(
        "FPGAs", "name", "edge", "LUT", "LUTRAM", "FF", "BRAM18", "URAM", "DSP", "MHz", "GB/s", "W", quiet=quiet
    )
    for device in devices:
        counts = [_count(value) for value in device.budget.as_dict().values()]
        table.add_row(
            device.name,
            device.edge,
            *counts,
            f"{device.clock_hz / 1e6:.0f}",
            f"{device.memory_bandwidth_bytes_per_s / 1e9:.4g}",
            f"{device.max_power_w:g}",
        )
    return table


def _count(value: float) -> str:
    return f"{value / 1e3:,.0f}k" if value >= 1e5 else f"{value:,.0f}"


def _processor_table(devices: list[Device], *, quiet: bool) -> Table:
    table = _table("GPUs and CPUs", "name", "edge", "kind", "cores", "GB", "GB/s", "TFLOP/s", "W", quiet=quiet)
    for device in devices:
        if isinstance(device, FpgaDevice):
            continue
        table.add_row(
            device.name,
            device.edge,
            device.kind,
            f"{device.cores:,}",
            f"{device.memory_bytes / 1e9:g}",
            f"{device.memory_bandwidth_bytes_per_s / 1e9:.4g}",
            f"{device.peak_flops / 1e12:.3g}",
            f"{device.max_power_w:g}",
        )
    return table


def _table(title: str, *headings: str, quiet: bool) -> Table:
    from rich.table import Table

    table = Table(title=None if quiet else title, title_justify="left", padding=(0, 0, 0, 1))
    for heading in headings:
        left = heading in {"name", "edge", "kind"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    return table


def _print_one(device: Device, console: Any, *, quiet: bool) -> None:
    from rich.table import Table

    table = Table(title=None if quiet else f"{device.title} ({device.kind}, {_EDGE[device.edge]})")
    table.add_column("quantity")
    table.add_column("value", justify="right")
    table.add_column("source", overflow="fold")
    for entry in fields(device):
        value = getattr(device, entry.name)
        source = device.sources.get(entry.name, "")
        if isinstance(value, Resources):
            for index, (resource, count) in enumerate(value.as_dict().items()):
                table.add_row(f"{entry.name} {resource}", f"{count:,.0f}", source if index == 0 else "")
        elif isinstance(value, int | float):
            table.add_row(*_shown(entry.name, value), source)
    console.print(table)
    if quiet:
        return
    if isinstance(device, FpgaDevice):
        console.print(f"Part {device.part}, memory {device.memory}, host {device.host_cpu or 'any'}")
    console.print("Aliases: " + (", ".join(device.aliases) or "none"))
    for note in device.notes:
        console.print(f"Note: {note}")


def _shown(name: str, value: float) -> tuple[str, str]:
    for suffix, (factor, unit) in _UNITS.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix).replace("_", " "), f"{value * factor:,.4g} {unit}"
    return name.replace("_", " "), f"{value:,}"

"""Options and output that every command shares."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lstmsim.config import KernelConfig
    from lstmsim.device import Device
    from lstmsim.network import Network

Command = TypeVar("Command", bound=Callable[..., Any])


def output_options(function: Command) -> Command:
    """Add --json and --quiet, as every command has them (parameters `as_json` and `quiet`)."""
    function = click.option("--quiet", "-q", is_flag=True, help="Print the result only: no progress, no notes.")(
        function
    )
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")(function)


def config_options(function: Command) -> Command:
    """Add --config and --set (parameters `config_file` and `assignments`)."""
    function = click.option(
        "--set", "assignments", multiple=True, metavar="KNOB=VALUE", help="Change one knob; may be repeated."
    )(function)
    return click.option("--config", "config_file", metavar="FILE.toml", help="Kernel configuration.")(function)


def load_config(
    network: Network,
    device: Device,
    config_file: str | None,
    assignments: tuple[str, ...],
    calibration: str | None = None,
) -> KernelConfig | None:
    """Return the configuration that --config and --set describe, on top of the device's default design.

    None for processors, which have no knobs.

    Raises:
        ConfigError: knobs were given for a processor, or a knob is wrong.
    """
    from lstmsim.config import config_from_toml, parse_assignments, replace_knobs
    from lstmsim.device import FpgaDevice
    from lstmsim.errors import ConfigError

    if not isinstance(device, FpgaDevice):
        if config_file or assignments:
            raise ConfigError(f"--config and --set do not apply to {device.name!r}: it is a {device.kind}")
        return None
    if config_file:
        base = config_from_toml(config_file)
    else:
        from lstmsim.estimate import chosen_config

        base = chosen_config(network, device, calibration)
    return replace_knobs(base, parse_assignments(assignments), "--set")


force_option = click.option("--force", is_flag=True, help="Overwrite existing output files.")


def print_json(value: Any) -> None:
    """Print one JSON document; infinities and NaN become null."""
    click.echo(json.dumps(_finite(value), indent=2, ensure_ascii=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value

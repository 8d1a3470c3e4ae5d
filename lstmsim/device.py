"""Devices: what a board offers, as data with a source for every number."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from lstmsim.errors import ConfigError, UnknownDevice, nearest
from lstmsim.files import check_keys, data_folder, read_toml

Edge = Literal["far", "near"]
MAX_NUMBER = 1e18


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Counts of FPGA resources. BRAM is counted in blocks of 18 kbit, LUTRAM in LUTs that can be memory."""

    lut: float
    lutram: float
    ff: float
    bram18: float
    uram: float
    dsp: float

    def as_dict(self) -> dict[str, float]:
        """Return the counts by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FpgaDevice:
    """An FPGA board. `total` is what the part has, `budget` what its platform leaves to a kernel."""

    name: str
    title: str
    edge: Edge
    part: str
    total: Resources
    budget: Resources
    clock_hz: float
    clock_max_hz: float
    memory: str
    memory_channels: int
    memory_port_bits: int
    memory_bandwidth_bytes_per_s: float
    launch_s: float
    static_power_w: float
    max_power_w: float
    host_cpu: str = ""
    aliases: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The word "fpga"."""
        return "fpga"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorDevice:
    """A GPU or a CPU. Its speed on LSTMs is a calibration's affair; peaks are here for comparison."""

    name: str
    title: str
    kind: Literal["gpu", "cpu"]
    edge: Edge
    cores: int
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    peak_flops: float
    launch_s: float
    idle_power_w: float
    max_power_w: float
    aliases: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


Device = FpgaDevice | ProcessorDevice


def device_names() -> list[str]:
    """Return the names of the devices that come with the package."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in data_folder("devices").iterdir() if entry.name.endswith(".toml")
    )


def load_device(name: str | os.PathLike[str]) -> Device:
    """Return a device by name, alias, or path to a TOML file of the same schema.

    Raises:
        UnknownDevice: no such name; the nearest is suggested.
        ConfigError: a file with a missing or unknown key, or a value out of range.
    """
    text = os.fspath(name)
    if text.endswith(".toml") or os.sep in text:
        return device_from_toml(text)
    key = _plain(text)
    by_plain_name = {_plain(known): known for known in device_names()}
    if key in by_plain_name:
        return device_from_toml(data_folder("devices") / f"{by_plain_name[key]}.toml")
    for known in by_plain_name.values():
        device = device_from_toml(data_folder("devices") / f"{known}.toml")
        if key in map(_plain, device.aliases):
            return device
    raise UnknownDevice(f"unknown device {text!r}. {nearest(text, device_names())} Or give a .toml file of your own.")


def device_from_toml(path: Any) -> Device:
    """Return the device that a TOML file describes; errors as in `load_device`."""
    table = read_toml(path)
    where = f"device file {str(getattr(path, 'name', path))!r}"
    kind = table.pop("kind", None)
    if kind == "fpga":
        fpga: FpgaDevice = _build(FpgaDevice, _with_resources(table, where), where)
        return fpga
    if kind in ("gpu", "cpu"):
        processor: ProcessorDevice = _build(ProcessorDevice, {**table, "kind": kind}, where)
        return processor
    raise ConfigError(f"{where}: kind = {kind!r} is not one of fpga, gpu, cpu")


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _with_resources(table: dict[str, Any], where: str) -> dict[str, Any]:
    result = dict(table)
    for key in ("total", "budget"):
        if isinstance(result.get(key), dict):
            result[key] = _build(Resources, result[key], f"{where}, [{key}]")
    if isinstance(result.get("total"), Resources) and isinstance(result.get("budget"), Resources):
        _check_budget(result["total"], result["budget"], where)
    return result


def _check_budget(total: Resources, budget: Resources, where: str) -> None:
    for name, limit in total.as_dict().items():
        if getattr(budget, name) > limit:
            raise ConfigError(f"{where}: budget.{name} = {getattr(budget, name):g} is above total.{name} = {limit:g}")


def _build(kind: type, table: dict[str, Any], where: str) -> Any:
    known = {entry.name: entry for entry in fields(kind)}
    check_keys(table, set(known), where)
    values = {name: _checked(str(known[name].type), name, value, where) for name, value in table.items()}
    try:
        return kind(**values)
    except TypeError as problem:
        missing = [name for name in known if name not in table and f"'{name}'" in str(problem)]
        raise ConfigError(f"{where}: the key {missing[0] if missing else '?'!r} is missing") from None


def _checked(kind: str, name: str, value: Any, where: str) -> Any:
    if kind in ("int", "float"):
        number = not isinstance(value, bool) and isinstance(value, int | float)
        smallest = 1 if kind == "int" else 0
        if not number or not smallest <= value <= MAX_NUMBER or (kind == "int" and value != int(value)):
            raise ConfigError(f"{where}: {name} = {value!r} is not a number in {smallest}..{MAX_NUMBER:g}")
        if name.startswith("clock") and not 1e6 <= value <= 2e9:
            raise ConfigError(f"{where}: {name} = {value!r} is outside 1e6..2e9 Hz")
        return value
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{where}: {name} is a list of texts")
        return tuple(value)
    if kind.startswith("dict"):
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise ConfigError(f"{where}: [{name}] holds one text a key")
        return dict(value)
    if kind == "Resources":
        if not isinstance(value, Resources):
            raise ConfigError(f"{where}: [{name}] is a table of resource counts")
        return value
    if not isinstance(value, str) or (name == "edge" and value not in ("far", "near")):
        raise ConfigError(f"{where}: {name} = {value!r} is not a usable text")
    return value

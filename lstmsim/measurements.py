"""Measurements: one CSV schema for synthesis reports, board runs and published tables.

A row is one kernel or one run: who (id, device, network, stage, batch), which knobs (any column named like a knob of
`KernelConfig`; empty cells keep the default), what was seen (latency_s and resources) and where from (source, note).
Resources are counts (lut, lutram, ff, bram18, uram, dsp) or shares of the device's user budget in percent
(lut_percent ... bram_percent, dsp_percent), as a tool printed them.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.resources.abc import Traversable
from pathlib import Path

from lstmsim.config import KernelConfig, config_from_dict
from lstmsim.device import Device, FpgaDevice, load_device
from lstmsim.errors import CalibrationError, LstmsimError
from lstmsim.files import check_keys, data_folder, read_text, write_text

STAGES = ("csynth", "route", "board", "paper")
IDENTITY = ("id", "table", "row", "device", "network", "stage", "batch", "backend", "tool")
RESOURCES = ("lut", "lutram", "ff", "bram18", "uram", "dsp")
PERCENTS = {
    "lut_percent": "lut",
    "lutram_percent": "lutram",
    "ff_percent": "ff",
    "bram_percent": "bram18",
    "uram_percent": "uram",
    "dsp_percent": "dsp",
}
OBSERVED = ("latency_s", "latency_spread_s", "power_w", *RESOURCES, *PERCENTS)
PROVENANCE = ("source", "note", "clock_seen_hz", "xsa", "uuid", "mode")
KNOBS = tuple(knob.name for knob in fields(KernelConfig))
COLUMNS = (*IDENTITY, *KNOBS, *OBSERVED, *PROVENANCE)
ROW_LIMIT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One row. `latency_s` is the time of the whole call for `batch` inputs; `resources` are counts."""

    id: str
    device: str
    network: str
    stage: str
    batch: int = 1
    knobs: dict[str, str] = field(default_factory=dict)
    latency_s: float | None = None
    latency_digits_s: float = 0.0
    resources: dict[str, float] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> KernelConfig:
        """The kernel configuration of the row."""
        return config_from_dict(self.knobs, f"measurement {self.id!r}")

    @property
    def source(self) -> str:
        """Where the figures come from."""
        return self.extra.get("source", "")


def package_measurements() -> Traversable:
    """Return the folder of the measurements that the shipped calibrations were made from (calibration/measurements)."""
    return data_folder("measurements")


def read_measurements(path: str | os.PathLike[str] | Traversable) -> list[Measurement]:
    """Return the rows of a CSV file. A device named as a relative .toml path lies beside the CSV file.

    Raises:
        CalibrationError: a missing file, an unknown column, a bad value (with its line number) or two equal ids.
    """
    name = str(getattr(path, "name", path))
    rows = read_csv_table(path)
    if rows:
        check_keys(rows[0][1], set(COLUMNS), f"measurements {name!r}", CalibrationError)
    folder = Path(path).parent if isinstance(path, str | os.PathLike) else None
    measurements = [_from_cells(_beside(cells, folder), f"{name!r}, line {line}") for line, cells in rows]
    _refuse_equal_ids(measurements, name)
    return measurements


def _beside(cells: dict[str, str], folder: Path | None) -> dict[str, str]:
    device = cells.get("device", "")
    if folder is None or not device.endswith(".toml"):
        return cells
    return {**cells, "device": str(folder / device)}


def read_csv_table(path: str | os.PathLike[str] | Traversable) -> list[tuple[int, dict[str, str]]]:
    """Return (line number, cells) of a CSV file with a header.

    Raises:
        CalibrationError: a missing file, no header, or a row longer or shorter than the header.
    """
    name = str(getattr(path, "name", path))
    reader = csv.reader(io.StringIO(read_text(path, error=CalibrationError)), strict=True)
    result = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if not any(header) or len(set(header)) != len(header):
            raise CalibrationError(f"{name!r}: the first line must name each column once")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise CalibrationError(
                    f"{name!r}, line {reader.line_num}: {len(cells)} cells for {len(header)} columns"
                )
            result.append((reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
            if len(result) > ROW_LIMIT:
                raise CalibrationError(f"{name!r} has more than {ROW_LIMIT:,} rows: split it")
    except csv.Error as problem:
        raise CalibrationError(f"{name!r}, line {reader.line_num}: not valid CSV: {problem}") from None
    return result


def write_measurements(path: str | os.PathLike[str], rows: Sequence[Measurement], *, force: bool = False) -> None:
    """Write rows as CSV, only the columns that are used, atomically. A device file beside it is named as such."""
    _refuse_equal_ids(rows, str(path))
    folder = Path(path).parent
    named = [replace(row, device=Path(row.device).name) if _lies_in(folder, row.device) else row for row in rows]
    write_text(path, measurements_csv(named), force=force)


def _lies_in(folder: Path, device: str) -> bool:
    return device.endswith(".toml") and Path(device).parent.absolute() == folder.absolute()


def measurements_csv(rows: Iterable[Measurement]) -> str:
    """Return rows as CSV text in the order of `COLUMNS`."""
    tables = [_to_cells(row) for row in rows]
    used = [name for name in COLUMNS if any(cells.get(name) for cells in tables)]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, used, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(tables)
    return stream.getvalue()


def _from_cells(cells: dict[str, str], where: str) -> Measurement:
    for name in ("id", "device", "network", "stage"):
        if not cells.get(name):
            raise CalibrationError(f"{where}: {name} is empty")
    if cells["stage"] not in STAGES:
        raise CalibrationError(f"{where}: stage {cells['stage']!r} is not one of {', '.join(STAGES)}")
    batch = _number(cells, "batch", where) if cells.get("batch") else 1.0
    if batch is None or batch < 1 or batch != int(batch):
        raise CalibrationError(f"{where}: batch {cells['batch']!r} is not a whole number above 0")
    knobs = {name: cells[name] for name in KNOBS if cells.get(name)}
    latency = _number(cells, "latency_s", where)
    if latency is not None and latency <= 0:
        raise CalibrationError(f"{where}: latency_s {cells['latency_s']!r} is not above 0")
    measurement = Measurement(
        id=cells["id"],
        device=cells["device"],
        network=cells["network"],
        stage=cells["stage"],
        batch=int(batch),
        knobs=knobs,
        latency_s=latency,
        latency_digits_s=_last_digit(cells.get("latency_s", "")),
        resources=_resources(cells, where),
        extra={name: value for name, value in cells.items() if value and name not in _TYPED},
    )
    try:
        _ = measurement.config
    except LstmsimError as problem:
        raise CalibrationError(f"{where}: {problem}") from None
    return measurement


_TYPED = {"id", "device", "network", "stage", "batch", "latency_s", *KNOBS, *RESOURCES, *PERCENTS}


def _resources(cells: dict[str, str], where: str) -> dict[str, float]:
    counts = {}
    for name in RESOURCES:
        value = _number(cells, name, where)
        if value is not None:
            counts[name] = value
    shares = {name: _number(cells, name, where) for name in PERCENTS}
    if any(share is not None for share in shares.values()):
        budget = _fpga(cells["device"], where).budget.as_dict()
        for name, share in shares.items():
            if share is not None:
                counts[PERCENTS[name]] = share / 100 * budget[PERCENTS[name]]
    return counts


def _fpga(name: str, where: str) -> FpgaDevice:
    try:
        device: Device = load_device(name)
    except LstmsimError as problem:
        raise CalibrationError(f"{where}: {problem}") from None
    if not isinstance(device, FpgaDevice):
        raise CalibrationError(f"{where}: {name!r} is no FPGA, so shares of its resources mean nothing")
    return device


def _number(cells: dict[str, str], name: str, where: str) -> float | None:
    text = cells.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise CalibrationError(f"{where}: {name} {text!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise CalibrationError(f"{where}: {name} {text!r} is not a finite number from 0 up")
    return value


def _last_digit(text: str) -> float:
    """Return the worth of the last digit that was printed, in seconds."""
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(10.0 ** (int(exponent or 0) - decimals)) if text else 0.0


def _to_cells(row: Measurement) -> dict[str, str]:
    cells = {name: str(getattr(row, name)) for name in ("id", "device", "network", "stage", "batch")}
    if row.latency_s is not None:
        cells["latency_s"] = f"{row.latency_s:.9g}"
    cells |= {name: f"{value:.9g}" for name, value in row.resources.items()}
    return {**cells, **row.knobs, **row.extra}


def _refuse_equal_ids(rows: Sequence[Measurement], where: str) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise CalibrationError(f"{where!r}: the id {row.id!r} stands twice")
        seen.add(row.id)

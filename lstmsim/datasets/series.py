"""Time series: bokeh_sampledata's, and the user's own tables."""

from __future__ import annotations

import csv
import importlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstmsim.datasets.common import (
    Array,
    DetectionData,
    ForecastData,
    Task,
    forecast_windows,
    require_windows,
    windows,
)
from lstmsim.errors import DataError, MissingExtra, nearest
from lstmsim.files import read_array, read_bounded
from lstmsim.network import Network

FILE_LIMIT_BYTES = 1 << 30
SHARES = (0.6, 0.1, 0.3)  # training, calibration, test, in the order of time
PRICE_SCALE = 0.25
LABEL_COLUMNS = ("label", "labels", "anomaly", "attack", "is_anomaly", "class")
BOKEH_SETS = ("stocks", "sst")
_STOCKS = ("AAPL", "GOOG", "IBM", "MSFT")
_STOCK_COLUMNS = ("close", "open", "high", "low", "volume")


def load_bokeh(which: str, network: Network) -> ForecastData:
    """Return "stocks" (close, open, high, low, volume by day) or "sst" (half-hourly sea-surface temperature).

    Raises:
        MissingExtra: bokeh_sampledata is not installed.
        DataError: another name, or a network with more inputs than the series has columns.
    """
    if which not in BOKEH_SETS:
        raise DataError(f"no data set 'bokeh:{which}'. {nearest(which, BOKEH_SETS)}")
    columns = len(_STOCK_COLUMNS) if which == "stocks" else 1
    if network.features > columns:
        raise DataError(f"network {network.name!r} reads {network.features} columns but bokeh:{which} has {columns}")
    return _stocks(network) if which == "stocks" else _temperature(network)


def _bokeh_module(name: str) -> Any:
    try:
        return importlib.import_module(f"bokeh_sampledata.{name}")
    except ImportError:
        raise MissingExtra("bokeh_sampledata", "data", "--data bokeh:...") from None


def _temperature(network: Network) -> ForecastData:
    table = _bokeh_module("sea_surface_temperature").sea_surface_temperature
    degrees = np.asarray(table["temperature"], dtype=np.float64)[:, None]
    degrees = degrees[np.isfinite(degrees[:, 0])]
    learning = degrees[: int(SHARES[0] * len(degrees))]
    low, high = float(learning.min()), float(learning.max())
    return _forecast(
        "bokeh:sst",
        "Sea-surface temperature, NERACOOS buoy, as distributed with bokeh_sampledata (BSD-3-Clause)",
        (degrees - low) / (high - low),
        network,
        offset=low,
        scale=high - low,
        unit="°C",
    )


def _stocks(network: Network) -> ForecastData:
    module = _bokeh_module("stocks")
    parts = [_one_stock(getattr(module, name), network) for name in _STOCKS]
    cuts = [[int(share * len(part[0])) for share in np.cumsum(SHARES[:2])] for part in parts]

    def collect(index: int, which: int) -> Array:
        pieces = [np.split(part[index], cut)[which] for part, cut in zip(parts, cuts, strict=True)]
        return np.ascontiguousarray(np.concatenate(pieces))

    reference = collect(2, 2).astype(np.float64)
    return ForecastData(
        name="bokeh:stocks",
        source="Daily prices of AAPL, GOOG, IBM, MSFT, 2000-2013, as distributed with bokeh_sampledata (BSD-3-Clause)",
        train=collect(0, 0),
        train_targets=collect(1, 0),
        calibration=collect(0, 1),
        test=collect(0, 2),
        targets=collect(1, 2),
        offset=reference,
        scale=reference * PRICE_SCALE,
        unit="USD",
    )


def _one_stock(table: Any, network: Network) -> tuple[Array, Array, Array]:
    """Return inputs, targets and each window's last close.

    Prices are (price / last close - 1) / PRICE_SCALE, volumes log(volume / mean volume of the window) / 4.
    """
    rows = np.column_stack([np.asarray(table[name], dtype=np.float64) for name in _STOCK_COLUMNS])[
        :, : network.features
    ]
    inputs, targets = forecast_windows(rows, network)
    inputs, targets = inputs.astype(np.float64), targets.astype(np.float64)
    reference = inputs[:, -1, 0].copy()
    by_window = reference[:, None, None]
    volumes = inputs[:, :, 4:]
    inputs[:, :, 4:] = np.log(np.maximum(volumes, 1.0) / np.maximum(volumes.mean(axis=1, keepdims=True), 1.0)) / 4
    inputs[:, :, :4] = (inputs[:, :, :4] / by_window - 1) / PRICE_SCALE
    targets = (targets / by_window - 1) / PRICE_SCALE
    return inputs.astype(np.float32), targets.astype(np.float32), reference.astype(np.float32)


def _forecast(
    name: str,
    source: str,
    rows: NDArray[np.float64],
    network: Network,
    *,
    offset: float,
    scale: float,
    unit: str = "",
    note: str = "",
) -> ForecastData:
    inputs, targets = forecast_windows(rows[:, : network.features], network)
    cuts = [int(share * len(inputs)) for share in np.cumsum(SHARES[:2])]
    first, second, third = np.split(inputs, cuts)
    goals = np.split(targets, cuts)
    require_windows(name, training=first, calibration=second, test=third)
    return ForecastData(
        name=name,
        source=source,
        train=first,
        train_targets=goals[0],
        calibration=second,
        test=third,
        targets=goals[2],
        offset=np.full(len(third), offset),
        scale=np.full(len(third), scale),
        unit=unit,
        note=note,
    )


def load_table(path: Path, network: Network, task: Task) -> DetectionData | ForecastData:
    """Return the user's own rows, .csv, .npy or .parquet, in the order of time.

    Columns that are not numbers are left out; a column named as in `LABEL_COLUMNS` marks anomalies (not 0, or not
    "normal"). The first columns feed the network; a row is a whole window where it has as many columns as a
    one-feature network has time steps. Values outside -1..1 are scaled to 0..1 by the training rows.

    Raises:
        DataError: an unknown kind of file, too few rows or columns, NaN or infinity.
        MissingExtra: .parquet without pandas and pyarrow.
    """
    values, labels = _read_table(path)
    row_is_window = task == "detection" and network.features == 1 and values.shape[1] == network.timesteps
    if not row_is_window:
        if values.shape[1] < network.features:
            raise DataError(
                f"{str(path)!r} has {values.shape[1]} numeric columns: "
                f"network {network.name!r} reads {network.features}"
            )
        values = values[:, : network.features]
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise DataError(f"{str(path)!r}, row {row + 1}: NaN, infinity or an empty cell; remove or fill it")
    scaled, low, span = _to_unit_range(values)
    if task == "forecast":
        return _forecast(
            path.name,
            str(path),
            scaled,
            network,
            offset=float(low[0]),
            scale=float(span[0]),
            note="the user's own rows",
        )
    if row_is_window:
        cut, marks = scaled[:, :, None].astype(np.float32), labels
    else:
        cut = windows(scaled, network.timesteps)
        marks = np.asarray(windows(labels[:, None].astype(np.float32), network.timesteps).max(axis=(1, 2)) > 0)
    return _own_detection(path, cut, marks)


def _own_detection(path: Path, cut: Array, labels: NDArray[np.bool_]) -> DetectionData:
    cuts = [int(share * len(cut)) for share in np.cumsum(SHARES[:2])]
    first, second, third = np.split(cut, cuts)
    marks = np.split(labels, cuts)
    train, calibration = first[~marks[0]], second[~marks[1]]
    require_windows(path.name, training=train, calibration=calibration, test=third)
    found = bool(labels.any())
    return DetectionData(
        name=path.name,
        source=str(path),
        train=train,
        calibration=calibration,
        test=third,
        labels=marks[2],
        note="" if found else "no label column: every row counts as normal, so read the agreement, not the accuracy",
    )


def _to_unit_range(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    if not values.size or np.abs(values).max() <= 1.0:
        ones = np.ones(values.shape[1])
        return values, np.zeros_like(ones), ones
    learning = values[: max(1, int(SHARES[0] * len(values)))]
    low = learning.min(axis=0)
    span = learning.max(axis=0) - low
    span[span == 0] = 1.0
    return (values - low) / span, low, span


def _read_table(path: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _read_npy(path)
    if suffix == ".csv":
        return _from_columns(_csv_columns(path), path)
    if suffix in {".parquet", ".pq"}:
        return _from_columns(_parquet_columns(path), path)
    raise DataError(f"data file {str(path)!r} is not .csv, .npy or .parquet")


def _read_npy(path: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = read_array(path, limit_bytes=FILE_LIMIT_BYTES, error=DataError)
    if values.ndim not in (1, 2) or values.dtype.kind not in "fiub":
        raise DataError(f"{str(path)!r} does not hold one [rows] or [rows, columns] array of numbers")
    table = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    return table, np.zeros(len(table), np.bool_)


def _csv_columns(path: Path) -> dict[str, list[Any]]:
    data = read_bounded(path, limit_bytes=FILE_LIMIT_BYTES, error=DataError)
    try:
        rows = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"))) if row]
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{str(path)!r} is not a CSV text: {problem}") from None
    if not rows:
        raise DataError(f"{str(path)!r} is empty")
    width = len(rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise DataError(f"{str(path)!r}, row {number}: {len(row)} cells where the first row has {width}")
    headed = not any(_is_number(cell) for cell in rows[0])
    names = rows[0] if headed else [f"column {index}" for index in range(width)]
    body = rows[1:] if headed else rows
    return {f"{name}\0{index}": [row[index] for row in body] for index, name in enumerate(names)}


def _parquet_columns(path: Path) -> dict[str, list[Any]]:
    read_bounded(path, limit_bytes=FILE_LIMIT_BYTES, error=DataError)
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtra("pyarrow", "tables", "a .parquet file") from None
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as problem:
        raise DataError(f"{str(path)!r} is not a Parquet file: {problem}") from None
    return {f"{name}\0{index}": table.column(index).to_pylist() for index, name in enumerate(table.column_names)}


def _from_columns(columns: dict[str, list[Any]], path: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    numeric: list[NDArray[np.float64]] = []
    labels: NDArray[np.bool_] | None = None
    for key, cells in columns.items():
        name = key.split("\0")[0].strip().lower()
        if name in LABEL_COLUMNS:
            labels = np.array([_is_anomaly(cell) for cell in cells], dtype=np.bool_)
            continue
        numbers = _numbers(cells)
        if numbers is not None:
            numeric.append(numbers)
    if not numeric or not len(numeric[0]):
        raise DataError(f"{str(path)!r} has no rows of numbers")
    table = np.column_stack(numeric)
    return table, labels if labels is not None else np.zeros(len(table), np.bool_)


def _numbers(cells: list[Any]) -> NDArray[np.float64] | None:
    """Return a column as numbers, empty cells as NaN; None where it holds text."""
    try:
        return np.array([np.nan if cell is None or cell == "" else float(cell) for cell in cells], dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _is_anomaly(cell: Any) -> bool:
    text = str(cell).strip().lower()
    return float(text) != 0 if _is_number(text) else text not in {"", "normal", "false", "none", "benign"}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

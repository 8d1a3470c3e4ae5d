"""Fronts as CSV, Parquet or JSON files."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from lstmsim.errors import ConfigError, MissingExtra
from lstmsim.explore.result import Exploration
from lstmsim.files import atomic_output, write_text


def front_rows(found: Exploration) -> list[dict[str, Any]]:
    """Return one flat row a design of the front: figures in SI units, then knobs; unknown figures are None."""
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in (design.to_dict() for design in found.designs())
    ]


def write_front(found: Exploration, path: str, *, force: bool = False) -> None:
    """Write the whole front; the ending decides the format.

    Raises:
        ConfigError: another ending, or the file exists.
        MissingExtra: Parquet without pyarrow.
    """
    rows = front_rows(found)
    match Path(path).suffix.lower():
        case ".csv":
            write_text(path, _csv(rows), force=force)
        case ".json":
            document = {**found.to_dict(0), "front": rows}
            write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n", force=force)
        case ".parquet":
            _write_parquet(rows, path, force=force)
        case other:
            raise ConfigError(f"{path!r} ends in {other!r}: .csv, .parquet and .json can be written")


def _csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _write_parquet(rows: list[dict[str, Any]], path: str, *, force: bool) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("pyarrow", "tables", "writing Parquet") from None
    with atomic_output(path, force=force) as stream:
        pq.write_table(pa.Table.from_pylist(rows), stream)

"""NSL-KDD, the public network-intrusion records; the user brings a copy."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lstmsim.datasets.common import Array, DetectionData, require_windows
from lstmsim.errors import DataError
from lstmsim.files import data_folder, read_bounded, read_toml
from lstmsim.network import Network

FILE_LIMIT_BYTES = 256 * 1024 * 1024
CALIBRATION_RECORDS = 2000
SPLIT_SEED = 0
Attacks = Literal["known", "novel"]
_TRAIN_FILES = ("KDDTrain+_20Percent.txt", "KDDTrain+.txt")
_TEST_FILES = ("KDDTest+.txt",)


@dataclass(frozen=True, slots=True)
class Records:
    """values: [records, columns] in 0..1; attack: [records]."""

    values: Array
    attack: NDArray[np.bool_]


def looks_like_nslkdd(path: Path) -> bool:
    """Whether a path is a folder or a file of this data set, judged by its names."""
    if path.is_dir():
        return _find(path, _TRAIN_FILES) is not None and _find(path, _TEST_FILES) is not None
    return path.name.lower().startswith("kdd") and path.name.lower().endswith((".txt", ".txt.gz"))


def load_nslkdd(path: Path, network: Network, *, attacks: Attacks = "known") -> DetectionData:
    """Return the data that docs/accuracy.md defines, for a network of 50 to 116 columns.

    A folder gives training and calibration from the training file, test normals from the test file and, half and
    half, attacks: "known" ones from the training file or "novel" ones (the test file's own, in their own share).
    A single file is split 60/10/30.

    Raises:
        DataError: a missing or foreign file, or a network that the columns do not fit.
    """
    schema = _Schema.load()
    columns = _columns_for(network, schema)
    generator = np.random.default_rng(SPLIT_SEED)
    if path.is_dir():
        train_file, test_file = _find(path, _TRAIN_FILES), _find(path, _TEST_FILES)
        if train_file is None or test_file is None:
            raise DataError(f"folder {str(path)!r} lacks {_TRAIN_FILES[0]} or {_TEST_FILES[0]} (.gz is fine)")
        first, second = read_records(train_file, columns, schema), read_records(test_file, columns, schema)
        learning = first.values[~first.attack]
        checking = second.values[~second.attack]
        hostile = first.values[first.attack] if attacks == "known" else second.values[second.attack]
        parts = _windows(learning, network, generator)
        train, calibration = parts[: -_held_out(parts)], parts[-_held_out(parts) :]
        normal = _windows(checking, network, generator)
    else:
        records = read_records(path, columns, schema)
        parts = _windows(records.values[~records.attack], network, generator)
        cuts = np.cumsum([int(len(parts) * share) for share in (0.6, 0.1)])
        train, calibration, normal = np.split(parts, cuts)
        hostile = records.values[records.attack]
    bad = _windows(hostile, network, generator)
    if attacks == "known":
        half = min(len(normal), len(bad))
        normal, bad = normal[:half], bad[:half]
    require_windows("NSL-KDD", training=train, calibration=calibration, normal=normal, attack=bad)
    test = np.concatenate([normal, bad])
    labels = np.arange(len(test)) >= len(normal)
    order = generator.permutation(len(test))
    return DetectionData(
        name=f"nslkdd ({attacks} attacks)",
        source=schema.source,
        train=train,
        calibration=calibration,
        test=np.ascontiguousarray(test[order]),
        labels=labels[order],
        note=schema.licence,
    )


@dataclass(frozen=True, slots=True)
class _Schema:
    features: tuple[str, ...]
    protocols: tuple[str, ...]
    flags: tuple[str, ...]
    services: tuple[str, ...]
    order: tuple[str, ...]
    maximum: dict[str, float]
    source: str
    licence: str

    @classmethod
    def load(cls) -> _Schema:
        table: dict[str, Any] = read_toml(data_folder("datasets") / "nslkdd.toml", error=DataError)
        lists = {key: tuple(table[key]) for key in ("features", "protocols", "flags", "services", "order")}
        return cls(maximum=table["maximum"], source=table["source"], licence=table["licence"], **lists)

    @property
    def base_columns(self) -> int:
        return len(self.maximum) + len(self.protocols) + len(self.flags)


def _columns_for(network: Network, schema: _Schema) -> int:
    columns = network.timesteps if network.features == 1 else network.features
    low, high = schema.base_columns, schema.base_columns + len(schema.services)
    if not low <= columns <= high:
        raise DataError(
            f"network {network.name!r} reads {columns} columns but NSL-KDD gives {low} to {high}: "
            "use --data synthetic for this network"
        )
    return columns


def read_records(path: Path, columns: int, schema: _Schema | None = None) -> Records:
    """Read a file of 41 features, a label and perhaps a difficulty score; .gz is unpacked.

    Raises:
        DataError: not such a file, with the line's number.
    """
    known = schema or _Schema.load()
    rows = list(csv.reader(io.StringIO(_text(path))))
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, 1):
        if len(row) not in (len(known.features) + 1, len(known.features) + 2):
            raise DataError(f"{str(path)!r}, line {number}: {len(row)} fields where NSL-KDD has 42 or 43")
    if not rows:
        raise DataError(f"{str(path)!r} holds no records")
    by_name = {name: [row[index] for row in rows] for index, name in enumerate(known.features)}
    services = known.services[: columns - known.base_columns]
    made = {name: _scaled(by_name[name], name, maximum, path) for name, maximum in known.maximum.items()}
    for name, words in (("protocol_type", known.protocols), ("flag", known.flags), ("service", services)):
        texts = np.array(by_name[name])
        made |= {f"{name}={word}": (texts == word).astype(np.float64) for word in words}
    values = np.column_stack([made[name] for name in known.order if name in made])
    labels = np.array([row[len(known.features)].strip().rstrip(".") for row in rows])
    return Records(values.astype(np.float32), labels != "normal")


def _scaled(texts: list[str], name: str, maximum: float, path: Path) -> NDArray[np.float64]:
    try:
        values = np.array(texts, dtype=np.float64)
    except ValueError as problem:
        raise DataError(f"{str(path)!r}, column {name}: {problem}") from None
    if not np.isfinite(values).all() or (values < 0).any():
        raise DataError(f"{str(path)!r}, column {name}: a value is negative or not finite")
    scaled = np.log1p(values) / np.log1p(maximum) if maximum > 1 else values
    return np.clip(scaled, 0.0, 1.0)


def _windows(records: Array, network: Network, generator: np.random.Generator) -> Array:
    """Cut windows and shuffle them: a record is a window, or successive records of one kind are."""
    per_window = 1 if network.features == 1 else network.timesteps
    count = len(records) // per_window
    cut = records[: count * per_window].reshape(count, network.timesteps, network.features)
    return np.ascontiguousarray(cut[generator.permutation(count)])


def _held_out(parts: Array) -> int:
    return min(CALIBRATION_RECORDS, max(1, len(parts) // 5))


def _find(folder: Path, names: tuple[str, ...]) -> Path | None:
    for name in names:
        for candidate in (folder / name, folder / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    return None


def _text(path: Path) -> str:
    data = read_bounded(path, limit_bytes=FILE_LIMIT_BYTES, error=DataError)
    if path.suffix == ".gz":
        try:
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(FILE_LIMIT_BYTES + 1)
        except (OSError, EOFError, zlib.error) as problem:
            raise DataError(f"{str(path)!r} is not a gzip file: {problem}") from None
        if len(data) > FILE_LIMIT_BYTES:
            raise DataError(f"{str(path)!r} unpacks to more than {FILE_LIMIT_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{str(path)!r} is not text") from None

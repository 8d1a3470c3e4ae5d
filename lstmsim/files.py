"""Reading and writing files safely: bounded, atomic, never over what the user had."""

from __future__ import annotations

import io
import math
import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

from lstmsim.errors import ConfigError, LstmsimError, nearest

TEXT_LIMIT_BYTES = 4 * 1024 * 1024


def data_folder(kind: str) -> Traversable:
    """Return the package's data folder of one kind: "networks", "devices", "calibrations", "weights"."""
    return resources.files("lstmsim") / "data" / kind


def read_bounded(
    path: str | os.PathLike[str] | Traversable,
    *,
    limit_bytes: int = TEXT_LIMIT_BYTES,
    error: type[LstmsimError] = ConfigError,
) -> bytes:
    """Return a file's bytes.

    Raises:
        LstmsimError: (of the class given) the file is missing, unreadable or above the limit.
    """
    source = Path(path) if isinstance(path, str | os.PathLike) else path
    try:
        with source.open("rb") as stream:
            data: bytes = stream.read(limit_bytes + 1)
    except OSError as problem:
        raise error(f"cannot read {str(path)!r}: {problem.strerror or problem}") from None
    except ValueError as problem:
        raise error(f"cannot read {str(path)!r}: {problem}") from None
    if len(data) > limit_bytes:
        raise error(f"{str(path)!r} is larger than {limit_bytes:,} bytes, the limit for this kind of file")
    return data


def read_text(
    path: str | os.PathLike[str] | Traversable,
    *,
    limit_bytes: int = TEXT_LIMIT_BYTES,
    error: type[LstmsimError] = ConfigError,
) -> str:
    """Return a UTF-8 file's text; errors as in `read_bounded`, also for other encodings."""
    try:
        return read_bounded(path, limit_bytes=limit_bytes, error=error).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{str(path)!r} is not UTF-8 text (byte {problem.start}): save it as UTF-8") from None


def read_array(
    path: str | os.PathLike[str] | Traversable, *, limit_bytes: int, error: type[LstmsimError] = ConfigError
) -> Any:
    """Return the array in a .npy file, read-only. Nothing is unpickled, and memory stays within the file's size.

    Raises:
        LstmsimError: (of the class given) no such file, above the limit, or no array of plain values.
    """
    data = read_bounded(path, limit_bytes=limit_bytes, error=error)
    try:
        return _array_in(data)
    except (ValueError, TypeError, SyntaxError, EOFError, OverflowError, RecursionError, TokenError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise error(f"{str(path)!r} is not an array file (.npy of numbers): {reason}") from None


def _array_in(data: bytes) -> Any:
    import numpy as np

    stream = io.BytesIO(data)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    if version not in readers:
        raise ValueError(f"version {version} of the format is not known")
    shape, is_fortran, kind = readers[version](stream)
    size = len(data) - stream.tell()
    if kind.hasobject:
        raise ValueError("Python objects are not read")
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != size:
        raise ValueError(f"{size} bytes of values do not make an array of {shape} {kind}")
    values = np.frombuffer(data, kind, count=math.prod(shape), offset=stream.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")


def read_toml(path: str | os.PathLike[str] | Traversable, *, error: type[LstmsimError] = ConfigError) -> dict[str, Any]:
    """Return a TOML file's table; errors as in `read_text`, also for wrong syntax."""
    try:
        return tomllib.loads(read_text(path, error=error))
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise error(f"{str(path)!r} is not valid TOML: {problem}") from None


def check_keys(
    table: Mapping[str, Any],
    known: Mapping[str, Any] | set[str],
    where: str,
    error: type[LstmsimError] = ConfigError,
) -> None:
    """Raise on the first key that is not known, naming the nearest one."""
    for key in table:
        if key not in known:
            raise error(f"{where}: unknown key {key!r}. {nearest(key, known)}")


@contextmanager
def atomic_output(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[BinaryIO]:
    """Open a binary stream whose content replaces `path` only when the block ends without an error.

    Raises:
        ConfigError: the file exists and `force` is false, or its folder cannot be written.
    """
    target = Path(path)
    refuse_existing(target, force=force)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as problem:
        raise ConfigError(f"cannot write {str(path)!r}: {problem.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        os.chmod(temporary, 0o666 & ~_umask())
        if force:
            os.replace(temporary, target)
        else:
            _link_new(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes, *, force: bool = False) -> None:
    """Write a file atomically; see `atomic_output`."""
    with atomic_output(path, force=force) as stream:
        stream.write(data)


def write_text(path: str | os.PathLike[str], text: str, *, force: bool = False) -> None:
    """Write a UTF-8 file atomically; see `atomic_output`."""
    write_bytes(path, text.encode("utf-8"), force=force)


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raise ConfigError where `path` exists and `force` is false."""
    if path.is_dir():
        raise ConfigError(f"{str(path)!r} is a folder: name a file")
    if path.exists() and not force:
        raise ConfigError(f"{str(path)!r} exists: choose another name or add --force")


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _link_new(temporary: str, target: Path) -> None:
    """Move into place, refusing a file that appeared meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        refuse_existing(target, force=False)
        raise
    except OSError:  # a file system without hard links
        refuse_existing(target, force=False)
        os.replace(temporary, target)
        return
    os.unlink(temporary)

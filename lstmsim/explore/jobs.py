"""Heavy jobs on any executor: each runs once, results are kept as they come, an interrupted sweep resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path
from typing import Any, TextIO

from lstmsim.errors import ConfigError
from lstmsim.files import read_text

CHECKPOINT_LIMIT_BYTES = 256 * 1024 * 1024
Progress = Callable[[int], None]


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the results of a checkpoint by key; a last line that a crash cut off is left out.

    Raises:
        ConfigError: a file that is no checkpoint, or holds two results for one key.
    """
    lines = read_text(path, limit_bytes=CHECKPOINT_LIMIT_BYTES).split("\n")
    found: dict[str, Any] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
        except (ValueError, TypeError, KeyError):
            if number == len(lines):
                break
            raise ConfigError(f"{str(path)!r}, line {number} is not a result of a sweep: name another file") from None
        if key in found and found[key] != value:
            raise ConfigError(f"{str(path)!r} holds two results for {key}")
        found[key] = value
    return found


def run_jobs(
    function: Callable[..., Any],
    tasks: Mapping[str, tuple[Any, ...]],
    executor: Executor,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return function(*arguments) by key for every task; results must be JSON values.

    Tasks whose results are in the checkpoint do not run again, and every result is on disk before the next is taken.
    The first error cancels what has not begun and is raised; what was done stays in the checkpoint.
    """
    known = _known(checkpoint, tasks)
    if progress is not None and known:
        progress(len(known))
    waiting: dict[Future[Any], str] = {
        executor.submit(function, *arguments): key for key, arguments in tasks.items() if key not in known
    }
    stream = _open(checkpoint) if checkpoint is not None and waiting else None
    try:
        for future in as_completed(waiting):
            key = waiting[future]
            known[key] = future.result()
            if stream is not None:
                _append(stream, key, known[key])
            if progress is not None:
                progress(1)
    except BaseException:
        for future in waiting:
            future.cancel()
        if stream is not None:
            for key, value in _finished(waiting).items():
                if key not in known:
                    _append(stream, key, value)
        raise
    finally:
        if stream is not None:
            stream.close()
    return {key: known[key] for key in tasks}


def _finished(futures: Mapping[Future[Any], str]) -> dict[str, Any]:
    """Return the results that are there, whether or not they were taken."""
    done = {future: key for future, key in futures.items() if future.done() and not future.cancelled()}
    return {key: future.result() for future, key in done.items() if future.exception() is None}


def _known(checkpoint: str | os.PathLike[str] | None, tasks: Mapping[str, Any]) -> dict[str, Any]:
    if checkpoint is None or not Path(checkpoint).exists():
        return {}
    return {key: value for key, value in read_checkpoint(checkpoint).items() if key in tasks}


def _open(checkpoint: str | os.PathLike[str]) -> TextIO:
    """Open a checkpoint to add to it, without a half-written last line."""
    path = Path(checkpoint)
    try:
        if path.exists():
            kept = path.read_bytes()
            whole = kept[: kept.rfind(b"\n") + 1]
            if whole != kept:
                with path.open("r+b") as cut:
                    cut.truncate(len(whole))
        return path.open("a", encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"cannot write {str(path)!r}: {problem.strerror}") from None


def _append(stream: TextIO, key: str, value: Any) -> None:
    stream.write(json.dumps({"key": key, "value": value}) + "\n")
    stream.flush()
    os.fsync(stream.fileno())

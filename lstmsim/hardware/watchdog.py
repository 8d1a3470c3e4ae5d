"""A limit for work that may hang inside a driver, where no exception can reach it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 2


@contextmanager
def time_limit(limit_s: float, what: str) -> Iterator[None]:
    """End the process with one line and exit code 2 when the block takes longer than `limit_s` seconds."""
    timer = threading.Timer(limit_s, _end, [f"Error: {what} did not end within {limit_s:g} s: process ended\n"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end(message: str) -> None:
    sys.stderr.write(message)
    sys.stderr.flush()
    os._exit(EXIT_CODE)

"""What two processes that share nothing gain over one: all that a second core of this machine gives, whoever else runs.

A command prints a line when it is ready, waits for a line, works and prints the seconds that it took.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def independent_speedup(arguments: list[str], runs: int) -> float:
    """Return how much more two processes of `python ARGUMENTS` get done in a second than one; median of paired runs."""
    return statistics.median(2 * _longest_s(arguments, 1) / _longest_s(arguments, 2) for _ in range(runs))


def work_on_command(work: Callable[[], Any]) -> None:
    """Say when ready, wait for a line, work and print the seconds."""
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    work()
    print(time.perf_counter() - started)


def _longest_s(arguments: list[str], count: int) -> float:
    processes = [
        subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    return max(float(process.communicate()[0]) for process in processes)

"""How fast the command line answers: a cold estimate against importing numpy and click, medians of paired runs."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

BASE = [sys.executable, "-c", "import numpy, click"]
ESTIMATE = [sys.executable, "-m", "lstmsim", "estimate", "--device", "zcu104"]
LIMIT = 2.5


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    seconds(BASE), seconds(ESTIMATE)
    pairs = [(seconds(BASE), seconds(ESTIMATE)) for _ in range(runs)]
    base, estimate = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = estimate / base
    print(f"import numpy, click        {base * 1e3:7.0f} ms")
    print(f"lstmsim estimate (zcu104)  {estimate * 1e3:7.0f} ms")
    print(f"ratio {ratio:.2f}, limit {LIMIT}: {'within' if ratio <= LIMIT else 'above'}")


if __name__ == "__main__":
    main()

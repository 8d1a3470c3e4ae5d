"""A short run of tests/fuzz/run.py; the long one is `python tests/fuzz/run.py`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "fuzz" / "run.py"
CASES = 300


def test_no_traceback_and_no_hang() -> None:
    description = importlib.util.spec_from_file_location("fuzz_run", SCRIPT)
    assert description
    assert description.loader
    fuzz_run = importlib.util.module_from_spec(description)
    sys.modules["fuzz_run"] = fuzz_run
    description.loader.exec_module(fuzz_run)
    counts, failures = fuzz_run.fuzz(CASES, seed=1)
    assert failures == []
    assert counts.total() == CASES
    assert len(counts) >= 10

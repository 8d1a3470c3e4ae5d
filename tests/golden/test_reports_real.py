"""Real reports of public kernels, where they lie beside the project: read all, put the kernels together again."""

from __future__ import annotations

import importlib.util
import statistics
import sys
from pathlib import Path

import pytest

pytest.importorskip("defusedxml", reason="the extra reports is not installed")

from lstmsim.errors import ReportError
from lstmsim.reports.nest import ModuleNode, build_nest
from lstmsim.reports.read import read_report, read_reports
from lstmsim.reports.types import Report
from lstmsim.reports.whatif import Changes, what_if

ROOT = Path(__file__).parents[2] / ".." / "shared" / "hls-reports"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="no folder ../shared/hls-reports")


def _syntheses() -> list[Report]:
    found = []
    for folder in sorted({path.parent for path in ROOT.rglob("*_csynth.*")}):
        report = read_reports(folder).synthesis
        assert report is not None
        found.append(report)
    return found


def _modules() -> list[ModuleNode]:
    return [module for report in _syntheses() for module in build_nest(report).modules.values()]


def test_every_file_is_read_or_rightly_refused() -> None:
    read, refused = 0, {}
    for path in sorted(path for path in ROOT.rglob("*") if path.is_file()):
        try:
            report = read_report(path)
        except ReportError as problem:
            refused[path.name] = str(problem)
            continue
        read += 1
        assert report.kind != "csynth" or (report.version and report.part and report.resources)
        assert report.kind != "utilization" or {"lut", "ff", "dsp", "bram18"} <= set(report.resources)
    assert read > 250
    assert "not a report that is read here" in refused.pop("README.md")
    assert all("clock_utilization" in name and "clock utilization" in reason for name, reason in refused.items())


def test_loops_obey_the_rules() -> None:
    modules = [module for module in _modules() if module.body.loops and module.error is not None]
    errors = [abs(module.error) for module in modules if module.error is not None]
    assert len(errors) > 50
    assert statistics.median(errors) <= 0.005
    assert sum(error <= 0.02 for error in errors) >= 0.9 * len(errors)
    assert all(module.reason for module in modules if abs(module.error or 0.0) > 0.02)


def test_top_latency_from_the_innermost_loops() -> None:
    tops = [build_nest(report).modules[report.top] for report in _syntheses()]
    errors = [abs(top.deep_error) for top in tops if top.deep_error is not None]
    assert len(errors) >= 15
    assert statistics.median(errors) <= 0.005


def test_nothing_changed_is_the_report() -> None:
    for report in _syntheses():
        result = what_if(build_nest(report), Changes())
        assert result.after == result.before


def test_files_of_one_module_agree() -> None:
    """XML and text of the same module say the same."""
    compared = 0
    for path in sorted(ROOT.rglob("*_csynth.xml")):
        twin = path.with_suffix(".rpt")
        if not twin.exists():
            continue
        first, second = read_report(path), read_report(twin)
        assert first.latency == second.latency
        assert first.resources == {name: second.resources.get(name, 0.0) for name in first.resources}
        loops, others = first.modules[first.top].loops, second.modules[second.top].loops
        assert [(loop.trips, loop.ii, loop.latency) for loop in loops] == [
            (loop.trips, loop.ii, loop.latency) for loop in others
        ]
        compared += 1
    assert compared > 100


@pytest.mark.slow
def test_the_validation_page_is_the_generated_one() -> None:
    place = Path(__file__).parents[2] / "calibration" / "foreign_kernels.py"
    spec = importlib.util.spec_from_file_location("foreign_kernels", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["foreign_kernels"] = module
    spec.loader.exec_module(module)
    assert module.document(ROOT) == module.TARGET.read_text(encoding="utf-8")

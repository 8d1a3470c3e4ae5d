"""Reports as rows of measurements: one row a stage, never two stages in one row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from lstmsim.device import FpgaDevice, device_names, load_device
from lstmsim.errors import CalibrationError, LstmsimError
from lstmsim.measurements import RESOURCES, Measurement
from lstmsim.reports.read import ReportSet
from lstmsim.reports.types import Report

_STAGES = {
    "csynth": "csynth",
    "system-estimate": "csynth",
    "utilization": "route",
    "place-and-route": "route",
    "timing": "route",
    "run-summary": "board",
}
_RANK = {"csynth": 0, "system-estimate": 1, "place-and-route": 0, "utilization": 1, "timing": 2, "run-summary": 0}


def rows_from_reports(
    found: ReportSet,
    *,
    network: str,
    device: str | None = None,
    knobs: Mapping[str, str] | None = None,
    batch: int = 1,
    name: str | None = None,
    stage: str | None = None,
) -> list[Measurement]:
    """Return one row for each stage that the reports cover: csynth, route (resources), board (mean time).

    Co-simulation has no row: it checks csynth's cycles. Utilization before placement is no routed count.

    Raises:
        CalibrationError: no figure in the reports, or a part that no known device has (then `device` is needed).
    """
    reports = [*([found.synthesis] if found.synthesis else []), *found.others]
    by_stage: dict[str, list[Report]] = {}
    for report in reports:
        if report.kind in _STAGES and report.status.lower() != "synthesized":
            by_stage.setdefault(_STAGES[report.kind], []).append(report)
    if stage is not None:
        by_stage = {key: value for key, value in by_stage.items() if key == stage}
    board = device or _device_of(reports)
    rows = [
        _row(
            key, sorted(members, key=lambda report: _RANK[report.kind]), network, board, dict(knobs or {}), batch, name
        )
        for key, members in by_stage.items()
    ]
    rows = [row for row in rows if row.latency_s is not None or row.resources]
    if not rows:
        wanted = f" of stage {stage}" if stage else ""
        raise CalibrationError(f"the reports hold no latency and no resources{wanted} to measure by")
    return rows


def _row(
    stage: str, reports: list[Report], network: str, device: str, knobs: dict[str, str], batch: int, name: str | None
) -> Measurement:
    main = reports[0]
    latency, note = _latency(main)
    resources = next((report.resources for report in reports if report.resources), {})
    clock = next((report.clock_s for report in reports if report.clock_s), None)
    reached = next((report.clock_estimate_s for report in reports if report.clock_estimate_s), None)
    if stage == "csynth" and latency is not None and clock and "clock_hz" not in knobs:
        knobs["clock_hz"] = f"{1 / clock:.9g}"
    extra = {
        "tool": f"{main.tool} {main.version}".strip(),
        "source": f"{main.kind} report of {main.top or Path(main.path).name}",
        "note": note,
        "clock_seen_hz": f"{1 / reached:.6g}" if reached else "",
    }
    return Measurement(
        id=name if name else f"{stage}-{main.top or 'kernel'}-{device}",
        device=device,
        network=network,
        stage=stage,
        batch=batch,
        knobs=knobs,
        latency_s=latency,
        resources={key: value for key, value in resources.items() if key in RESOURCES},
        extra={key: value for key, value in extra.items() if value},
    )


def _latency(report: Report) -> tuple[float | None, str]:
    """Return seconds and a remark: cycles at the clock that the kernel would run at, or the mean of measured runs."""
    if report.runs:
        run = report.runs[0]
        return run.mean_s, f"mean of {run.count} runs of {run.kernel}"
    high, clock = report.latency.high, report.clock_s
    if high is None or clock is None or high <= 0:
        return None, ""
    if report.latency.low not in (None, high):
        return high * clock, f"largest of {report.latency.low:.0f} to {high:.0f} cycles"
    return high * clock, f"{high:.0f} cycles"


def _device_of(reports: Iterable[Report]) -> str:
    """Return the known device whose part the reports name."""
    parts = [part for report in reports if (part := report.part)]
    for part in parts:
        for name in device_names():
            if _same_part(part, name):
                return name
    shown = repr(parts[0]) if parts else "no part"
    raise CalibrationError(f"the reports name {shown}, which no known device has: give --device")


def _same_part(part: str, name: str) -> bool:
    """Compare without package and speed grade: "xczu7ev-ffvc1156-2-e" and "xczu7evffvc1156-2" are one part."""
    try:
        device = load_device(name)
    except LstmsimError:
        return False
    if not isinstance(device, FpgaDevice):
        return False
    if name in re.split(r"[^a-z0-9]+", part.lower()):  # a platform, such as xilinx_u280_gen3x16_xdma_1
        return True
    given = "".join(character for character in part.lower() if character.isalnum())
    given = given if given.startswith("xc") else f"xc{given}"
    known = "".join(character for character in device.part.lower() if character.isalnum())
    die = _die(device.part)
    return given.startswith(die) and (len(given) == len(die) or given[: len(die) + 1] == known[: len(die) + 1])


def _die(part: str) -> str:
    """Return the die of a part's name: "xczu7ev" of "xczu7ev-ffvc1156-2-e", "xc7z020" of "xc7z020clg400-1"."""
    found = re.match(r"(xc[a-z0-9]*?)(?:-|[a-z]{2,5}[0-9]{3,4}(?:-|$))", part.lower())
    return found[1] if found else part.lower()

"""Reports of Vivado: utilization, timing summary, and the place-and-route summary that HLS exports."""

from __future__ import annotations

import re

from lstmsim.errors import ReportError
from lstmsim.reports.cells import fields_of, number, seconds, tables
from lstmsim.reports.types import Report

# row of a utilization table -> (resource, how many of ours one of theirs is); the first row that matches counts
_SITES = {
    "slice luts": ("lut", 1),
    "clb luts": ("lut", 1),
    "lut as memory": ("lutram", 1),
    "slice registers": ("ff", 1),
    "clb registers": ("ff", 1),
    "registers": ("ff", 1),
    "block ram tile": ("bram18", 2),  # a tile is a RAMB36
    "uram": ("uram", 1),
    "dsps": ("dsp", 1),
    "dsp slices": ("dsp", 1),
}
_HIERARCHY_COLUMNS = {
    "total luts": ("lut", 1),
    "lutrams": ("lutram", 1),
    "srls": ("lutram", 1),
    "ffs": ("ff", 1),
    "ramb36": ("bram18", 2),
    "ramb18": ("bram18", 1),
    "uram": ("uram", 1),
    "dsp blocks": ("dsp", 1),
    "dsp48 blocks": ("dsp", 1),
    "dsp slices": ("dsp", 1),
}
_KERNEL_COLUMNS = {"lut": ("lut", 1), "lutasmem": ("lutram", 1), "reg": ("ff", 1), "bram": ("bram18", 2)}
_KERNEL_COLUMNS |= {"uram": ("uram", 1), "dsp": ("dsp", 1)}
_PNR_KEYS = {"LUT": "lut", "FF": "ff", "DSP": "dsp", "BRAM": "bram18", "URAM": "uram", "SRL": "srl"}
_FLOAT = r"(-?[0-9]{1,12}\.[0-9]{1,6})"


def read_utilization(text: str, where: str) -> Report:
    """Return the counts of `report_utilization`; block RAM tiles are counted as two BRAM18.

    Raises:
        ReportError: none of the known rows.
    """
    lines = text.splitlines()
    head = fields_of(lines)
    used: dict[str, float] = {}
    available: dict[str, float] = {}
    for _start, blocks in tables(lines):
        names = [cell.strip().lower() for cell in blocks[0][-1]]
        if "total luts" in names and len(blocks) > 1 and not used:
            used = _hierarchy_counts(names, blocks[1][0])
        if names[:2] != ["site type", "used"]:
            continue
        column = names.index("available") if "available" in names else None
        for row in (row for block in blocks[1:] for row in block):
            site = _SITES.get(row[0].strip().rstrip("*").strip().lower())
            count = number(row[1]) if len(row) == len(names) else None
            if site is None or count is None or site[0] in used:
                continue
            used[site[0]] = count * site[1]
            total = number(row[column]) if column is not None else None
            if total is not None:
                available[site[0]] = total * site[1]
    if not used:
        raise ReportError(f"{where}: a utilization report without any of the known rows: is it cut off?")
    return Report(
        kind="utilization",
        path=where,
        tool="Vivado",
        version=_vivado_version(head),
        part=head.get("device", ""),
        top=head.get("design", ""),
        status=head.get("design state", ""),
        resources=used,
        available=available,
    )


def _hierarchy_counts(names: list[str], row: list[str]) -> dict[str, float]:
    """Return the counts of the top instance in a table "Utilization by Hierarchy", its first row."""
    counts: dict[str, float] = {}
    for name, cell in zip(names, row, strict=False):
        ours, value = _HIERARCHY_COLUMNS.get(name), number(cell)
        if ours and value is not None:
            counts[ours[0]] = counts.get(ours[0], 0.0) + value * ours[1]
    return counts


def _vivado_version(head: dict[str, str]) -> str:
    found = re.search(r"v\.?([0-9]{4}\.[0-9])", head.get("tool version", ""))
    return found[1] if found else ""


def read_kernel_utilization(text: str, where: str) -> Report:
    """Return Vitis' table of the linked design: user budget, and what each kernel uses.

    Raises:
        ReportError: no row with counts.
    """
    lines = text.splitlines()
    used: dict[str, float] = {}
    budget: dict[str, float] = {}
    top = ""
    for _start, blocks in tables(lines):
        names = [cell.strip().lower() for cell in blocks[0][-1]]
        if "lutasmem" not in names:
            continue
        for row in (row for block in blocks[1:] for row in block):
            label = row[0].strip()
            counts = {
                ours[0]: value * ours[1]
                for name, cell in zip(names, row, strict=False)
                if (ours := _KERNEL_COLUMNS.get(name)) and (value := number(cell.split("[")[0])) is not None
            }
            if label.lower() == "user budget":
                budget = counts
            elif label.lower() == "used resources":
                used = counts
            elif not top and label.lower() not in ("platform", "unused resources") and not label.startswith("("):
                top, used = label, used or counts
        break
    if not used:
        raise ReportError(f"{where}: a kernel utilization table without the resources used")
    return Report(
        kind="utilization",
        path=where,
        tool="Vitis",
        version=_vivado_version(fields_of(lines)),
        part=fields_of(lines).get("device", ""),
        top=top,
        resources=used,
        available=budget,
        notes=("shares are of the platform's user budget",),
    )


def read_timing(text: str, where: str) -> Report:
    """Return the clock of `report_timing_summary`: the period asked for, and period - slack as the one reached.

    Raises:
        ReportError: no clock with a period, or no slack.
    """
    head = fields_of(text.splitlines())
    periods = {
        found[1]: float(found[2])
        for found in re.finditer(
            rf"^ *(\S{{1,200}}) +\{{[^}}\n]{{1,200}}\}} +{_FLOAT} +{_FLOAT} *$", text, re.MULTILINE
        )
    }
    summary = text.partition("Intra Clock Table")[2].partition("Inter Clock Table")[0]
    slacks = {
        found[1]: float(found[2])
        for found in re.finditer(rf"^ *(\S{{1,200}}) +{_FLOAT} +{_FLOAT} +[0-9]", summary, re.MULTILINE)
        if found[1] in periods
    }
    if not slacks:
        raise ReportError(f"{where}: a timing report without a clock that has both a period and a slack")
    kernels = [name for name in slacks if "kernel" in name.lower()]  # a platform has clocks of its own
    clock = min(kernels or slacks, key=lambda name: slacks[name])
    period, slack = periods[clock], slacks[clock]
    if not 0 < period < 1e6 or not period - slack > 0:
        raise ReportError(f"{where}: clock {clock!r} has the period {period} ns and the slack {slack} ns")
    return Report(
        kind="timing",
        path=where,
        tool="Vivado",
        version=_vivado_version(head),
        part=head.get("device", ""),
        top=head.get("design", ""),
        status="met" if slack >= 0 else "not met",
        clock_target_s=period * 1e-9,
        clock_estimate_s=(period - slack) * 1e-9,
        notes=(f"clock {clock}, worst slack {slack} ns",),
    )


def read_place_and_route(text: str, where: str) -> Report:
    """Return the summary that HLS writes after `export_design`, old style or new; its BRAM are BRAM18.

    Raises:
        ReportError: no resource line.
    """
    used = {}
    for key, name in _PNR_KEYS.items():
        found = re.search(rf"^{key}: +([0-9]{{1,15}}) *$", text, re.MULTILINE)
        if found:
            used[name] = float(found[1])
    if not used:
        raise ReportError(f"{where}: a place-and-route summary without resource counts: is it cut off?")
    used.pop("srl", None)
    head = fields_of(text.splitlines())
    target = _row(text, "Target") or head.get("cp required")
    reached = _row(text, "Post-Route") or head.get("cp achieved post-implementation")
    reached = reached or _row(text, "Post-Synthesis") or head.get("cp achieved post-synthesis")
    version = re.search(r"([0-9]{4}\.[0-9])", head.get("version", "") or head.get("implementation tool", ""))
    met = "Timing was met" in text
    return Report(
        kind="place-and-route",
        path=where,
        tool="Vivado",
        version=version[1] if version else "",
        part=head.get("target device", "") or head.get("device target", ""),
        top=head.get("project", ""),
        status="met" if met else "not met" if "Timing was not met" in text else "",
        clock_target_s=seconds(target),
        clock_estimate_s=seconds(reached),
        resources=used,
    )


def _row(text: str, label: str) -> str | None:
    found = re.search(rf"^\| {label} +\| +([0-9.]{{1,12}}) *\|", text, re.MULTILINE)
    return found[1] if found else None

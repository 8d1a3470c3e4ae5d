"""Reports from beside the synthesis: co-simulation, Vitis' system estimate, xclbin.info and XRT's run summaries."""

from __future__ import annotations

import re

from lstmsim.errors import ReportError
from lstmsim.reports.cells import fields_of, number, ordered, whole
from lstmsim.reports.types import UNKNOWN, KernelRun, Module, Report

_MS = 1e-3
RUNS_LIMIT = 10_000


def read_cosim(text: str, where: str) -> Report:
    """Return the latency that RTL simulation saw; unknown where it failed or did not run.

    Raises:
        ReportError: no table of VHDL and Verilog.
    """
    statuses: dict[str, list[str]] = {}
    for row in _cosim_rows(text):
        statuses[row[0].strip()] = [cell.strip() for cell in row]
    if not statuses:
        raise ReportError(f"{where}: a co-simulation report without its table: is it cut off?")
    passed = next((row for row in statuses.values() if row[1].lower() == "pass"), None)
    latency, interval = UNKNOWN, UNKNOWN
    if passed:
        latency = whole(ordered(number(passed[2]), number(passed[4])))
        interval = whole(ordered(number(passed[5]), number(passed[7])))
    words = ", ".join(f"{rtl} {row[1]}" for rtl, row in statuses.items())
    return Report(
        kind="cosim",
        path=where,
        tool="HLS co-simulation",
        status="Pass" if passed else "Fail" if any(row[1].lower() == "fail" for row in statuses.values()) else "NA",
        latency=latency,
        interval=interval,
        notes=(words,),
    )


def _cosim_rows(text: str) -> list[list[str]]:
    rows = [list(line.strip().strip("|").split("|")) for line in text.splitlines() if "|" in line]
    return [row for row in rows if len(row) >= 8 and row[0].strip().lower() in ("vhdl", "verilog")]


def read_system_estimate(text: str, where: str) -> Report:
    """Return Vitis' `system_estimate.xtxt`: clock, latency and area of every module of the first compute unit.

    Raises:
        ReportError: no table of timing or latency.
    """
    lines = text.splitlines()
    head = fields_of(lines, limit=40)
    timing = _columns(lines, "Timing Information (MHz)")
    latency = _columns(lines, "Latency Information")
    area = _columns(lines, "Area Information")
    if not timing and not latency:
        raise ReportError(f"{where}: a system estimate without its timing and latency tables: is it cut off?")
    first = (timing or latency)[0]
    unit, kernel = first.get("compute unit", ""), first.get("kernel name", "")
    if not unit or not kernel:
        raise ReportError(f"{where}: a system estimate without the columns Compute Unit and Kernel Name")
    areas = {row.get("module name", ""): _area(row) for row in area if row.get("compute unit") == unit}
    modules: dict[str, Module] = {}
    for row in latency:
        if row.get("compute unit") != unit or not row.get("module name"):
            continue
        name = row["module name"]
        start = row.get("start interval", "").partition("~")
        modules[name] = Module(
            name=name,
            latency=whole(ordered(number(row.get("best (cycles)")), number(row.get("worst (cycles)")))),
            interval=whole(ordered(number(start[0]), number(start[2] or start[0]))),
            clock_estimate_s=_estimated(timing, unit, name),
            resources=areas.get(name, {}),
        )
    top = modules.get(kernel, Module(name=kernel))
    target_mhz = number((timing[0] if timing else {}).get("target frequency"))
    return Report(
        kind="system-estimate",
        path=where,
        tool="Vitis",
        version=_first(r"v(20[0-9]{2}\.[0-9])", text),
        part=head.get("target device", ""),
        top=kernel,
        clock_target_s=1e-6 / target_mhz if target_mhz else None,
        clock_estimate_s=top.clock_estimate_s or _estimated(timing, unit, kernel),
        latency=top.latency,
        interval=top.interval,
        modules=modules,
        resources=top.resources or areas.get(kernel, {}),
        notes=(f"compute unit {unit}",),
    )


def _columns(lines: list[str], title: str) -> list[dict[str, str]]:
    """Return the first table below a title as rows by column; columns lie where the dashes do."""
    start = next((index for index, line in enumerate(lines) if line.strip() == title), None)
    if start is None or start + 2 >= len(lines):
        return []
    rule = lines[start + 2]
    if not rule.strip() or rule.strip("- "):
        return []
    cuts = [(found.start(), found.end()) for found in re.finditer(r"-+", rule)]
    ends = [cut[0] for cut in cuts[1:]] + [None]
    names = [lines[start + 1][cut[0] : end].strip().lower() for cut, end in zip(cuts, ends, strict=True)]
    rows = []
    for line in lines[start + 3 :]:
        if not line.strip():
            break
        cells = [line[cut[0] : end].strip() for cut, end in zip(cuts, ends, strict=True)]
        rows.append(dict(zip(names, cells, strict=True)))
    return rows


def _area(row: dict[str, str]) -> dict[str, float]:
    names = {"ff": "ff", "lut": "lut", "dsp": "dsp", "bram": "bram18", "uram": "uram"}
    return {ours: value for theirs, ours in names.items() if (value := number(row.get(theirs))) is not None}


def _estimated(timing: list[dict[str, str]], unit: str, module: str) -> float | None:
    for row in timing:
        if row.get("compute unit") == unit and row.get("module name") == module:
            mhz = number(row.get("estimated frequency"))
            return 1e-6 / mhz if mhz else None
    return None


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""


def read_xclbin_info(text: str, where: str) -> Report:
    """Return what `xclbinutil --info` prints: shell, part, kernels and the clock that the kernel got.

    Raises:
        ReportError: no clock.
    """
    head = fields_of(text.splitlines(), limit=400)
    asked, reached = _kernel_clock_mhz(text)
    data = re.findall(r"Type: *DATA\s{1,80}Frequency: *([0-9]{1,6}(?:\.[0-9]{1,6})?) *MHz", text)
    clock = reached or next((float(mhz) for mhz in data if float(mhz) > 0), None)
    if not clock:
        raise ReportError(f"{where}: xclbin information without the frequency of a data clock")
    target = asked or clock
    return Report(
        kind="xclbin-info",
        path=where,
        tool="xclbinutil",
        version=_first(r"Generated by: *\S+ \((20[0-9]{2}\.[0-9])", text) or _first(r"\((20[0-9]{2}\.[0-9])\)", text),
        part=head.get("fpga device", ""),
        top=head.get("kernels", ""),
        clock_target_s=1e-6 / target,
        clock_estimate_s=1e-6 / clock,
        notes=tuple(f"{key}: {head[key]}" for key in ("board", "name", "uuid (xclbin)") if head.get(key)),
    )


def _kernel_clock_mhz(text: str) -> tuple[float | None, float | None]:
    """Return what the kernel clock was asked for and what it reached, among the scalable and system clocks.

    The kernel's first clock is `..._aclk_kernel_00`; others, such as the one of HBM, may come before it.
    """
    found: list[tuple[str, float | None, float | None]] = []
    for line in text.splitlines():
        key, _, value = line.strip().partition(":")
        mhz = number(value.removesuffix("MHz"))
        if key == "Name":
            found.append((value.strip(), None, None))
        elif key == "Requested Freq" and found:
            found[-1] = (found[-1][0], mhz, found[-1][2])
        elif key == "Achieved Freq" and found:
            found[-1] = (found[-1][0], found[-1][1], mhz)
    reached = [clock for clock in found if clock[2]]
    kernel = [clock for clock in reached if clock[0].endswith("aclk_kernel_00")]
    _name, asked, got = (kernel or reached or [("", None, None)])[0]
    return asked or None, got


def read_run_summary(text: str, where: str) -> Report:
    """Return the kernel times of XRT's `profile_summary.csv`, `summary.csv` or `opencl_summary.csv`.

    Raises:
        ReportError: no kernel and no compute unit was run.
    """
    sections = _sections(text)
    runs = _kernel_runs(sections.get("kernel execution", []), "kernel", "number of enqueues")
    units = _kernel_runs(sections.get("compute unit utilization", []), "compute unit", "number of calls")
    if not runs and not units:
        raise ReportError(f"{where}: a run summary in which no kernel was run")
    head = _summary_head(text)
    clocks = [number(row.get("clock frequency (mhz)")) for row in sections.get("compute unit utilization", [])]
    mhz = next((clock for clock in clocks if clock), None)
    return Report(
        kind="run-summary",
        path=where,
        tool="XRT",
        version=head.get("tool version", ""),
        part=head.get("target devices", "") or head.get("target platform", ""),
        top=(runs or units)[0].kernel,
        status=head.get("flow mode", ""),
        clock_target_s=1e-6 / mhz if mhz else None,
        runs=units or runs,
        notes=tuple(f"{name}: {_seconds_text(rows)}" for name, rows in _transfers(sections) if rows),
    )


def _sections(text: str) -> dict[str, list[dict[str, str]]]:
    """Return the tables of the file: a title line, a line of column names, lines of values."""
    result: dict[str, list[dict[str, str]]] = {}
    title = ""
    names: list[str] = []
    for raw in text.splitlines():
        line = re.sub(r"^(TITLE|SECTION|ENTRY|ROW|HEADER):", "", raw.strip().lstrip("# "))
        if not line:
            names = []
            continue
        cells = [cell.strip() for cell in line.rstrip(",").split(",")]
        if len(cells) == 1 and (":" not in line or line.startswith("Data Transfer")):
            title, names = re.sub(r"\s*\(includes.*", "", line).lower(), []
        elif title and not names:
            names = [cell.lower() for cell in cells]
            result.setdefault(title, [])
        elif title and len(result[title]) < RUNS_LIMIT:
            result[title].append(dict(zip(names, cells, strict=False)))
    return result


def _summary_head(text: str) -> dict[str, str]:
    head: dict[str, str] = {}
    for line in text.splitlines()[:40]:
        found = re.match(r"([A-Za-z ]{3,40})[:,] ?(.*)", line)
        if found:
            head.setdefault(found[1].strip().lower(), found[2].strip(" ,"))
    return head


def _kernel_runs(rows: list[dict[str, str]], name: str, count: str) -> tuple[KernelRun, ...]:
    found = []
    for row in rows:
        calls, mean = number(row.get(count)), _milliseconds(row, "average time (ms)")
        if row.get(name) and calls and calls == int(calls) and mean is not None:
            found.append(
                KernelRun(
                    kernel=row[name],
                    count=int(calls),
                    low_s=_milliseconds(row, "minimum time (ms)"),
                    mean_s=mean,
                    high_s=_milliseconds(row, "maximum time (ms)"),
                )
            )
    return tuple(found)


def _milliseconds(row: dict[str, str], name: str) -> float | None:
    value = number(row.get(name))
    return None if value is None else value * _MS


def _transfers(sections: dict[str, list[dict[str, str]]]) -> list[tuple[str, list[dict[str, str]]]]:
    rows = sections.get("data transfer: host to global memory", [])
    return [
        (f"host {kind.lower()}s", [row for row in rows if row.get("transfer type", "").upper() == kind])
        for kind in ("READ", "WRITE")
    ]


def _seconds_text(rows: list[dict[str, str]]) -> str:
    return ", ".join(
        f"{row.get('number of buffer transfers', '?')} x {row.get('average buffer size (kb)', '?')} kB, "
        f"mean {row.get('average time (ms)', '?')} ms"
        for row in rows
    )

"""Find out what a file is by its content, read it, and join the reports of one synthesis."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lstmsim.errors import ReportError
from lstmsim.files import read_bounded
from lstmsim.reports.csynth_rpt import MODULE_TITLE, SUMMARY_TITLE, read_module_rpt, read_summary_rpt
from lstmsim.reports.csynth_xml import read_csynth_xml
from lstmsim.reports.join import join_reports
from lstmsim.reports.runtime import read_cosim, read_run_summary, read_system_estimate, read_xclbin_info
from lstmsim.reports.types import Report
from lstmsim.reports.vivado import read_kernel_utilization, read_place_and_route, read_timing, read_utilization

REPORT_LIMIT_BYTES = 32 * 1024 * 1024
LINE_LIMIT = 50_000
LINES_LIMIT = 400_000
FILES_LIMIT = 20_000
SUFFIXES = {".xml", ".rpt", ".csv", ".xtxt", ".info", ".txt"}
_SKIPPED_FOLDERS = {".git", "ip", "autopilot", ".autopilot", "__pycache__", "node_modules", ".Xil"}

Reader = Callable[[str, str], Report]
_SIGNS: tuple[tuple[str, Reader], ...] = (
    ("Utilization Design Information", read_utilization),
    ("LUTAsMem", read_kernel_utilization),
    ("Design Timing Summary", read_timing),
    ("Place & Route Resource Summary", read_place_and_route),
    ("Post-Implementation Resource usage", read_place_and_route),
    ("xclbin Information", read_xclbin_info),
    ("Timing Information (MHz)", read_system_estimate),
    ("Kernel Execution", read_run_summary),
    ("Compute Unit Utilization", read_run_summary),
)
_REFUSED = (
    ("Clock Utilization Report", "a clock utilization report carries neither latency nor resources of the kernel"),
    ("Timing Summary Report", "a timing report without its design timing summary: is it cut off?"),
    ("Vivado HLS Report", "an HLS report without its title line: is it cut off?"),
    ("Power Report", "a power report is not read"),
    ("DRC", "a design rule report is not read"),
)


def read_report(path: str | os.PathLike[str]) -> Report:
    """Return the report in one file, whatever tool wrote it.

    Raises:
        ReportError: unreadable, above 32 MiB, binary, or of a kind that is not read; the message says which.
        MissingExtra: an XML report without the package defusedxml.
    """
    return parse_report(read_bounded(path, limit_bytes=REPORT_LIMIT_BYTES, error=ReportError), str(path))


def parse_report(data: bytes, where: str) -> Report:
    """Return the report in a file's bytes; errors as in `read_report`."""
    if len(data) > REPORT_LIMIT_BYTES:
        raise ReportError(f"{where!r} is larger than {REPORT_LIMIT_BYTES:,} bytes, the limit for a report")
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith((b"<", b"\xff\xfe<", b"\xfe\xff\x00<")):
        return read_csynth_xml(data, where)
    text = _text(data, where)
    return _reader(text, where)(text, where)


def _text(data: bytes, where: str) -> str:
    """Decode a text report. Dates and host names may be in any code page: what is not UTF-8 is replaced."""
    if not data.strip():
        raise ReportError(f"{where}: the file is empty")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", errors="replace")
    else:
        text = data.decode("utf-8-sig", errors="replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text[:65536]:
        raise ReportError(f"{where}: a binary file, not a report")
    if text.count("\n") > LINES_LIMIT:
        raise ReportError(f"{where}: more than {LINES_LIMIT:,} lines, the limit for a report")
    if max(map(len, text.splitlines()), default=0) > LINE_LIMIT:
        raise ReportError(f"{where}: a line is longer than {LINE_LIMIT:,} characters: not a report")
    return text


def _reader(text: str, where: str) -> Reader:
    if MODULE_TITLE.search(text):
        return read_module_rpt
    if SUMMARY_TITLE.search(text):
        return read_summary_rpt
    if "RTL" in text and "Status" in text and ("Verilog" in text or "VHDL" in text) and "Latency" in text:
        return read_cosim
    for sign, reader in _SIGNS:
        if sign in text:
            return reader
    for sign, reason in _REFUSED:
        if sign in text:
            raise ReportError(f"{where}: {reason}")
    raise ReportError(
        f"{where}: not a report that is read here (csynth, cosim, Vivado utilization or timing, place and route, "
        "system_estimate.xtxt, xclbin.info, XRT summary)"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSet:
    """Everything read below one path: the synthesis joined into one report, the others, and what was refused."""

    path: str
    syntheses: dict[str, Report]  # by folder
    others: tuple[Report, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def synthesis(self) -> Report | None:
        """The one synthesis below the path, or None.

        Raises:
            ReportError: there are several; the message names them.
        """
        if len(self.syntheses) > 1:
            raise ReportError(
                f"{self.path!r} holds {len(self.syntheses)} syntheses, name one: " + _names(self.syntheses)
            )
        return next(iter(self.syntheses.values()), None)


def read_reports(path: str | os.PathLike[str]) -> ReportSet:
    """Return the reports of a file, a report folder (solution/syn/report) or a project folder.

    Raises:
        ReportError: nothing readable.
    """
    source = Path(path)
    if not source.is_dir():
        report = read_report(source)
        if report.kind == "csynth":
            return ReportSet(path=str(source), syntheses={str(source): report})
        return ReportSet(path=str(source), syntheses={}, others=(report,))
    found, refused = _read_all(_files(source))
    syntheses = _without_copies(_by_folder(report for report in found if report.kind == "csynth"))
    others = tuple(report for report in found if report.kind != "csynth")
    if not syntheses and not others:
        first = f"; the first file, {refused[0][0]!r}: {refused[0][1]}" if refused else ""
        raise ReportError(f"{str(source)!r} holds no report that is read here{first}")
    return ReportSet(path=str(source), syntheses=syntheses, others=others, refused=refused)


def _without_copies(folders: dict[str, list[Report]]) -> dict[str, Report]:
    """Join each folder's reports; of folders that report the same run (tools keep copies) the fullest is kept."""
    kept: dict[tuple[object, ...], tuple[str, Report]] = {}
    for folder, reports in folders.items():
        joined = join_reports(reports)
        key = (joined.top, joined.version, joined.part, joined.latency.high, joined.resources.get("lut"))
        if key not in kept or len(kept[key][1].modules) < len(joined.modules):
            kept[key] = (folder, joined)
    return dict(kept.values())


def _names(syntheses: dict[str, Report]) -> str:
    shown = [repr(folder) for folder in list(syntheses)[:8]]
    return ", ".join(shown) + (f" and {len(syntheses) - 8} more" if len(syntheses) > 8 else "")


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED_FOLDERS)
        found += [Path(where) / name for name in sorted(names) if Path(name).suffix.lower() in SUFFIXES]
        if len(found) > FILES_LIMIT:
            raise ReportError(f"{str(folder)!r} holds more than {FILES_LIMIT:,} files: name the report folder")
    return found


def _read_all(paths: Iterable[Path]) -> tuple[list[Report], tuple[tuple[str, str], ...]]:
    found, refused = [], []
    for path in paths:
        try:
            found.append(read_report(path))
        except ReportError as problem:
            refused.append((str(path), str(problem).removeprefix(f"{path}: ")))
    return found, tuple(refused)


def _by_folder(reports: Iterable[Report]) -> dict[str, list[Report]]:
    """Group the reports of a synthesis: those that lie in one folder."""
    groups: dict[str, list[Report]] = {}
    for report in reports:
        groups.setdefault(str(Path(report.path).parent), []).append(report)
    return groups

"""Damaged reports: each is read or refused with a ReportError, in bounded time."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

pytest.importorskip("defusedxml", reason="the extra reports is not installed")

from lstmsim.errors import LstmsimError
from lstmsim.reports.nest import build_nest
from lstmsim.reports.read import parse_report
from lstmsim.reports.whatif import Changes, what_if

FIXTURES = Path(__file__).parents[1] / "fixtures" / "reports"
FILES = sorted(path for path in FIXTURES.rglob("*") if path.is_file())
CASES_A_FILE = 160
SLOWEST_S = 20.0

BOMBS = [
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><profile><UserAssignments>&c;</UserAssignments></profile>',
    b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><profile>&a;</profile>',
    b'<!DOCTYPE a SYSTEM "http://example.com/a.dtd"><profile/>',
    b"<a>" * 200_000,
    b"<profile>" + b"<a/>" * 1_600_000 + b"</profile>",
    b"<profile " + b" ".join(b'a%d="1"' % index for index in range(50_000)) + b"/>",
    b'<?xml version="1.0" encoding="rot13"?><profile/>',
    b'<?xml version="1.0" encoding="utf-32"?><profile/>',
    "<profile/>".encode("utf-16"),
    b"\xff\xfe" + b"\x00" * 1000,
    b"== Vivado HLS Report for 'a'\n" + b"+---+\n| a |\n" * 50_000,
    b"== Vitis HLS Report for 'a'\n" + b"| " * 90_000,
    b"== Synthesis Summary Report of 'a'\n+-+\n|x|& Loops|Trip|\n+-+\n"
    + b"".join(b"|" + b" " * level + b"+ m%d| | |\n" % level for level in range(500)),
    b"== Vivado HLS Report for '" + b"a" * 1_000_000 + b"'",
    b"Design Timing Summary\n" + b" " * 150_000 + b"\n" + b"a {1 2} 1.0 " * 10_000,
    b"Kernel Execution\nKernel,Number Of Enqueues,Average Time (ms)\n" + b"a,1e300,nan\n" * 20_000,
    b"xclbin Information\nType: DATA" + b" " * 100_000 + b"Frequency: 1 MHz",
    b"Timing Information (MHz)\n" + b"a  " * 30_000 + b"\n" + b"-  " * 30_000 + b"\n" + b"b  " * 30_000,
    b"\0" * 1000,
    b"== Vivado HLS Report for 'a'\n" + b"|a" * 40_000,
    b"Kernel Execution\nKernel,Number Of Enqueues,Average Time (ms)\n" + b"a,1,1\n" * 500_000,
    b"",
    "RTL Status Latency Verilog | ¹ | ² |".encode(),
]


def _damaged(data: bytes, draw: random.Random) -> bytes:
    kind = draw.randrange(9)
    where = draw.randrange(len(data))
    if kind == 0:
        return data[:where]
    if kind == 1:
        flipped = bytearray(data)
        for _ in range(draw.randrange(1, 40)):
            flipped[draw.randrange(len(data))] = draw.randrange(256)
        return bytes(flipped)
    if kind == 2:
        return data[:where] + data[draw.randrange(len(data)) :]
    if kind == 3:
        return data.decode().encode(draw.choice(["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp037"]))
    if kind == 4:
        words = [b"-", b"undef", b"?", b"1e400", b"-1", b"9" * 40, b"40 ~ 41", b"nan", b"\xe6\x97\xa5", b"0"]
        digits = [index for index in range(len(data)) if data[index : index + 1].isdigit()] or [0]
        at = draw.choice(digits)
        return data[:at] + draw.choice(words) + data[at + 1 :]
    if kind == 5:
        lines = data.splitlines(keepends=True)
        draw.shuffle(lines)
        return b"".join(lines)
    if kind == 6:
        lines = data.splitlines(keepends=True)
        at = draw.randrange(len(lines))
        return b"".join(lines[:at] + [lines[at]] * draw.randrange(2, 300) + lines[at + 1 :])
    if kind == 7:
        return data.replace(draw.choice([b"|", b"<", b"+", b":", b",", b"\n"]), draw.choice([b"", b"||", b"\r\n"]))
    return data[:where] + data * draw.randrange(1, 5)


def _survives(data: bytes) -> bool:
    """Whether the bytes are read; False where they are refused. Anything else fails the test."""
    start = time.perf_counter()
    try:
        report = parse_report(data, "fuzz")
        for end in (report.latency, report.interval):
            assert end.high is None or 0 <= end.high <= 1e18
        assert all(0 <= count <= 1e19 for count in report.resources.values())
        if report.modules:
            what_if(build_nest(report), Changes())
        read = True
    except LstmsimError:
        read = False
    assert time.perf_counter() - start < SLOWEST_S
    return read


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_damaged_files(path: Path) -> None:
    draw = random.Random(path.name)
    data = path.read_bytes()
    for _ in range(CASES_A_FILE):
        _survives(_damaged(data, draw))


@pytest.mark.parametrize("number", range(len(BOMBS)))
def test_hostile_files_are_refused(number: int) -> None:
    assert not _survives(BOMBS[number])


def test_there_are_enough_cases() -> None:
    assert len(FILES) * CASES_A_FILE + len(BOMBS) >= 2000

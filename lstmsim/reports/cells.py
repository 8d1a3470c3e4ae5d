"""Cells of reports: numbers, ranges, times, and tables drawn with `|`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from lstmsim.reports.types import UNKNOWN, Span

LARGEST = 1e18
_BLANK = {"", "-", "--", "?", "undef", "undefined", "n/a", "na", "none", "inf", "nan", "unknown"}
_NUMBER = re.compile(r"~?\s*([0-9]{1,25}(?:,[0-9]{3})*(?:\.[0-9]{0,25})?(?:[eE][+-]?[0-9]{1,3})?)")
_TIME = re.compile(r"([0-9]{1,25}(?:\.[0-9]{0,25})?(?:[eE][+-]?[0-9]{1,3})?)\s*([a-z]*)", re.IGNORECASE)
_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12}


def number(text: str | None) -> float | None:
    """Return a cell's number, or None where it holds none ("-", "undef", "?", "N/A", ...).

    Reads "1,234", "~0", "5.3e+05" and the number before a share, as in "207 (31%)".
    """
    if text is None:
        return None
    cell = text.strip()
    if cell.lower() in _BLANK:
        return None
    found = _NUMBER.match(cell)
    if not found or ((rest := cell[found.end() :].strip()) and not rest.startswith(("(", "%"))):
        return None
    value = float(found[1].replace(",", ""))
    return value if math.isfinite(value) and value <= LARGEST else None


def span(text: str | None) -> Span:
    """Return a cell's range: "40 ~ 41", "40" or unknown."""
    if text is None:
        return UNKNOWN
    low, separator, high = text.strip().partition("~")
    if not separator or not low.strip():
        value = number(text)
        return Span(value, value)
    return ordered(number(low), number(high))


def ordered(low: float | None, high: float | None) -> Span:
    """Return a Span; a pair in the wrong order is not believed."""
    if low is not None and high is not None and low > high:
        return UNKNOWN
    return Span(low, high)


def whole(value: Span) -> Span:
    """Return the span where both ends are whole numbers, else unknown."""
    known = [end for end in (value.low, value.high) if end is not None]
    return value if all(end == int(end) for end in known) else UNKNOWN


def seconds(text: str | None, unit: str = "ns") -> float | None:
    """Return a time such as "10.00 ns", "4.137 ms" or "9.571" (in `unit`) in seconds, or None."""
    if text is None:
        return None
    found = _TIME.fullmatch(text.strip())
    if not found:
        return None
    factor = _SECONDS.get((found[2] or unit).lower())
    value = float(found[1]) * factor if factor else math.nan
    return value if math.isfinite(value) and 0 < value <= LARGEST else None


def row_cells(line: str) -> list[str]:
    """Return the cells of a `|...|...|` line, spaces at the right cut, left kept (it carries the nesting)."""
    return [cell.rstrip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def is_rule(line: str) -> bool:
    """Whether a line is a table's `+----+` rule."""
    text = line.strip()
    return len(text) > 2 and text[0] == "+" and text[-1] in "+-" and not text.strip("+-=")


def tables(lines: Sequence[str]) -> Iterator[tuple[int, list[list[list[str]]]]]:
    """Yield every table as (line number, blocks): the lists of rows between its rules, header block first."""
    index, count = 0, len(lines)
    while index < count:
        if not is_rule(lines[index]):
            index += 1
            continue
        start = index
        blocks: list[list[list[str]]] = []
        rows: list[list[str]] = []
        while index < count and (is_rule(lines[index]) or lines[index].lstrip().startswith("|")):
            if is_rule(lines[index]):
                if rows:
                    blocks.append(rows)
                rows = []
            else:
                rows.append(row_cells(lines[index]))
            index += 1
        if rows:
            blocks.append(rows)
        if blocks:
            yield start, blocks


def heading_before(lines: Sequence[str], start: int, *, back: int = 4) -> str:
    """Return the nearest line above `start` that is not blank, without its bullet and colon."""
    for index in range(start - 1, max(-1, start - 1 - back), -1):
        text = lines[index].strip()
        if text and not is_rule(text):
            return text.lstrip("*+ ").rstrip(": ")
    return ""


def fields_of(lines: Sequence[str], limit: int = 60) -> dict[str, str]:
    """Return "Key : value" lines of a report's head, keys in lower case, bullets and bars removed."""
    found: dict[str, str] = {}
    for line in lines[:limit]:
        key, separator, value = line.strip().lstrip("*|+ ").partition(":")
        if separator and key.strip() and len(key) < 60:
            found.setdefault(key.strip().lower(), value.strip())
    return found

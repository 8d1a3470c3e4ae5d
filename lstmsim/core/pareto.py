"""The exact Pareto front of a stream of points, kept in arrays of fixed size."""

from __future__ import annotations

from typing import Any

FULL = -1
"""`insert` returns this where a point belongs on the front but the arrays have no room for it."""


def dominates(front: Any, row: int, point: Any, width: int) -> int:
    """Return 1 where front[row] is nowhere worse than `point` (smaller is better): equal points count."""
    for k in range(width):
        if front[row, k] > point[k]:
            return 0
    return 1


def dominated_by(front: Any, row: int, point: Any, width: int) -> int:
    """Return 1 where `point` is nowhere worse than front[row]."""
    for k in range(width):
        if front[row, k] < point[k]:
            return 0
    return 1


def swap(front: Any, tags: Any, first: int, second: int, width: int) -> None:
    """Exchange two rows of the front."""
    for k in range(width):
        front[first, k], front[second, k] = front[second, k], front[first, k]
    tags[first], tags[second] = tags[second], tags[first]


def insert(front: Any, tags: Any, count: int, point: Any, tag: int, width: int, hint: Any) -> int:
    """Offer a point to the front and return the new count, or FULL.

    front [capacity, width] and tags [capacity] hold `count` points none of which is nowhere worse than another; of
    equal points the smallest tag stays. The row that rejected the last point (hint [1]) is asked first, and a row that
    rejects moves half-way to the top, so that strong points are met early: most points meet a few rows only.
    """
    if hint[0] < count and dominates(front, hint[0], point, width):
        keep_smaller_tag(front, tags, hint[0], point, tag, width)
        return count
    for row in range(count):
        if dominates(front, row, point, width):
            keep_smaller_tag(front, tags, row, point, tag, width)
            hint[0] = row // 2
            swap(front, tags, row, row // 2, width)
            return count
    kept = 0
    for row in range(count):
        if not dominated_by(front, row, point, width):
            if kept != row:
                swap(front, tags, kept, row, width)
            kept += 1
    if kept == len(tags):
        return FULL
    for k in range(width):
        front[kept, k] = point[k]
    tags[kept] = tag
    return kept + 1


def keep_smaller_tag(front: Any, tags: Any, row: int, point: Any, tag: int, width: int) -> None:
    """Let the smaller of two tags stay where a point equals front[row]."""
    if tag < tags[row] and dominated_by(front, row, point, width):
        tags[row] = tag

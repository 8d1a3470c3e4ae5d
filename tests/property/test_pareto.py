"""The incremental front equals a brute-force front, whatever the order and the number of objectives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmsim.core.pareto import insert


def brute_force(points: list[tuple[float, ...]]) -> dict[tuple[float, ...], int]:
    """Return every non-dominated point with the index of its first occurrence."""
    front: dict[tuple[float, ...], int] = {}
    for index, point in enumerate(points):
        beaten = any(other != point and all(a <= b for a, b in zip(other, point, strict=True)) for other in points)
        if not beaten:
            front.setdefault(point, index)
    return front


def incremental(points: list[tuple[float, ...]], order: list[int]) -> dict[tuple[float, ...], int]:
    width = len(points[0])
    front, tags, hint = np.zeros((len(points), width)), np.zeros(len(points), np.int64), np.zeros(1, np.int64)
    count = 0
    for index in order:
        count = insert(front, tags, count, np.array(points[index]), index, width, hint)
    return {tuple(map(float, front[row])): int(tags[row]) for row in range(count)}


def point_lists(width: int):
    value = st.integers(0, 5).map(float)
    return st.lists(st.tuples(*[value] * width), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 8))
def test_front_equals_brute_force_up_to_eight_objectives(data, width):
    points = data.draw(point_lists(width))
    order = data.draw(st.permutations(range(len(points))))
    assert incremental(points, order) == brute_force(points)


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_front_of_many_points_with_ties(width):
    random = np.random.default_rng(width)
    points = [tuple(map(float, row)) for row in random.integers(0, 12, (700, width))]
    found = incremental(points, list(random.permutation(len(points))))
    assert found == brute_force(points)


def test_a_full_front_says_so():
    front, tags, hint = np.zeros((1, 2)), np.zeros(1, np.int64), np.zeros(1, np.int64)
    count = insert(front, tags, 0, np.array([0.0, 1.0]), 0, 2, hint)
    assert insert(front, tags, count, np.array([1.0, 0.0]), 1, 2, hint) == -1
    assert insert(front, tags, count, np.array([0.0, 0.5]), 2, 2, hint) == 1
    assert tags[0] == 2

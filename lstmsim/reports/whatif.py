"""What-if on a loop nest: other trip counts, intervals and clocks; everything that no table shows stays as it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lstmsim.core.loops import OUTLINED_OVERHEAD_CYCLES, pipelined_loop_cycles, sequential_loop_cycles
from lstmsim.errors import ConfigError, nearest
from lstmsim.reports.nest import (
    CALL_OVERHEAD_CYCLES,
    SEQUENTIAL_OVERHEAD_CYCLES,
    Body,
    LoopNode,
    ModuleNode,
    Nest,
)

VALUE_LIMIT = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """New values by loop path, as `find_loop` returns it."""

    trips: Mapping[str, float] = field(default_factory=dict)
    ii: Mapping[str, float] = field(default_factory=dict)
    depth: Mapping[str, float] = field(default_factory=dict)
    clock_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """Latencies before and after, in cycles by module; None where a trip count stays unknown."""

    top: str
    before: dict[str, float | None]
    after: dict[str, float | None]
    clock_before_s: float | None
    clock_after_s: float | None
    unknown: tuple[str, ...]

    @property
    def cycles(self) -> float | None:
        """The kernel's new latency in cycles."""
        return self.after[self.top]

    @property
    def seconds(self) -> float | None:
        """The kernel's new latency in seconds."""
        cycles = self.after[self.top]
        return None if cycles is None or self.clock_after_s is None else cycles * self.clock_after_s


def find_loop(nest: Nest, name: str) -> str:
    """Return the one loop that a name means: its path, an end of its path, or the loop's own name.

    Raises:
        ConfigError: no loop, or several: the message lists them.
    """
    paths = list(nest.loops)
    found: list[str] = []
    for spelled in (str, _plain):
        wanted = spelled(name)
        exact = [path for path in paths if spelled(path) == wanted]
        found = exact or [path for path in paths if spelled(path).endswith("/" + wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            break
    if found:
        shown = ", ".join(repr(path) for path in found[:8]) + (" ..." if len(found) > 8 else "")
        raise ConfigError(f"{name!r} names {len(found)} loops, name one: {shown}")
    if not paths:
        raise ConfigError(f"{name!r}: the report has no loops")
    raise ConfigError(f"no loop {name!r}. {nearest(name, sorted({path.rpartition('/')[2] for path in paths}))}")


def _plain(path: str) -> str:
    """Compare paths without case, spaces or underscores: "Loop 1" in one report is "Loop1" in another."""
    return "".join(character for character in path.lower() if character.isalnum() or character in "/.")


def parse_assignments(nest: Nest, words: Iterable[str], option: str) -> dict[str, float]:
    """Read `LOOP=64` words into loop paths and positive whole numbers.

    Raises:
        ConfigError: a wrong form, an unknown loop, or a value below 1.
    """
    found: dict[str, float] = {}
    for word in words:
        name, separator, text = word.rpartition("=")
        if not separator or not name.strip():
            raise ConfigError(f"{option} {word!r} is not of the form LOOP=64")
        try:
            value = float(int(text))
        except ValueError:
            raise ConfigError(f"{option} {word!r}: {text!r} is not a whole number") from None
        if not 1 <= value <= VALUE_LIMIT:
            raise ConfigError(f"{option} {word!r}: {text} is outside 1..{VALUE_LIMIT:g}")
        found[find_loop(nest, name.strip())] = value
    return found


def what_if(nest: Nest, changes: Changes) -> WhatIf:
    """Return every module's latency with some loops changed; unchanged loops reproduce the report exactly.

    Depth, operators and states between loops stay as reported, so a change of `clock_s` scales time only.

    Raises:
        ConfigError: a new II for a loop that is not pipelined.
    """
    for path in changes.ii:
        if not nest.loops[path].pipelined:
            raise ConfigError(f"loop {path!r} is not pipelined: it has no initiation interval, change its trips")
    after: dict[str, float | None] = {}
    unknown: list[str] = []
    for name, module in nest.modules.items():  # callees first
        after[name] = _module_cycles(module, nest, changes, after, unknown)
    return WhatIf(
        top=nest.top,
        before={name: module.reported_cycles for name, module in nest.modules.items()},
        after=after,
        clock_before_s=nest.clock_s,
        clock_after_s=changes.clock_s or nest.clock_s,
        unknown=tuple(dict.fromkeys(unknown)),
    )


Latencies = Mapping[str, float | None]


def _module_cycles(
    module: ModuleNode, nest: Nest, changes: Changes, after: Latencies, unknown: list[str]
) -> float | None:
    unchanged = not (changes.trips or changes.ii or changes.depth) and module.reported_cycles is not None
    if unchanged or not (module.body.loops or module.body.calls):
        return module.reported_cycles
    return _body_cycles(module.body, nest, changes, after, unknown)


def _body_cycles(body: Body, nest: Nest, changes: Changes, after: Latencies, unknown: list[str]) -> float | None:
    total = body.rest_cycles
    for loop in body.loops:
        cycles = _loop_cycles(loop, nest, changes, after, unknown)
        if cycles is None:
            return None
        total += cycles + (OUTLINED_OVERHEAD_CYCLES if loop.pipelined else SEQUENTIAL_OVERHEAD_CYCLES)
    longest = 0.0
    for name, count in body.calls.items():
        latency = _callee(name, nest, after)
        if latency is None:
            return None
        longest = max(longest, latency if count else 0.0)
        total += count * (latency + CALL_OVERHEAD_CYCLES)
    beside = max((_callee(name, nest, after) or 0.0 for name in body.hidden), default=0.0)
    return total + max(0.0, beside - longest)


def _callee(name: str, nest: Nest, after: Latencies) -> float | None:
    if name in after:
        return after[name]
    return nest.modules[name].reported_cycles if name in nest.modules else 0.0


def _loop_cycles(loop: LoopNode, nest: Nest, changes: Changes, after: Latencies, unknown: list[str]) -> float | None:
    trips = changes.trips.get(loop.name, loop.trips)
    if trips is None:
        if loop.latency_cycles is None:
            unknown.append(loop.name)
        return loop.latency_cycles
    if loop.pipelined:
        ii, depth = changes.ii.get(loop.name, loop.ii), changes.depth.get(loop.name, loop.depth)
        if ii is None or depth is None:
            return loop.latency_cycles
        return pipelined_loop_cycles(trips, ii, max(depth, ii)) + loop.rest_cycles
    if loop.iteration_cycles is None:
        return loop.latency_cycles
    iteration = _body_cycles(loop.body, nest, changes, after, unknown)
    if iteration is None:
        return None
    return sequential_loop_cycles(trips, iteration) + loop.rest_cycles - (1.0 if loop.memset else 0.0)

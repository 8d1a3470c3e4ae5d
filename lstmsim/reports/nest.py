"""The loop-nest model: a kernel as loops and calls, its latency put together again from trip counts, II and depth.

Reports do not say everything. Where they leave it open which calls overlap, which are inside a loop, and how often,
the reported latency decides; `Composition` says what was inferred. Cycles are the largest of a range throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from lstmsim.core.loops import (
    OUTLINED_OVERHEAD_CYCLES,
    dataflow_latency_cycles,
    pipelined_loop_cycles,
    sequential_loop_cycles,
)
from lstmsim.errors import ReportError
from lstmsim.reports.types import Loop, Module, Report

CALL_OVERHEAD_CYCLES = 1
SEQUENTIAL_OVERHEAD_CYCLES = 1
REWIND_OVERHEAD_CYCLES = 1  # Vivado HLS: the last iteration ends the module
NEST_LIMIT = 64
CLOSE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What happens once, one after the other: loops, calls, and states that no table shows.

    `calls` maps a module to how often it is called in sequence, `hidden` are calls that run beside these.
    `rest_cycles` is the reported time less all of this; negative where loops or calls overlap.
    """

    loops: tuple[LoopNode, ...] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    rest_cycles: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopNode:
    """A loop as the model sees it. `name` is its path: module/outer/inner. None is unknown."""

    name: str
    trips: float | None
    ii: float | None = None
    depth: float | None = None
    latency_cycles: float | None = None
    pipelined: bool = False
    memset: bool = False
    body: Body = field(default_factory=Body)
    iteration_cycles: float | None = None
    rest_cycles: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleNode:
    """A module as the model sees it.

    `composed_cycles` is what the rules alone give, without `rest_cycles`, from the reported latency of called modules;
    `recomposed_cycles` takes the called modules' own recomposed latency, down to the innermost loops.
    """

    name: str
    kind: str
    reported_cycles: float | None
    composed_cycles: float | None
    recomposed_cycles: float | None
    body: Body
    reason: str = ""
    inferred: tuple[str, ...] = ()

    @property
    def error(self) -> float | None:
        """The rules' relative error against the report, None where one of them is unknown."""
        if self.composed_cycles is None or self.reported_cycles is None:
            return None
        if self.reported_cycles == 0:
            return 0.0 if self.composed_cycles == 0 else None
        return self.composed_cycles / self.reported_cycles - 1

    @property
    def deep_error(self) -> float | None:
        """As `error`, for `recomposed_cycles`."""
        if self.recomposed_cycles is None or not self.reported_cycles:
            return None
        return self.recomposed_cycles / self.reported_cycles - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Nest:
    """A kernel: its modules by name, and the period of its clock where the report says so."""

    top: str
    modules: dict[str, ModuleNode]
    clock_s: float | None

    @property
    def loops(self) -> dict[str, LoopNode]:
        """All loops by path."""
        return {loop.name: loop for module in self.modules.values() for loop in _walk(module.body.loops)}


def _walk(loops: Iterable[LoopNode]) -> Iterable[LoopNode]:
    for loop in loops:
        yield loop
        yield from _walk(loop.body.loops)


def build_nest(report: Report) -> Nest:
    """Return the loop nest of a synthesis report (joined from its folder, or one file).

    Raises:
        ReportError: no modules, or modules that call one another in a circle.
    """
    if not report.modules:
        raise ReportError(f"{report.path}: a {report.kind} report has no loops and modules")
    nodes: dict[str, ModuleNode] = {}
    for name in _callees_first(report):
        nodes[name] = _module_node(report.modules[name], report, nodes)
    return Nest(top=report.top, modules=nodes, clock_s=report.clock_s)


def _callees_first(report: Report) -> list[str]:
    order: list[str] = []
    state: dict[str, int] = {}
    for root in report.modules:
        stack: list[tuple[str, bool]] = [(root, False)]
        while stack:
            name, done = stack.pop()
            if done:
                state[name] = 2
                order.append(name)
            elif state.get(name) == 1:
                raise ReportError(f"{report.path}: module {name!r} calls itself, directly or through others")
            elif name not in state:
                state[name] = 1
                stack.append((name, True))
                stack += [
                    (call, False)
                    for call in _all_calls(report.modules[name])
                    if call in report.modules and state.get(call) != 2
                ]
    return order


def _all_calls(module: Module) -> list[str]:
    calls = list(module.calls)
    todo = list(module.loops)
    while todo:
        loop = todo.pop()
        calls += loop.calls
        todo += loop.loops
    return calls


def _call_cycles(node: ModuleNode) -> float | None:
    return node.composed_cycles if node.reported_cycles is None else node.reported_cycles


def _module_node(module: Module, report: Report, nodes: Mapping[str, ModuleNode]) -> ModuleNode:
    cycles = {name: _call_cycles(nodes[name]) for name in _all_calls(module) if name in nodes}
    reported, inferred = module.latency.high, []
    outside: list[str] = list(module.calls)
    unplaced: list[str] = []
    if not module.calls_placed and module.calls:
        inferred.append("which calls are inside loops")
        outside, unplaced = _outside(module, _not_in_pipelines(module, report), cycles)
    loops = tuple(_loop_node(loop, module.name, cycles, unplaced) for loop in module.loops)
    outside += unplaced
    composed = _in_sequence(module, loops, outside, cycles, report)
    deep = {name: nodes[name].recomposed_cycles for name in cycles}
    recomposed = _in_sequence(
        module, loops, outside, {n: cycles[n] if deep[n] is None else deep[n] for n in cycles}, report
    )
    chosen = _in_series(outside, cycles)
    hidden: tuple[str, ...] = ()
    fixed = _overhead(module, report) + sum(_entered(loop) for loop in loops)
    if composed is not None and reported is not None and chosen and composed > reported * (1 + CLOSE):
        chosen, hidden = _critical(outside, cycles, reported - fixed)
        inferred.append("which calls overlap")
    structure = fixed + _calls_time(chosen, cycles)
    node = ModuleNode(
        name=module.name,
        kind=module.pipelining,
        reported_cycles=reported,
        composed_cycles=composed,
        recomposed_cycles=recomposed,
        body=Body(
            loops=loops,
            calls=chosen,
            hidden=hidden,
            rest_cycles=0.0 if reported is None else reported - structure,
        ),
        inferred=tuple(inferred),
    )
    return _explained(node, module)


def _not_in_pipelines(module: Module, report: Report) -> list[str]:
    """Return the calls of unknown place less pipelined functions that fit into a pipelined loop: its depth has them."""
    depth = max((_deepest(loop) for loop in module.loops), default=0.0)
    return [
        name
        for name in module.calls
        if not (
            name in report.modules
            and report.modules[name].pipelining in ("function", "yes")
            and (report.modules[name].latency.high or 0.0) <= depth
        )
    ]


def _deepest(loop: Loop) -> float:
    own = loop.depth.high or 0.0 if loop.pipelined else 0.0
    return max([own, *(_deepest(inner) for inner in loop.loops)])


def _outside(module: Module, calls: list[str], cycles: Mapping[str, float | None]) -> tuple[list[str], list[str]]:
    """Split unplaced calls: what explains time between the loops is outside of them, the others are left."""
    between = (module.latency.high or 0.0) - sum(
        (loop.latency.high or 0.0) + (OUTLINED_OVERHEAD_CYCLES if loop.pipelined else SEQUENTIAL_OVERHEAD_CYCLES)
        for loop in module.loops
    )
    outside, left = [], []
    for name in sorted(calls, key=lambda name: -(cycles.get(name) or 0.0)):
        cost = (cycles.get(name) or 0.0) + CALL_OVERHEAD_CYCLES
        if cost <= between:
            between -= cost
            outside.append(name)
        else:
            left.append(name)
    return outside, left


def _in_series(names: Iterable[str], cycles: Mapping[str, float | None]) -> dict[str, int]:
    """Count the calls of modules that the report describes; others stay part of what no table shows."""
    counts: dict[str, int] = {}
    for name in names:
        if name in cycles:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _calls_time(counts: Mapping[str, int], cycles: Mapping[str, float | None]) -> float:
    return sum(count * ((cycles[name] or 0.0) + CALL_OVERHEAD_CYCLES) for name, count in counts.items())


def _entered(loop: LoopNode) -> float:
    """A loop's latency with the states that enter and leave it."""
    entry = OUTLINED_OVERHEAD_CYCLES if loop.pipelined else SEQUENTIAL_OVERHEAD_CYCLES
    return (loop.latency_cycles or 0.0) + entry


def _overhead(module: Module, report: Report) -> float:
    """A correction for modules whose loop rewinds in Vivado HLS: one state less than an ordinary loop."""
    if module.pipelining == "rewind" and report.version < "2020" and len(module.loops) == 1:
        return REWIND_OVERHEAD_CYCLES - OUTLINED_OVERHEAD_CYCLES
    return 0.0


def _in_sequence(
    module: Module,
    loops: tuple[LoopNode, ...],
    outside: list[str],
    cycles: Mapping[str, float | None],
    report: Report,
) -> float | None:
    """Return what the rules give with everything in sequence, None where a part is unknown."""
    if any(rule_cycles(loop) is None for loop in loops) or any(cycles.get(name) is None for name in outside):
        return None
    if not loops and not outside:
        return None
    calls = sum(cycles[name] or 0.0 for name in outside)
    if module.pipelining == "dataflow":
        return dataflow_latency_cycles(calls + sum(_rule_entered(loop) for loop in loops))
    body = sum(_rule_entered(loop) for loop in loops) + calls + CALL_OVERHEAD_CYCLES * len(outside)
    return body + _overhead(module, report)


def rule_cycles(loop: LoopNode) -> float | None:
    """Return a loop's latency by the rules alone, from its trips, II and depth or iteration latency."""
    if loop.trips is None:
        return None
    if loop.pipelined:
        if loop.ii is None or loop.depth is None:
            return None
        return pipelined_loop_cycles(loop.trips, loop.ii, loop.depth)
    if loop.iteration_cycles is None:
        return None
    return sequential_loop_cycles(loop.trips, loop.iteration_cycles) - (1.0 if loop.memset else 0.0)


def _rule_entered(loop: LoopNode) -> float:
    entry = OUTLINED_OVERHEAD_CYCLES if loop.pipelined else SEQUENTIAL_OVERHEAD_CYCLES
    return (rule_cycles(loop) or 0.0) + entry


def _loop_node(
    loop: Loop, where: str, cycles: Mapping[str, float | None], unplaced: list[str], level: int = 0
) -> LoopNode:
    """Return a loop with its body; calls of unknown place go into the first loop whose iteration has room for them."""
    if level > NEST_LIMIT:
        raise ReportError(f"{where}: loops are nested deeper than {NEST_LIMIT}")
    path = f"{where}/{loop.name}"
    inner = tuple(_loop_node(child, path, cycles, unplaced, level + 1) for child in loop.loops)
    iteration = loop.iteration.high
    calls = _in_series(loop.calls, cycles)
    rest = 0.0
    if iteration is not None and not loop.pipelined:
        rest = iteration - sum(_entered(child) for child in inner) - _calls_time(calls, cycles)
        inside = _fill(rest, unplaced, cycles)
        unplaced[:] = [name for name in unplaced if name not in inside]
        calls |= inside
        rest -= _calls_time(inside, cycles)
    memset = not loop.pipelined and iteration == 1 and loop.trips.high is not None
    memset = memset and loop.latency.high == (loop.trips.high or 0.0) - 1
    node = LoopNode(
        name=path,
        trips=loop.trips.high,
        ii=loop.ii.high,
        depth=loop.depth.high,
        latency_cycles=loop.latency.high,
        pipelined=loop.pipelined,
        memset=memset,
        body=Body(loops=inner, calls=calls, rest_cycles=rest),
        iteration_cycles=iteration,
    )
    rule = rule_cycles(node)
    if loop.latency.high is None:
        return replace(node, latency_cycles=rule)
    return node if rule is None else replace(node, rest_cycles=loop.latency.high - rule)


def _fill(room: float, names: list[str], cycles: Mapping[str, float | None]) -> dict[str, int]:
    """Say how often each unplaced call happens in an iteration of `room` cycles that the report leaves unexplained.

    Each call that fits happens once; then the longest is repeated while there is room, and the next longest.
    """
    order = sorted(filter(cycles.get, dict.fromkeys(names)), key=lambda name: -(cycles[name] or 0.0))
    counts: dict[str, int] = {}
    left = room
    for name in order:
        cost = (cycles[name] or 0.0) + CALL_OVERHEAD_CYCLES
        if cost <= left + CALL_OVERHEAD_CYCLES * 2:
            counts[name], left = 1, left - cost
    for name in counts:
        cost = (cycles[name] or 0.0) + CALL_OVERHEAD_CYCLES
        more = max(0, int(left // cost))
        counts[name], left = counts[name] + more, left - more * cost
    return counts


def _critical(
    names: Iterable[str], cycles: Mapping[str, float | None], available: float
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Split calls into those one after the other, longest first while they fit, and those beside them."""
    chosen: dict[str, int] = {}
    hidden: list[str] = []
    left = available
    for name in sorted(filter(cycles.__contains__, names), key=lambda name: -(cycles[name] or 0.0)):
        cost = (cycles[name] or 0.0) + CALL_OVERHEAD_CYCLES
        if cost <= left + CALL_OVERHEAD_CYCLES:
            chosen[name] = chosen.get(name, 0) + 1
            left -= cost
        else:
            hidden.append(name)
    return chosen, tuple(hidden)


def _explained(node: ModuleNode, module: Module) -> ModuleNode:
    """Name the reason where the rules miss the reported latency by more than two percent."""
    if node.reported_cycles is None:
        return replace(node, reason="the report does not know the latency (trip counts that depend on data)")
    if node.composed_cycles is None:
        unknown = bool(module.loops or module.calls)
        return replace(node, reason="a loop or call of unknown latency" if unknown else "straight-line code, no loops")
    error = node.error
    if error is None or abs(error) <= CLOSE:
        return node
    if not module.calls_known and error < 0:
        return replace(node, reason="this file does not say which modules are called: read the report folder")
    if module.pipelining == "dataflow":
        return replace(node, reason="dataflow: stages run beside one another, the longest path is not in the report")
    fixed = not module.calls and all(loop.trips.fixed for loop in module.loops)
    if error > 0 and fixed and module.latency.low != module.latency.high:
        return replace(node, reason="branches: the data decides which loops and calls happen")
    if error > 0:
        return replace(node, reason="overlap: loops or calls run beside one another")
    return replace(node, reason="straight-line code between the loops and calls, which no table shows")

"""Join the reports of one synthesis: each file knows something that the others do not.

XML has ranges and exact cycles, a module's text report its calls, the summary where a call is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lstmsim.reports.types import Loop, Module, Report, Span


def join_reports(reports: Iterable[Report]) -> Report:
    """Return one report of the top module from the reports of its folder.

    The top is the module of `csynth.xml` or `csynth.rpt`, else the one that no other calls, the slowest of them.
    """
    ordered = sorted(reports, key=_trust)
    modules: dict[str, Module] = {}
    for report in ordered:
        for name, module in report.modules.items():
            modules[name] = join_modules(modules[name], module) if name in modules else module
    top = _top(ordered, modules)
    own = [report for report in ordered if report.top == top] or ordered
    result = own[0]
    for report in [*own[1:], *ordered]:
        result = _filled(result, report)
    head = modules[top]
    operators = max((report.operators for report in own), key=len) or max((r.operators for r in ordered), key=len)
    return replace(
        result,
        path=str(Path(result.path).parent),
        top=top,
        latency=head.latency,
        interval=head.interval,
        clock_estimate_s=head.clock_estimate_s or result.clock_estimate_s,
        modules=modules,
        resources=head.resources or result.resources,
        operators=operators,
        notes=(),
    )


def _trust(report: Report) -> tuple[int, str]:
    """Order: the module's own XML, the top's XML, text reports, the summary (largest values only)."""
    name = Path(report.path).name
    if name.endswith(".xml"):
        return (1 if name == "csynth.xml" else 0, name)
    return (3 if name == "csynth.rpt" else 2, name)


def _top(reports: list[Report], modules: dict[str, Module]) -> str:
    for report in reports:
        if Path(report.path).name in ("csynth.xml", "csynth.rpt"):
            return report.top
    called = {name for module in modules.values() for name in (*module.calls, *_calls_in(module.loops))}
    roots = [name for name in modules if name not in called] or list(modules)
    return max(roots, key=lambda name: modules[name].latency.high or 0.0)


def _calls_in(loops: Iterable[Loop]) -> list[str]:
    return [name for loop in loops for name in (*loop.calls, *_calls_in(loop.loops))]


def _filled(report: Report, other: Report) -> Report:
    """Return `report` with what only `other` knows about the run as a whole."""
    return replace(
        report,
        version=report.version or other.version,
        part=report.part or other.part,
        flow=report.flow or other.flow,
        clock_target_s=report.clock_target_s or other.clock_target_s,
        clock_uncertainty_s=report.clock_uncertainty_s or other.clock_uncertainty_s,
        available=report.available or other.available,
    )


def join_modules(first: Module, second: Module) -> Module:
    """Return the first module with what only the second knows; calls are taken from whoever placed them."""
    loops = first.loops or second.loops
    calls, placed, known = first.calls, first.calls_placed, first.calls_known
    if not placed and (second.calls_placed or (second.calls_known and not known)):
        calls, placed, known = second.calls, second.calls_placed, True
        loops = _place(loops, second.loops)
    return Module(
        name=first.name,
        latency=_known(first.latency, second.latency),
        interval=_known(first.interval, second.interval),
        pipelining=first.pipelining if first.pipelining != "unknown" else second.pipelining,
        loops=loops,
        calls=calls,
        calls_placed=placed,
        calls_known=known,
        clock_estimate_s=first.clock_estimate_s or second.clock_estimate_s,
        resources=first.resources or second.resources,
    )


def _known(first: Span, second: Span) -> Span:
    return first if first.known else second


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _place(loops: tuple[Loop, ...], placed: tuple[Loop, ...]) -> tuple[Loop, ...]:
    """Return the loops with the calls that loops of the same name have in the other report."""
    by_name = {_plain(loop.name): loop for loop in placed}
    result = []
    for loop in loops:
        twin = by_name.get(_plain(loop.name))
        result.append(replace(loop, calls=twin.calls, loops=_place(loop.loops, twin.loops)) if twin else loop)
    return tuple(result)

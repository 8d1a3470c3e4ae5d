"""`lstmsim report`: read synthesis, implementation and run reports; ask what-if of their loops."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import output_options, print_json
from lstmsim.cli.report_html import html
from lstmsim.errors import ConfigError, ReportError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree

    from lstmsim.reports.bind import Binding
    from lstmsim.reports.nest import LoopNode, Nest
    from lstmsim.reports.read import ReportSet
    from lstmsim.reports.types import Report
    from lstmsim.reports.whatif import Changes, WhatIf

_MODULES_SHOWN = 40
_OPERATORS_SHOWN = 12


@click.group("report")
def command() -> None:
    """Write a report as one page; read reports of Vivado HLS, Vitis HLS, Vivado and XRT, and ask what-if of loops."""


command.add_command(html)


@command.command("show")
@click.argument("path", type=click.Path())
@output_options
def show(*, path: str, as_json: bool, quiet: bool) -> None:
    """Show the reports below PATH: a file, a report folder (solution/syn/report), or a project folder.

    The kernel is put together again from its loops; a table says by how much that misses the report. Where several
    syntheses lie below PATH they are listed: name the folder of one for its loops.
    """
    from lstmsim.reports.nest import build_nest
    from lstmsim.reports.read import read_reports

    found = read_reports(path)
    nests = {folder: build_nest(report) for folder, report in found.syntheses.items()}
    if as_json:
        print_json(_show_json(found, nests))
        return
    from rich.console import Console

    console = Console()
    if len(nests) > 1:
        _print_overview(console, found, nests)
        return
    for report in (*found.syntheses.values(), *found.others):
        _print_summary(console, report)
    for nest in nests.values():
        _print_nest(console, nest)
    if not quiet:
        for where, reason in found.refused:
            console.print(f"not read: {where}: {reason}", style="dim", markup=False)


@command.command("what-if")
@click.argument("path", type=click.Path())
@click.option("--trips", multiple=True, metavar="LOOP=N", help="Another trip count; may be repeated.")
@click.option("--ii", multiple=True, metavar="LOOP=N", help="Another initiation interval; may be repeated.")
@click.option("--clock", metavar="250MHz", help="Another kernel clock.")
@click.option("--network", metavar="NETWORK", help="The network that the kernel was made for: binds its trip counts.")
@click.option("--to", "target", metavar="NETWORK", help="Predict the kernel made for this network instead.")
@output_options
def what_if(
    *,
    path: str,
    trips: tuple[str, ...],
    ii: tuple[str, ...],
    clock: str | None,
    network: str | None,
    target: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Predict the latency of the kernel reported in PATH with other trip counts, intervals or clock.

    LOOP is a loop's name, or the end of its path (module/outer/inner) where several have that name. NETWORK is a
    preset, a file, or a word such as lstm:units=128,layers=1,timesteps=28,features=28.
    """
    from lstmsim.reports.nest import build_nest
    from lstmsim.reports.read import read_reports
    from lstmsim.reports.whatif import parse_assignments
    from lstmsim.reports.whatif import what_if as answer

    if target and not network:
        raise ConfigError("--to needs --network, the network that the kernel was made for")
    report = read_reports(path).synthesis
    if report is None:
        raise ReportError(f"{path!r} holds no synthesis report: what-if needs loops")
    nest = build_nest(report)
    bindings, changes = _bound(nest, network, target)
    changes = replace(
        changes,
        trips={**changes.trips, **parse_assignments(nest, trips, "--trips")},
        ii={**changes.ii, **parse_assignments(nest, ii, "--ii")},
        clock_s=_period(clock) if clock else None,
    )
    result = answer(nest, changes)
    warnings = _warnings(report, changes, result, bindings if target else [])
    if target:
        warnings += _unbound(nest, changes)
    if as_json:
        print_json(_what_if_json(result, changes, bindings, warnings))
        return
    _print_what_if(nest, result, changes, bindings, () if quiet else warnings)


def _bound(nest: Nest, network: str | None, target: str | None) -> tuple[list[Binding], Changes]:
    from lstmsim.reports.whatif import Changes

    if network is None:
        return [], Changes()
    from lstmsim.importers import load_network
    from lstmsim.reports.bind import bind, rescale

    made_for = load_network(network)
    bindings = bind(nest, made_for)
    if not bindings:
        raise ConfigError(f"no trip count of the kernel is a dimension of network {made_for.name!r}: give --trips")
    if target is None:
        return bindings, Changes()
    return bindings, rescale(nest, bindings, made_for, load_network(target))


def _period(clock: str) -> float:
    from lstmsim.config import parse_frequency_hz

    try:
        hz = parse_frequency_hz(clock)
    except ValueError:
        raise ConfigError(f"--clock {clock!r} is not a frequency such as 250MHz") from None
    if not 1e6 <= hz <= 2e9:
        raise ConfigError(f"--clock {clock!r} is outside 1 MHz to 2 GHz")
    return 1.0 / hz


def _warnings(report: Report, changes: Changes, result: WhatIf, used: list[Binding]) -> list[str]:
    found = []
    estimate = report.clock_estimate_s
    if changes.clock_s and estimate and changes.clock_s < estimate:
        found.append(
            f"the report estimates {1e-6 / estimate:.0f} MHz for this schedule: at {1e-6 / changes.clock_s:.0f} MHz "
            "HLS would need more cycles, which is not modelled"
        )
    readings: dict[tuple[float, str, tuple[str, ...]], list[str]] = {}
    for binding in used:
        if binding.ambiguous:
            readings.setdefault((binding.trips, binding.term, binding.others), []).append(binding.loop)
    for (trips, term, others), loops in readings.items():
        more = f" and {len(loops) - 1} more" if len(loops) > 1 else ""
        choices = " or ".join(map(repr, others))
        found.append(
            f"{loops[0]}{more}: {trips:.0f} trips read as {term!r}, could be {choices}: check, or give --trips"
        )
    found += [f"{path}: its trip count is not in the report: give --trips" for path in result.unknown]
    return found


def _unbound(nest: Nest, changes: Changes) -> list[str]:
    """Name the loops that keep their trip counts, longest first: are these sizes of the network after all?"""
    from lstmsim.reports.bind import SMALLEST_BOUND

    kept = [
        loop for loop in nest.loops.values() if loop.name not in changes.trips and (loop.trips or 0) >= SMALLEST_BOUND
    ]
    kept.sort(key=lambda loop: -(loop.latency_cycles or 0.0))
    if not kept:
        return []
    shown = ", ".join(f"{loop.name} ({_count(loop.trips)} trips)" for loop in kept[:_OPERATORS_SHOWN])
    return [f"not bound to the network, so unchanged: {shown}{' ...' if len(kept) > _OPERATORS_SHOWN else ''}"]


def _milliseconds(cycles: float | None, period_s: float | None) -> str:
    return "?" if cycles is None or period_s is None else f"{cycles * period_s * 1e3:,.4g} ms"


def _count(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.2f} %"


def _print_summary(console: Console, report: Report) -> None:
    from rich.table import Table

    name = report.top or report.path.replace("\\", "/").rpartition("/")[2]
    table = Table(title=f"{report.kind}: {name}", show_header=False, title_justify="left", min_width=40)
    for label, value in _summary_rows(report):
        if value:
            table.add_row(label, value)
    console.print(table)


def _print_overview(console: Console, found: ReportSet, nests: dict[str, Nest]) -> None:
    from rich.table import Table

    table = Table(title=f"{len(nests)} syntheses below {found.path}", title_justify="left")
    for heading in ("folder", "top", "version", "cycles", "time", "rules"):
        number = heading in ("cycles", "time", "rules")
        table.add_column(heading, justify="right" if number else "left", overflow="fold", no_wrap=number)
    for folder, nest in nests.items():
        report, cycles = found.syntheses[folder], found.syntheses[folder].latency.high
        place = folder.removeprefix(found.path).lstrip("/\\")
        cells = (place, report.top, report.version, _count(cycles), _milliseconds(cycles, report.clock_s))
        table.add_row(*cells, _percent(nest.modules[nest.top].error))
    console.print(table)


def _summary_rows(report: Report) -> list[tuple[str, str]]:
    low, high = report.latency.low, report.latency.high
    cycles = _count(high) if low == high or low is None else f"{_count(low)} to {_count(high)}"
    known = report.latency.known or report.kind == "csynth"
    rows = [
        ("tool", f"{report.tool} {report.version}".strip()),
        ("part", report.part),
        ("status", report.status),
        ("clock", _clock_text(report)),
        ("latency", f"{cycles} cycles, {_milliseconds(high, report.clock_s)}" if known else ""),
        ("interval", f"{_count(report.interval.high)} cycles" if report.interval.known else ""),
    ]
    for name, used in report.resources.items():
        total = report.available.get(name)
        rows.append((name, f"{used:,.0f}" + (f" of {total:,.0f} ({100 * used / total:.1f} %)" if total else "")))
    for run in report.runs:
        times = (run.low_s, run.mean_s, run.high_s)
        rows.append((run.kernel, f"{run.count} runs, " + " / ".join(_milliseconds(1.0, time) for time in times)))
    ranked = sorted(report.operators, key=lambda op: (-op.resources.get("dsp", 0.0) * op.count, -op.count, op.kind))
    shown = [f"{op.count} x {op.kind}" for op in ranked if op.resources.get("dsp")][:_OPERATORS_SHOWN]
    rows.append(("operators on DSPs", ", ".join(shown)))
    rows += [("note", note) for note in report.notes]
    return rows


def _clock_text(report: Report) -> str:
    target, estimate = report.clock_target_s, report.clock_estimate_s
    parts = [f"{1e-6 / target:.4g} MHz target"] if target else []
    parts += (
        [f"{1e-6 / estimate:.4g} MHz " + ("estimated" if report.kind == "csynth" else "reached")] if estimate else []
    )
    return ", ".join(parts)


def _print_nest(console: Console, nest: Nest) -> None:
    from rich.table import Table
    from rich.tree import Tree

    tree = Tree(f"{nest.top}  {_count(nest.modules[nest.top].reported_cycles)} cycles", highlight=False)
    _grow(tree, nest, nest.top, {nest.top})
    console.print(tree)
    table = Table(title="Rules against report, cycles", title_justify="left")
    for heading in ("module", "reported", "from its parts", "difference", "why"):
        table.add_column(heading, justify="left" if heading in ("module", "why") else "right", overflow="fold")
    modules = [module for module in nest.modules.values() if module.composed_cycles is not None or module.body.loops]
    for module in modules[-_MODULES_SHOWN:]:
        cells = (_count(module.reported_cycles), _count(module.composed_cycles), _percent(module.error))
        table.add_row(module.name, *cells, module.reason or "; ".join(f"inferred: {what}" for what in module.inferred))
    console.print(table)
    if len(modules) > _MODULES_SHOWN:
        console.print(f"{len(modules) - _MODULES_SHOWN} modules more: see --json", style="dim")


def _grow(tree: Tree, nest: Nest, name: str, above: set[str]) -> None:
    body = nest.modules[name].body
    for loop in body.loops:
        _grow_loop(tree, nest, loop, above)
    for called in (*body.calls, *body.hidden):
        _grow_call(tree, nest, called, above, " (beside the others)" if called in body.hidden else "")


def _grow_loop(tree: Tree, nest: Nest, loop: LoopNode, above: set[str]) -> None:
    shape = f"II {_count(loop.ii)}, depth {_count(loop.depth)}" if loop.pipelined else "not pipelined"
    label = f"loop {loop.name.rpartition('/')[2]}: {_count(loop.trips)} trips, {shape}, {_count(loop.latency_cycles)}"
    branch = tree.add(label, highlight=False)
    for inner in loop.body.loops:
        _grow_loop(branch, nest, inner, above)
    for called, count in loop.body.calls.items():
        _grow_call(branch, nest, called, above, f" x {count}" if count > 1 else "")


def _grow_call(tree: Tree, nest: Nest, name: str, above: set[str], suffix: str) -> None:
    if name not in nest.modules:
        tree.add(f"{name}{suffix}", highlight=False)
        return
    branch = tree.add(f"{name}  {_count(nest.modules[name].reported_cycles)}{suffix}", highlight=False)
    if name not in above:
        _grow(branch, nest, name, above | {name})


def _print_what_if(
    nest: Nest, result: WhatIf, changes: Changes, bindings: list[Binding], warnings: list[str] | tuple[str, ...]
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if bindings:
        bound = Table(title="Trip counts bound to the network", title_justify="left")
        for heading in ("loop", "trips", "reads as", "layer", "becomes"):
            bound.add_column(heading, justify="right" if heading in ("trips", "becomes") else "left", overflow="fold")
        for binding in bindings:
            new = _count(changes.trips.get(binding.loop)) if binding.loop in changes.trips else ""
            bound.add_row(binding.loop, _count(binding.trips), binding.term, str(binding.layer + 1), new)
        console.print(bound)
    table = Table(title="What if", title_justify="left")
    for heading in ("module", "reported", "predicted", "change"):
        table.add_column(heading, justify="left" if heading == "module" else "right", overflow="fold")
    for name in nest.modules:
        before, after = result.before[name], result.after[name]
        if before != after or name == result.top:
            change = _percent(after / before - 1) if before and after is not None else ""
            table.add_row(name, _count(before), _count(after), change)
    console.print(table)
    before_ms = _milliseconds(result.before[result.top], result.clock_before_s)
    console.print(f"{result.top}: {before_ms} becomes {_milliseconds(result.cycles, result.clock_after_s)}")
    for warning in warnings:
        console.print(f"Note: {warning}", style="yellow", markup=False)


def _show_json(found: ReportSet, nests: dict[str, Nest]) -> dict[str, Any]:
    return {
        "syntheses": [
            {
                "folder": folder,
                "report": asdict(found.syntheses[folder]),
                "modules": [{**asdict(module), "error": module.error} for module in nest.modules.values()],
            }
            for folder, nest in nests.items()
        ],
        "others": [asdict(report) for report in found.others],
        "refused": [{"path": path, "reason": reason} for path, reason in found.refused],
    }


def _what_if_json(result: WhatIf, changes: Changes, bindings: list[Binding], warnings: list[str]) -> dict[str, Any]:
    return {
        "top": result.top,
        "cycles_before": result.before[result.top],
        "cycles": result.cycles,
        "seconds": result.seconds,
        "clock_hz": 1 / result.clock_after_s if result.clock_after_s else None,
        "changes": {"trips": dict(changes.trips), "ii": dict(changes.ii), "depth": dict(changes.depth)},
        "modules": {name: {"before": result.before[name], "after": after} for name, after in result.after.items()},
        "bindings": [asdict(binding) for binding in bindings],
        "notes": warnings,
    }

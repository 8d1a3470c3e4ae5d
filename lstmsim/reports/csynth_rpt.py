"""Text reports of HLS: `<module>_csynth.rpt` of one module, and the `csynth.rpt` summary of a whole kernel."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from lstmsim.errors import ReportError
from lstmsim.reports.cells import fields_of, number, ordered, seconds, span, tables, whole
from lstmsim.reports.csynth_xml import pipelining, tool_name
from lstmsim.reports.types import UNKNOWN, Loop, Module, Operator, Report, Span

Rows = list[list[str]]
Blocks = list[Rows]
DEPTH_LIMIT = 64
ROWS_LIMIT = 50_000
MODULE_TITLE = re.compile(r"^==\s*(Vivado|Vitis) HLS Report for '([^'\n]{1,4000})'", re.MULTILINE)
SUMMARY_TITLE = re.compile(r"^==\s*Synthesis Summary Report of '([^'\n]{1,4000})'", re.MULTILINE)
_LOOP_NAME = re.compile(r" {0,200}(-|\+{1,64})\s{0,9}(\S.*)")
_TREE_NAME = re.compile(r"( {0,400})([+o])\s{1,9}(\S.*)")
_RESOURCES = {
    "bram_18k": "bram18",
    "bram": "bram18",
    "dsp48e": "dsp",
    "dsp48e1": "dsp",
    "dsp": "dsp",
    "ff": "ff",
    "lut": "lut",
    "uram": "uram",
}
_OPERATOR = re.compile(
    r"_(faddfsub|daddsub|[fdh](?:add|sub|mul|div|sqrt|rsqrt|exp|log|cmp|recip)|[us]ito[fd]p|fpto[us]i|fpext|fptrunc|"
    r"mac_mul[a-z]*|ama_[a-z]*|mul_mul|mul|[us]div|[us]rem|mux)_"
)


def read_module_rpt(text: str, where: str) -> Report:
    """Return the report of one module; its calls are known, but not which of them are inside loops.

    Raises:
        ReportError: no latency table.
    """
    title = MODULE_TITLE.search(text)
    if not title:
        raise ReportError(f"{where}: not a report of an HLS module")
    lines = text.splitlines()
    head = fields_of(lines)
    name, found = title[2], _ModuleTables()
    for _start, blocks in tables(lines):
        found.take(blocks)
    if not found.seen_latency:
        raise ReportError(f"{where}: the report of {name!r} has no latency table: is it cut off?")
    module = Module(
        name=name,
        latency=found.latency,
        interval=found.interval,
        pipelining=pipelining(found.pipeline),
        loops=found.loops,
        calls=tuple(found.calls),
        calls_known=found.seen_end,
        calls_placed=found.seen_end and (not found.loops or not found.calls),
        clock_estimate_s=found.clock_estimate_s,
        resources=found.resources,
    )
    return Report(
        kind="csynth",
        path=where,
        tool=f"{title[1]} HLS",
        version=head.get("version", "").split(" ")[0],
        part=head.get("target device", ""),
        top=name,
        flow=_flow(head),
        clock_target_s=found.clock_target_s,
        clock_uncertainty_s=found.clock_uncertainty_s,
        clock_estimate_s=found.clock_estimate_s,
        latency=module.latency,
        interval=module.interval,
        modules={name: module},
        resources=module.resources,
        available=found.available,
        operators=tuple(found.operators.values()),
        notes=() if found.seen_end else ("cut off: no utilization summary",),
    )


def _flow(head: dict[str, str]) -> str:
    solution = head.get("solution", "").lower()
    return "vitis" if "vitis kernel flow" in solution else "vivado" if "vivado ip flow" in solution else ""


@dataclass(slots=True)
class _ModuleTables:
    """Collects the tables of a module report; each is known by its header cells."""

    latency: Span = UNKNOWN
    interval: Span = UNKNOWN
    pipeline: str = ""
    loops: tuple[Loop, ...] = ()
    calls: list[str] = field(default_factory=list)
    resources: dict[str, float] = field(default_factory=dict)
    available: dict[str, float] = field(default_factory=dict)
    operators: dict[str, Operator] = field(default_factory=dict)
    clock_target_s: float | None = None
    clock_estimate_s: float | None = None
    clock_uncertainty_s: float | None = None
    seen_latency: bool = False
    seen_end: bool = False

    def take(self, blocks: Blocks) -> None:
        """Read one table, if it is one of ours."""
        words = {cell.strip().lower() for row in blocks[0] for cell in row}
        rows = [row for block in blocks[1:] for row in block]
        if {"clock", "target", "estimated"} <= words:
            self._timing(rows)
        elif "loop name" in words:
            self.loops = _loops(rows)
        elif {"instance", "module"} <= words and "latency" in " ".join(words):
            self.calls = [row[1].strip() for row in rows if len(row) >= 6 and row[1].strip()]
        elif {"instance", "module"} <= words and words & set(_RESOURCES):
            self._bound(blocks[0], rows)
        elif "name" in words and {"ff", "lut"} <= words and not self.seen_end:
            self._utilization(blocks[0], rows)
        elif {"min", "max"} <= words and any(word.startswith("pipeline") for word in words) and not self.seen_latency:
            self._summary(rows)

    def _timing(self, rows: Rows) -> None:
        for row in rows[:1]:
            if len(row) >= 4:
                self.clock_target_s, self.clock_estimate_s = seconds(row[1]), seconds(row[2])
                self.clock_uncertainty_s = seconds(row[3])

    def _summary(self, rows: Rows) -> None:
        for row in rows[:1]:
            if len(row) in (5, 7):
                self.seen_latency = True
                self.latency = whole(ordered(number(row[0]), number(row[1])))
                self.interval = whole(ordered(number(row[-3]), number(row[-2])))
                self.pipeline = row[-1]

    def _utilization(self, header: Rows, rows: Rows) -> None:
        names = [cell.strip().lower() for cell in header[-1]]
        for row in rows:
            label = row[0].strip().lower()
            counts = _counts(names, row)
            if label == "total":
                self.resources, self.seen_end = counts, True
            elif label == "available":
                self.available = counts

    def _bound(self, header: Rows, rows: Rows) -> None:
        """Operators are instances whose module's name holds an operator: `top_fadd_32ns_32ns_32_5_full_dsp_1`."""
        names = [cell.strip().lower() for cell in header[-1]]
        for row in rows:
            found = _OPERATOR.search(row[1]) if len(row) > 2 else None
            if not found or row[0].strip().startswith("grp_"):
                continue
            module = row[1].strip()
            known = self.operators.get(module)
            self.operators[module] = (
                replace(known, count=known.count + 1)
                if known
                else Operator(kind=found[1], implementation=module, resources=_counts(names, row))
            )


def _counts(names: list[str], row: list[str]) -> dict[str, float]:
    pairs = ((_RESOURCES.get(name), number(cell)) for name, cell in zip(names, row, strict=False))
    return {name: value for name, value in pairs if name and value is not None}


def _loops(rows: Rows) -> tuple[Loop, ...]:
    """Return the loop table's rows as a tree: `- outer`, ` + inner`, `  ++ innermost`."""
    if len(rows) > ROWS_LIMIT:
        raise ReportError(f"a table of more than {ROWS_LIMIT:,} loops")
    flat: list[tuple[int, Loop]] = []
    for row in rows:
        found = _LOOP_NAME.match(row[0]) if len(row) == 8 else None
        if not found:
            continue
        iteration, pipelined = whole(span(row[3])), row[7].strip().lower().startswith(("yes", "rewind"))
        loop = Loop(
            name=found[2].strip(),
            trips=whole(span(row[6])),
            ii=whole(span(row[4])) if pipelined else UNKNOWN,
            depth=iteration if pipelined else UNKNOWN,
            iteration=iteration,
            latency=whole(ordered(number(row[1]), number(row[2]))),
            pipelined=pipelined,
        )
        flat.append((0 if found[1] == "-" else len(found[1]), loop))
    return _tree(flat)


def _tree(flat: Iterable[tuple[int, Loop]]) -> tuple[Loop, ...]:
    """Nest loops by their levels; a level that skips is hung below the last one."""
    stack: list[tuple[int, Loop, list[Loop]]] = []
    roots: list[Loop] = []

    def close(level: int) -> None:
        while stack and stack[-1][0] >= level:
            _level, loop, inner = stack.pop()
            (stack[-1][2] if stack else roots).append(replace(loop, loops=tuple(inner)))

    for level, loop in flat:
        close(min(level, DEPTH_LIMIT))
        stack.append((min(level, DEPTH_LIMIT), loop, []))
    close(-1)
    return tuple(roots)


def read_summary_rpt(text: str, where: str) -> Report:
    """Return the whole kernel from a `csynth.rpt`: modules and loops nested as they call one another.

    The summary prints one latency a row, the largest.

    Raises:
        ReportError: no "Performance & Resource Estimates" table.
    """
    title = SUMMARY_TITLE.search(text)
    if not title:
        raise ReportError(f"{where}: not a synthesis summary")
    lines = text.splitlines()
    head = fields_of(lines)
    table = next((blocks for _s, blocks in tables(lines) if _is_estimates(blocks)), None)
    if table is None:
        raise ReportError(f"{where}: the summary has no table of modules and loops: is it cut off?")
    modules = _modules(table, where)
    top = modules.get(title[1]) or next(iter(modules.values()), None)
    if top is None:
        raise ReportError(f"{where}: the table of modules and loops is empty")
    version = head.get("version", "").split(" ")[0]
    return Report(
        kind="csynth",
        path=where,
        tool=tool_name(version),
        version=version,
        part=head.get("target device", ""),
        top=top.name,
        flow=_flow(head),
        latency=top.latency,
        interval=top.interval,
        modules=modules,
        resources=top.resources,
        operators=_bind_ops(lines),
        notes=("one latency a module: the largest",),
    )


def _is_estimates(blocks: Blocks) -> bool:
    words = " ".join(cell for row in blocks[0] for cell in row)
    return "& Loops" in words and "Trip" in words


@dataclass(slots=True)
class _Node:
    """A row of the tree and what hangs below it."""

    level: int
    is_loop: bool
    name: str
    cells: dict[str, str]
    children: list[_Node] = field(default_factory=list)


def _modules(blocks: Blocks, where: str) -> dict[str, Module]:
    names = [cell.strip().lower() for cell in blocks[0][-1]]
    stack: list[_Node] = []
    modules: list[_Node] = []
    rows = 0
    for row in (row for block in blocks[1:] for row in block):
        found = _TREE_NAME.match(row[0])
        if not found:
            if stack and len(row) > 1 and not any(cell.strip() for cell in row[1:]):
                stack[-1].name += row[0].strip()  # a long name goes on in the next row
            continue
        if len(row) != len(names):
            raise ReportError(f"{where}: a row of {len(row)} cells below a header of {len(names)}: {row[0].strip()!r}")
        node = _Node(
            len(found[1]), found[2] == "o", found[3].strip(), dict(zip(names, map(str.strip, row), strict=True))
        )
        while stack and stack[-1].level >= node.level:
            stack.pop()
        if len(stack) >= DEPTH_LIMIT:
            raise ReportError(f"{where}: modules and loops are nested deeper than {DEPTH_LIMIT}")
        if stack:
            stack[-1].children.append(node)
        stack.append(node)
        rows += 1
        if rows > ROWS_LIMIT:
            raise ReportError(f"{where}: more than {ROWS_LIMIT:,} modules and loops")
        if not node.is_loop:
            modules.append(node)
    found_modules: dict[str, Module] = {}
    for node in modules:
        found_modules.setdefault(_plain_name(node), _as_module(node))
    return found_modules


def _plain_name(node: _Node) -> str:
    return node.name.rstrip("*").strip()


def _as_module(node: _Node) -> Module:
    kind = "dataflow" if node.name.endswith("*") else node.cells.get("pipelined", "")
    return Module(
        name=_plain_name(node),
        latency=Span(None, whole(span(node.cells.get("(cycles)"))).high),
        interval=Span(None, whole(span(node.cells.get("interval"))).high),
        pipelining=pipelining(kind),
        loops=tuple(_as_loop(child) for child in node.children if child.is_loop),
        calls=tuple(_plain_name(child) for child in node.children if not child.is_loop),
        calls_known=True,
        calls_placed=True,
        resources=_counts(list(node.cells), list(node.cells.values())),
    )


def _as_loop(node: _Node) -> Loop:
    iteration = whole(span(node.cells.get("latency")))
    pipelined = node.cells.get("pipelined", "").lower().startswith(("yes", "rewind"))
    return Loop(
        name=node.name,
        trips=whole(span(node.cells.get("count"))),
        ii=whole(span(node.cells.get("interval"))) if pipelined else UNKNOWN,
        depth=iteration if pipelined else UNKNOWN,
        iteration=iteration,
        latency=whole(span(node.cells.get("(cycles)"))),
        pipelined=pipelined,
        loops=tuple(_as_loop(child) for child in node.children if child.is_loop),
        calls=tuple(_plain_name(child) for child in node.children if not child.is_loop),
    )


def _bind_ops(lines: list[str]) -> tuple[Operator, ...]:
    """Return the "Bind Op Report", counted by operation, implementation and latency."""
    counted: dict[tuple[str, str, float | None, float], int] = {}
    for _start, blocks in tables(lines):
        names = [cell.strip().lower() for cell in blocks[0][-1]]
        if not {"op", "impl", "latency", "name"} <= set(names):
            continue
        for row in (row for block in blocks[1:] for row in block):
            cells = dict(zip(names, map(str.strip, row), strict=False))
            if cells.get("op"):
                key = (
                    cells["op"],
                    cells.get("impl", ""),
                    number(cells.get("latency")),
                    number(cells.get("dsp")) or 0.0,
                )
                counted[key] = counted.get(key, 0) + 1
    return tuple(
        Operator(kind=kind, implementation=impl, count=count, latency_cycles=latency, resources={"dsp": dsp})
        for (kind, impl, latency, dsp), count in counted.items()
    )

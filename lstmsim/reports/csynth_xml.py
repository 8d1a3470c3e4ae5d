"""`csynth.xml` and `<module>_csynth.xml` of Vivado and Vitis HLS, 2017 to 2025.

The top file of 2017-2019 knows its own loops only; newer ones carry every module, its calls and its operators.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lstmsim.errors import MissingExtra, ReportError
from lstmsim.reports.cells import number, ordered, seconds, span, whole
from lstmsim.reports.types import UNKNOWN, Loop, Module, Operator, Pipelining, Report, Span

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

XML_TAGS_LIMIT = 800_000
XML_DEPTH_LIMIT = 64
LOOPS_LIMIT = 50_000
_SKIPPED = {"InterfaceSummary", "Interfaces", "ReportHWInterface", "ReportSWInterface", "ReportBurst", "Args"}
_RESOURCE_TAGS = {
    "BRAM_18K": "bram18",
    "DSP48E": "dsp",
    "DSP": "dsp",
    "FF": "ff",
    "LUT": "lut",
    "URAM": "uram",
}


def read_csynth_xml(data: bytes, where: str) -> Report:
    """Return the report in a csynth.xml.

    Raises:
        ReportError: not XML, not a csynth report, entities, or nested too deep.
        MissingExtra: defusedxml is absent.
    """
    root = _parse(data, where)
    if root.tag != "profile" or root.find("UserAssignments") is None:
        raise ReportError(f"{where}: XML, but not a synthesis report (no <profile><UserAssignments>)")
    user = root.find("UserAssignments")
    top = _text(user, "TopModelName")
    if not top:
        raise ReportError(f"{where}: the synthesis report does not name its module (TopModelName)")
    unit = _text(user, "unit") or "ns"
    head = _module(top, root, unit)
    calls, per_module = _hierarchy(root)
    modules = {}
    for element in root.iterfind("ModuleInformation/Module"):
        if name := _text(element, "Name"):
            modules[name] = _with_calls(_module(name, element, unit), per_module.get(name))
    modules[top] = _with_calls(head, calls)
    version = _text(root, "ReportVersion/Version")
    return Report(
        kind="csynth",
        path=where,
        tool=tool_name(version),
        version=version,
        part=_text(user, "Part"),
        top=top,
        flow=_text(user, "FlowTarget"),
        clock_target_s=seconds(_text(user, "TargetClockPeriod"), unit),
        clock_uncertainty_s=seconds(_text(user, "ClockUncertainty"), unit),
        clock_estimate_s=head.clock_estimate_s,
        latency=head.latency,
        interval=head.interval,
        modules=modules,
        resources=head.resources,
        available=_resources(root.find("AreaEstimates/AvailableResources")),
        operators=_operators(root),
    )


def tool_name(version: str) -> str:
    """Return which of the two HLS tools has a version: Vitis HLS begins with 2020.1."""
    return "Vitis HLS" if version >= "2020" else "Vivado HLS"


def _parse(data: bytes, where: str) -> Element:
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import DefusedXMLParser
    except ImportError:
        raise MissingExtra("defusedxml", "reports", "reading XML reports") from None
    from xml.etree.ElementTree import ParseError, TreeBuilder

    if data.count(b"<") > XML_TAGS_LIMIT:
        raise ReportError(f"{where}: more than {XML_TAGS_LIMIT:,} XML tags, the limit for a report")

    class Bounded(TreeBuilder):
        """A tree builder that leaves out what nobody reads here."""

        depth = 0
        skipping = 0

        def start(self, tag: Any, attrs: Any) -> Any:
            self.depth += 1
            if self.depth > XML_DEPTH_LIMIT:
                raise ReportError(f"{where}: XML nested deeper than {XML_DEPTH_LIMIT} elements")
            if self.skipping or tag in _SKIPPED:
                self.skipping += 1
                return None
            return super().start(tag, attrs)

        def end(self, tag: Any) -> Any:
            self.depth -= 1
            if self.skipping:
                self.skipping -= 1
                return None
            return super().end(tag)

        def data(self, data: Any) -> None:
            if not self.skipping:
                super().data(data)

    parser = DefusedXMLParser(target=Bounded(), forbid_dtd=True)
    try:
        parser.feed(data)
        root: Element = parser.close()
    except DefusedXmlException:
        raise ReportError(f"{where}: XML with a document type or entities is not read, for safety") from None
    except (ParseError, ValueError, LookupError, AssertionError) as problem:
        raise ReportError(f"{where}: broken XML ({problem}): read the .rpt of the same module") from None
    return root


def _text(element: Element | None, path: str) -> str:
    found = element.find(path) if element is not None else None
    return (found.text or "").strip() if found is not None else ""


def _span(element: Element | None, path: str) -> Span:
    """Return a child's value: plain text, "a ~ b", or <range><min/><max/></range>."""
    found = element.find(path) if element is not None else None
    if found is None:
        return UNKNOWN
    inner = found.find("range")
    if inner is not None:
        return whole(ordered(number(_text(inner, "min")), number(_text(inner, "max"))))
    return whole(span(found.text))


def _module(name: str, element: Element, unit: str) -> Module:
    performance = element.find("PerformanceEstimates")
    overall = performance.find("SummaryOfOverallLatency") if performance is not None else None
    timing = performance.find("SummaryOfTimingAnalysis") if performance is not None else None
    interval = _span(overall, "PipelineInitiationInterval")
    if overall is not None and overall.find("Interval-max") is not None:
        interval = whole(ordered(number(_text(overall, "Interval-min")), number(_text(overall, "Interval-max"))))
    loops = performance.find("SummaryOfLoopLatency") if performance is not None else None
    if loops is not None and len(loops) > LOOPS_LIMIT:
        raise ReportError(f"module {name!r} has more than {LOOPS_LIMIT:,} loops")
    kind = _text(performance, "PipelineType") or _text(overall, "PipelineType")
    latency = ordered(number(_text(overall, "Best-caseLatency")), number(_text(overall, "Worst-caseLatency")))
    return Module(
        name=name,
        latency=whole(latency),
        interval=interval,
        pipelining=pipelining(kind),
        loops=tuple(_loop(child) for child in loops if _is_loop(child)) if loops is not None else (),
        clock_estimate_s=seconds(_text(timing, "EstimatedClockPeriod"), _text(timing, "unit") or unit),
        resources=_resources(element.find("AreaEstimates/Resources")),
    )


def pipelining(text: str) -> Pipelining:
    """Return a report's word for a module's or loop's pipelining in our words."""
    word = text.strip().lower()
    if not word:
        return "unknown"
    if word in ("no", "none"):
        return "no"
    if "rewind" in word:
        return "rewind"
    if word.startswith("dataflow"):
        return "dataflow"
    if word.startswith("function"):
        return "function"
    return "yes" if word.startswith("yes") else "unknown"


def _is_loop(element: Element) -> bool:
    return any(element.find(tag) is not None for tag in ("TripCount", "Latency", "IterationLatency", "PipelineII"))


def _loop(element: Element) -> Loop:
    ii, depth, iteration = (_span(element, tag) for tag in ("PipelineII", "PipelineDepth", "IterationLatency"))
    kind = pipelining(_text(element, "PipelineType"))
    pipelined = element.find("PipelineII") is not None or kind in ("yes", "rewind")
    instances = element.findall("InstanceList/Instance")
    return Loop(
        name=_text(element, "Name") or element.tag,
        trips=_span(element, "TripCount"),
        ii=ii,
        depth=depth if depth.known else iteration if pipelined else UNKNOWN,
        iteration=iteration,
        latency=_span(element, "Latency"),
        pipelined=pipelined,
        loops=tuple(_loop(child) for child in element if _is_loop(child)),
        calls=tuple((instance.text or "").strip() for instance in instances if (instance.text or "").strip()),
    )


def _resources(element: Element | None) -> dict[str, float]:
    found: dict[str, float] = {}
    for tag, name in _RESOURCE_TAGS.items():
        value = number(_text(element, tag))
        if value is not None:
            found[name] = value
    return found


Instances = dict[str, str]  # instance -> module


def _hierarchy(root: Element) -> tuple[Instances | None, dict[str, Instances]]:
    """Return the calls of the top and of every other module, as instance -> module; None where absent."""
    element = root.find("RTLDesignHierarchy/TopModule")
    per_module: dict[str, Instances] = {}
    if element is None:
        return None, per_module

    def visit(node: Element) -> Instances:
        calls: Instances = {}
        for instance in node.iterfind("InstancesList/Instance"):
            module, name = _text(instance, "ModuleName"), _text(instance, "InstName")
            if module:
                calls[name or module] = module
                per_module[module] = visit(instance)
        return calls

    return visit(element), per_module


def _with_calls(module: Module, calls: Instances | None) -> Module:
    """Put calls where the loops' instance lists say; the others are outside of the loops, if any loop has a list."""
    if calls is None:
        return module
    placed: set[str] = set()

    def place(loop: Loop) -> Loop:
        placed.update(loop.calls)
        called = tuple(calls.get(name, name) for name in loop.calls)
        return replace(loop, loops=tuple(place(inner) for inner in loop.loops), calls=called)

    loops = tuple(place(loop) for loop in module.loops)
    outside = tuple(target for name, target in calls.items() if name not in placed)
    return replace(module, loops=loops, calls=outside, calls_known=True, calls_placed=bool(placed) or not loops)


def _operators(root: Element) -> tuple[Operator, ...]:
    counted: Counter[tuple[str, str, float | None, float]] = Counter()
    for node in root.iter("BindNode"):
        if node.get("BINDTYPE") == "op":
            key = (node.get("OPTYPE", ""), node.get("IMPL", ""), number(node.get("LATENCY")), number(node.get("DSP")))
            counted[(key[0], key[1], key[2], key[3] or 0.0)] += 1
    ranked = sorted(counted.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or 0.0, item[0][3]))
    return tuple(
        Operator(kind=kind, implementation=impl, count=count, latency_cycles=latency, resources={"dsp": dsp})
        for (kind, impl, latency, dsp), count in ranked
    )

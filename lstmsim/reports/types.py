"""What a report says, in one form for every tool and version. Unknown stays unknown: None, never zero."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ReportKind = Literal[
    "csynth", "cosim", "utilization", "timing", "place-and-route", "system-estimate", "xclbin-info", "run-summary"
]
Pipelining = Literal["no", "yes", "rewind", "function", "dataflow", "unknown"]

RESOURCES = ("lut", "lutram", "ff", "bram18", "uram", "dsp")


@dataclass(frozen=True, slots=True)
class Span:
    """A smallest and a largest value; None where the tool does not know."""

    low: float | None = None
    high: float | None = None

    @property
    def known(self) -> bool:
        """Whether the largest value is known."""
        return self.high is not None

    @property
    def fixed(self) -> bool:
        """Whether there is exactly one value."""
        return self.high is not None and self.low == self.high

    def as_list(self) -> list[float | None]:
        """Return [low, high]."""
        return [self.low, self.high]


UNKNOWN = Span()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A row of a loop table. `depth` is a pipelined loop's iteration latency; cycles throughout."""

    name: str
    trips: Span = UNKNOWN
    ii: Span = UNKNOWN
    depth: Span = UNKNOWN
    iteration: Span = UNKNOWN
    latency: Span = UNKNOWN
    pipelined: bool = False
    loops: tuple[Loop, ...] = ()
    calls: tuple[str, ...] = ()  # modules called in the body, where the report says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One RTL module: a function, an outlined loop or a dataflow process.

    `calls` are the modules that it instantiates outside of its loops, or anywhere where `calls_placed` is false.
    """

    name: str
    latency: Span = UNKNOWN
    interval: Span = UNKNOWN
    pipelining: Pipelining = "unknown"
    loops: tuple[Loop, ...] = ()
    calls: tuple[str, ...] = ()
    calls_placed: bool = False
    calls_known: bool = False
    clock_estimate_s: float | None = None
    resources: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Bound operators of one kind: "fadd" on "fulldsp", how many, what one costs, its latency in cycles."""

    kind: str
    implementation: str = ""
    count: int = 1
    latency_cycles: float | None = None
    resources: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRun:
    """Measured runs of one kernel: how many, and the shortest, mean and longest time."""

    kernel: str
    count: int
    low_s: float | None
    mean_s: float | None
    high_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report, or all reports of one project joined. Fields that a report does not carry are None or empty."""

    kind: ReportKind
    path: str = ""
    tool: str = ""
    version: str = ""
    part: str = ""
    top: str = ""
    flow: str = ""
    status: str = ""
    clock_target_s: float | None = None
    clock_uncertainty_s: float | None = None
    clock_estimate_s: float | None = None
    latency: Span = UNKNOWN
    interval: Span = UNKNOWN
    modules: dict[str, Module] = field(default_factory=dict)
    resources: dict[str, float] = field(default_factory=dict)
    available: dict[str, float] = field(default_factory=dict)
    operators: tuple[Operator, ...] = ()
    runs: tuple[KernelRun, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def clock_s(self) -> float | None:
        """The period that the kernel would run at: the target, or the estimate where that is slower."""
        known = [value for value in (self.clock_target_s, self.clock_estimate_s) if value]
        return max(known) if known else None

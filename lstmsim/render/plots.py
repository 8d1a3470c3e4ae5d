"""Pictures: Pareto scatter, latency by phase, device comparison, sensitivity tornado. PNG or SVG."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstmsim.errors import ConfigError, MissingExtra
from lstmsim.files import write_bytes
from lstmsim.render.text import PHASE_WORDS

if TYPE_CHECKING:
    from lstmsim.estimate import Estimate
    from lstmsim.explore.result import Exploration
    from lstmsim.explore.sensitivity import Change
    from lstmsim.placement import Placement

KINDS = ("png", "svg")
_COLOURS = {"fpga": "#1b6ca8", "gpu": "#5a9e4b", "cpu": "#8a8a8a"}
_AXES = {
    "latency": ("latency_s", 1e3, "latency (ms)"),
    "throughput": ("throughput_per_s", 1e-3, "throughput (1000 inputs/s)"),
    "dsp": ("dsp", 1.0, "DSP blocks"),
    "lut": ("lut", 1e-3, "LUTs (1000)"),
    "lutram": ("lutram", 1e-3, "LUTs as memory (1000)"),
    "ff": ("ff", 1e-3, "flip-flops (1000)"),
    "bram": ("bram18", 1.0, "BRAM18 blocks"),
    "uram": ("uram", 1.0, "URAM blocks"),
    "power": ("power_w", 1.0, "power (W, estimate)"),
    "energy": ("energy_j", 1e3, "energy of an input (mJ, estimate)"),
    "accuracy": ("accuracy", 100.0, "accuracy (%)"),
}


def new_figure(width: float = 7.0, height: float = 4.4) -> tuple[Any, Any]:
    """Return a figure and its axes, without touching matplotlib's global state.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        figure_module = importlib.import_module("matplotlib.figure")
    except ImportError:
        raise MissingExtra("matplotlib", "plot", "drawing") from None
    figure = figure_module.Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return figure, axes


def image_bytes(figure: Any, kind: str) -> bytes:
    """Return a figure as PNG or SVG; the same figure gives the same bytes."""
    stream = io.BytesIO()
    matplotlib = importlib.import_module("matplotlib")
    with matplotlib.rc_context({"svg.hashsalt": "lstmsim", "svg.fonttype": "path"}):
        figure.savefig(stream, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return stream.getvalue()


def save(figure: Any, path: str | Path, *, force: bool = False) -> None:
    """Write a figure atomically; the ending of the name decides the kind.

    Raises:
        ConfigError: another ending, or the file exists and `force` is false.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise ConfigError(f"{str(path)!r}: a picture is written as .png or .svg")
    write_bytes(path, image_bytes(figure, kind), force=force)


def pareto_scatter(found: Exploration, first: str = "", second: str = "") -> Any:
    """Return the front over a sample of all designs, by two objectives (the first and a resource by default)."""
    x, y = second or _second_axis(found), first or found.objectives[0]
    (x_metric, x_factor, x_label), (y_metric, y_factor, y_label) = _AXES[x], _AXES[y]
    figure, axes = new_figure()
    sample = found.sample_rows()
    axes.scatter(
        [row[x_metric] * x_factor for row in sample],
        [row[y_metric] * y_factor for row in sample],
        s=4,
        color="0.75",
        label=f"a sample of {found.feasible:,} feasible designs",
    )
    figures = [design.figures for design in found.designs(4000)]
    axes.scatter(
        [row[x_metric] * x_factor for row in figures],
        [row[y_metric] * y_factor for row in figures],
        s=12,
        color=_COLOURS["fpga"],
        label=f"front of {len(found.objectives)} objectives, {len(found.front):,} designs",
    )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if y in {"latency", "energy"}:
        axes.set_yscale("log")
    axes.set_title(f"{found.network} on {found.device}", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def _second_axis(found: Exploration) -> str:
    others = [name for name in found.objectives[1:] if name in {"dsp", "lut", "energy", "power", "accuracy"}]
    return next(iter(others or found.objectives[1:]), "dsp")


def phase_bars(results: Sequence[Estimate], labels: Sequence[str] = ()) -> Any:
    """Return the latency of several estimates as bars stacked by phase."""
    names = list(labels) or [f"{one.network}\n{one.device}" for one in results]
    figure, axes = new_figure(height=1.4 + 0.5 * max(2, len(results)))
    phases = list(dict.fromkeys(phase for one in results for phase in one.seconds))
    left = [0.0] * len(results)
    for phase in phases:
        widths = [one.seconds.get(phase, 0.0) * 1e3 for one in results]
        if any(widths):
            axes.barh(names, widths, left=left, label=PHASE_WORDS.get(phase, phase))
            left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("latency of a call (ms)")
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.25))
    return figure


def device_comparison(placements: Sequence[Placement]) -> Any:
    """Return the figures of placements as bars, one panel a network, colours by kind of device."""
    figure, _ = new_figure(width=7.5, height=2.2 + 0.17 * sum(len(one.options) for one in placements))
    figure.clear()
    panels = figure.subplots(len(placements), 1, squeeze=False)
    for axes, placement in zip(panels[:, 0], placements, strict=True):
        metric, factor, label = _AXES[placement.objective]
        able = [one for one in placement.options if not one.reason]
        axes.barh(
            [f"{one.device} ({one.edge})" for one in able],
            [getattr(one, metric) * factor for one in able],
            color=[_COLOURS[one.kind] for one in able],
        )
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.tick_params(labelsize=7)
        axes.set_title(placement.network, fontsize=10)
        axes.grid(alpha=0.3, axis="x")
    handles = [importlib.import_module("matplotlib.patches").Patch(color=c, label=k) for k, c in _COLOURS.items()]
    figure.legend(handles=handles, fontsize=8, loc="outside upper right", ncols=3)
    return figure


def tornado(changes: Sequence[Change], title: str = "") -> Any:
    """Return how far each knob moves the latency, both ways, the widest on top."""
    span: dict[str, tuple[Change, Change]] = {}
    for change in changes:
        least, most = span.get(change.knob, (change, change))
        span[change.knob] = (min(least, change, key=_latency), max(most, change, key=_latency))
    moving = {knob: pair for knob, pair in span.items() if max(abs(one.latency) for one in pair) > 1e-6}
    ranked = sorted(moving, key=lambda knob: -max(abs(one.latency) for one in moving[knob]))
    figure, axes = new_figure(height=1.6 + 0.3 * max(2, len(ranked)))
    for row, knob in enumerate(ranked):
        for change in dict.fromkeys(one.value for one in moving[knob]):
            one = next(entry for entry in moving[knob] if entry.value == change)
            colour = "#1b6ca8" if one.latency < 0 else "#c0504d"
            axes.barh(row, one.latency * 100, color=colour, alpha=1.0 if one.fits else 0.35)
            axes.annotate(
                f"{one.value}",
                (one.latency * 100, row),
                fontsize=6,
                va="center",
                ha="left" if one.latency > 0 else "right",
            )
    axes.set_yticks(range(len(ranked)), ranked)
    axes.invert_yaxis()
    axes.axvline(0, color="0.3", lw=0.8)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlabel("change of latency (%, pale: does not fit)")
    axes.set_title(title, fontsize=10)
    return figure


def _latency(change: Change) -> float:
    return change.latency

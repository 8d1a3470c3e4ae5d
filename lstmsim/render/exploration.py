"""Explorations, placements and sensitivities as tables for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lstmsim.render.units import percent_text, rate_text, time_text

if TYPE_CHECKING:
    from rich.table import Table

    from lstmsim.config import KernelConfig
    from lstmsim.explore.result import Design, Exploration
    from lstmsim.explore.sensitivity import Change
    from lstmsim.placement import PaperFactor, Placement


def joule_text(value: float) -> str:
    """Return joule with a fitting unit."""
    for factor, unit in ((1.0, "J"), (1e3, "mJ")):
        if value * factor >= 1.0:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} µJ"


def front_table(found: Exploration, designs: list[Design], *, quiet: bool) -> Table:
    """Return the figures of designs of a front as a table; `knob_lines` names the designs by the same numbers."""
    from rich.table import Table

    title = f"Pareto front of {found.network} on {found.device}, best {found.objectives[0]} first"
    table = Table(title=None if quiet else title, title_justify="left")
    known = bool(designs) and not math.isnan(designs[0].figures["accuracy"])
    headings = ["#", "latency", "throughput", "DSP", "LUT", "BRAM18", "energy", *(["accuracy"] if known else [])]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for number, design in enumerate(designs, start=1):
        f = design.figures
        cells = [
            str(number),
            time_text(f["latency_s"]),
            rate_text(f["throughput_per_s"]),
            f"{f['dsp']:,.0f}",
            f"{f['lut'] / 1e3:,.0f}k",
            f"{f['bram18']:,.0f}",
            joule_text(f["energy_j"]),
        ]
        table.add_row(*cells, *([percent_text(f["accuracy"])] if known else []))
    return table


def knob_lines(designs: list[Design]) -> list[str]:
    """Return the knobs that all designs share (where not the default), then those of each that differ."""
    from lstmsim.config import KernelConfig

    varying = varying_knobs(designs)
    defaults = KernelConfig().to_dict()
    first = designs[0].config.to_dict()
    shared = [name for name, value in first.items() if name not in varying and value != defaults[name]]
    lines = ["all  " + knobs_text(designs[0], shared)] if shared else []
    if varying:
        lines += [f"{number:>3}  {knobs_text(design, varying)}" for number, design in enumerate(designs, start=1)]
    return lines


def varying_knobs(designs: list[Design]) -> list[str]:
    """Return the names of knobs that differ among designs."""
    rows = [design.config.to_dict() for design in designs]
    return [name for name in rows[0] if len({str(row[name]) for row in rows}) > 1] if rows else []


def knobs_text(design: Design, names: list[str]) -> str:
    """Return some knobs of a design as `name=value` words, formats once where all agree."""
    values = design.config.to_dict()
    words = []
    for name in names:
        if name.endswith("_format") and name != "weight_format" and name != "io_format":
            continue
        words.append(f"{name}={_value_text(name, values[name])}")
    return " ".join(words)


def _value_text(name: str, value: Any) -> str:
    if name == "clock_hz":
        return f"{value / 1e6:g}MHz"
    return str(value).lower() if isinstance(value, bool) else str(value)


def placement_table(found: Placement, edge: str, *, quiet: bool) -> Table:
    """Return the devices of one edge, ranked; `placement_lines` names their designs."""
    from rich.table import Table

    table = Table(title=None if quiet else f"{found.network}, {edge} edge, by {found.objective}", title_justify="left")
    for heading in ("device", "kind", "latency", "throughput", "energy", f"x {found.baselines[edge]}"):
        table.add_column(heading, justify="left" if heading in {"device", "kind"} else "right", no_wrap=True)
    for row in found.of_edge(edge):
        if row.reason:
            table.add_row(row.device, row.kind, "-", "-", "-", "-", style="dim")
            continue
        table.add_row(
            row.device,
            row.kind,
            time_text(row.latency_s),
            rate_text(row.throughput_per_s),
            joule_text(row.energy_j),
            f"{row.factor:.3g}",
        )
    return table


def placement_lines(found: Placement, edge: str) -> list[str]:
    """Return one line a device: its best design, or why there is none. Devices of the same design share a line."""
    devices: dict[str, list[str]] = {}
    for row in found.of_edge(edge):
        text = row.reason or (design_text(row.config) if row.config else "")
        if text:
            devices.setdefault(text, []).append(row.device)
    return [f"  {', '.join(names)}: {text}" for text, names in devices.items()]


def design_text(config: KernelConfig) -> str:
    """Return the knobs of a design that differ from the defaults."""
    from lstmsim.config import KernelConfig as Knobs

    defaults = Knobs().to_dict()
    differing = {name: value for name, value in config.to_dict().items() if value != defaults[name]}
    differing.pop("clock_hz", None)
    return " ".join(f"{name}={_value_text(name, value)}" for name, value in differing.items()) or "defaults"


def factors_table(rows: list[PaperFactor], *, quiet: bool) -> Table:
    """Return the acceleration factors that the paper prints beside ours."""
    from rich.table import Table

    table = Table(title=None if quiet else "Acceleration factors of section 5.3", title_justify="left")
    for heading in ("network", "edge", "what", "paper", "same design", "best found"):
        table.add_column(heading, justify="left" if heading in {"network", "edge", "what"} else "right")
    for row in rows:
        same = "-" if row.same_design is None else f"{row.same_design:.1f} x"
        best = "-" if row.best_found is None else f"{row.best_found:.1f} x"
        table.add_row(row.network, row.edge, row.what, f"{row.paper:g} x", same, best)
    return table


def sensitivity_table(rows: list[Change], *, quiet: bool) -> Table:
    """Return single changes of a configuration, the most helpful first."""
    from rich.table import Table

    table = Table(title=None if quiet else "One change at a time", title_justify="left")
    for heading in ("change", "latency", "throughput", "DSP", "LUT", "BRAM18", "fits"):
        table.add_column(
            heading, justify="left" if heading in {"change", "fits"} else "right", no_wrap=heading == "change"
        )
    for row in rows:
        table.add_row(
            f"{row.knob}={_value_text(row.knob, row.value)}",
            signed_percent(row.latency),
            signed_percent(row.throughput),
            *(signed_percent(row.resources[name]) for name in ("dsp", "lut", "bram18")),
            "yes" if row.fits else f"no, {row.breaks_first}",
            style="" if row.fits else "dim",
        )
    return table


def signed_percent(share: float) -> str:
    """Return a relative change with its sign."""
    if not math.isfinite(share):
        return "new"
    return "=" if abs(share) < 5e-4 else f"{share:+.1%}"

"""Explorations, placements and sensitivities as tables for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from lstmsim.explore.result import Design, Exploration


def seconds_text(value: float) -> str:
    """Return seconds with a fitting unit."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if value * factor >= 1.0 or unit == "us":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError(value)


def rate_text(value: float) -> str:
    """Return a rate with a fitting prefix."""
    for factor, unit in ((1e-6, "M/s"), (1e-3, "k/s"), (1.0, "/s")):
        if value * factor >= 1.0 or unit == "/s":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError(value)


def joule_text(value: float) -> str:
    """Return joule with a fitting unit."""
    for factor, unit in ((1.0, "J"), (1e3, "mJ"), (1e6, "uJ")):
        if value * factor >= 1.0 or unit == "uJ":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError(value)


def front_table(found: Exploration, designs: list[Design], *, quiet: bool) -> Table:
    """Return designs of a front as a table: figures, then the knobs on which they differ."""
    from rich.table import Table

    shown_knobs = varying_knobs(designs)
    title = f"Pareto front of {found.network} on {found.device}, best {found.objectives[0]} first"
    table = Table(title=None if quiet else title, title_justify="left")
    for heading in ("latency", "throughput", "DSP", "LUT", "BRAM18", "energy"):
        table.add_column(heading, justify="right", no_wrap=heading != "throughput")
    known = designs and not math.isnan(designs[0].figures["accuracy"])
    if known:
        table.add_column("accuracy", justify="right")
    table.add_column("knobs that differ", overflow="fold")
    for design in designs:
        f = design.figures
        cells = [
            seconds_text(f["latency_s"]),
            rate_text(f["throughput_per_s"]),
            f"{f['dsp']:,.0f}",
            f"{f['lut'] / 1e3:,.0f}k",
            f"{f['bram18']:,.0f}",
            joule_text(f["energy_j"]),
        ]
        if known:
            cells.append(f"{f['accuracy']:.2%}")
        table.add_row(*cells, knobs_text(design, shown_knobs))
    return table


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

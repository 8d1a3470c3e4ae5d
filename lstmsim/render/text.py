"""Results in a terminal or a notebook."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from lstmsim.render.units import bar, frequency_text, percent_text, rate_text, time_text

if TYPE_CHECKING:
    from lstmsim.accuracy import AccuracyResult
    from lstmsim.estimate import Estimate

PHASE_WORDS = {
    "launch": "launch and host",
    "weight_load": "weight load",
    "input": "input copies",
    "gates": "gates",
    "elementwise": "element-wise",
    "dense": "dense",
    "output": "output",
    "waiting": "waiting for other instances",
    "steps": "layer steps",
    "weights": "weights",
    "products": "products",
}
RESOURCE_WORDS = {"lut": "LUT", "lutram": "LUT as memory", "ff": "FF", "bram18": "BRAM18", "uram": "URAM", "dsp": "DSP"}


def estimate_view(result: Estimate) -> Any:
    """Return what rich prints for an estimate."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [_headline(result), phase_table(result)]
    if result.resources is not None:
        parts.append(resource_table(result))
    verdict = _verdict(result)
    if verdict:
        parts.append(Text.from_markup(verdict))
    return Group(*parts)


def _headline(result: Estimate) -> Any:
    from rich.text import Text

    text = Text()
    text.append(f"{result.network} on {result.device}", style="bold")
    if result.clock_hz:
        text.append(f" at {frequency_text(result.clock_hz)}")
    if result.batch > 1:
        text.append(f", batch {result.batch:,}")
    text.append("\n\n  latency     ")
    text.append(time_text(result.latency_s), style="bold green")
    text.append(f"   90 % interval {time_text(result.latency_low_s)} to {time_text(result.latency_high_s)}")
    text.append(f"\n  throughput  {rate_text(result.throughput_per_s)}\n")
    return text


def phase_table(result: Estimate) -> Any:
    """Return the table of phases with bars."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("phase")
    table.add_column("time", justify="right")
    if result.cycles:
        table.add_column("cycles", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    for name, seconds in result.seconds.items():
        if seconds <= 0:
            continue
        share = seconds / result.latency_s
        cells = [PHASE_WORDS.get(name, name), time_text(seconds)]
        if result.cycles:
            cells.append(f"{result.cycles[name]:,.0f}")
        style = "bold" if name == result.bottleneck else ""
        table.add_row(*cells, percent_text(share), f"[cyan]{bar(share)}[/cyan]", style=style)
    return table


def resource_table(result: Estimate) -> Any:
    """Return the table of resources against the user budget."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("resource", "needed", "budget", "share"):
        table.add_column(heading, justify="left" if heading == "resource" else "right")
    table.add_column("")
    for name, need in (result.resources or {}).items():
        share, budget = (result.utilization or {})[name], (result.budget or {})[name]
        color = "red" if share > 1 else "yellow" if share > 0.8 else "cyan"
        table.add_row(
            RESOURCE_WORDS[name],
            f"{need:,.0f}",
            f"{budget:,.0f}",
            percent_text(share),
            f"[{color}]{bar(share)}[/{color}]",
        )
    return table


def _verdict(result: Estimate) -> str:
    lines = []
    if result.fits is False:
        lines.append(f"[red]does not fit:[/red] {RESOURCE_WORDS[result.breaks_first or 'lut']} breaks first")
    lines.append(f"bottleneck: {PHASE_WORDS.get(result.bottleneck, result.bottleneck)}")
    if result.extrapolated:
        lines.append("[yellow]extrapolated:[/yellow] " + "; ".join(result.reasons))
    if result.advice:
        lines.append(f"[green]advice:[/green] {result.advice}")
    return "\n" + "\n".join(f"  {line}" for line in lines)


def accuracy_view(result: AccuracyResult) -> Any:
    """Return the figures of a format beside those of the float model."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("accuracy", "this format", "in float"):
        table.add_column(heading, justify="left" if heading == "accuracy" else "right")
    rows = [
        ("detection accuracy", result.accuracy, result.float_accuracy),
        ("labels as in float", result.agreement, 1.0),
        ("F1", result.f1, result.float_f1),
    ]
    for name, found, in_float in rows:
        if found is not None and in_float is not None:
            table.add_row(name, f"{found:.2%}", f"{in_float:.2%}")
    if result.rmse is not None and result.float_rmse is not None:
        table.add_row(f"RMSE {result.unit}".strip(), f"{result.rmse:.4g}", f"{result.float_rmse:.4g}")
    table.add_row("signal to quantisation noise", f"{result.sqnr_db:.1f} dB", "")
    table.caption = f"{result.samples:,} samples of {result.data}"
    return table


def plain(renderable: Any, width: int = 100) -> str:
    """Return what rich would print, as text without colours."""
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, force_jupyter=False).print(renderable)
    return stream.getvalue()


def html(renderable: Any, width: int = 100) -> str:
    """Return what rich would print, as HTML for a notebook."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, record=True, force_jupyter=False)
    console.print(renderable)
    return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")

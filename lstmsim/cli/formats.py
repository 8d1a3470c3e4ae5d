"""`lstmsim formats`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import config_options, force_option, output_options, print_json

if TYPE_CHECKING:
    from lstmsim.formats import FormatSearch

RESOURCES = ("lut", "lutram", "ff", "bram18", "dsp")


@click.command("formats")
@click.argument("network")
@click.option("--data", metavar="DATA", help="Data as for `lstmsim accuracy`; synthetic telemetry where unset.")
@click.option("--weights", metavar="FILE", help="Trained weights; those of the package where unset.")
@click.option("--seed", default=0, show_default=True, help="Which packaged weights, and the seed of synthetic data.")
@click.option(
    "--min-accuracy", default="99%", show_default=True, metavar="SHARE", help="Share of float quality to keep."
)
@click.option("--samples", default=4000, show_default=True, help="Test windows: half to search on, half to confirm.")
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="FILE.toml", help="Write the configuration.")
@config_options
@force_option
@output_options
def command(
    *,
    network: str,
    data: str | None,
    weights: str | None,
    seed: int,
    min_accuracy: str,
    samples: int,
    output: Path | None,
    config_file: str | None,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Search the narrowest number formats of NETWORK that keep a share of the float model's quality.

    Quality is the agreement with the float model's decisions (detection) or float RMSE over RMSE (forecast).
    """
    from lstmsim.cli.accuracy import find_model, progress_bar
    from lstmsim.config import KernelConfig, config_from_toml, parse_assignments, replace_knobs
    from lstmsim.files import refuse_existing, write_text
    from lstmsim.formats import NOT_TRIED, savings, search_formats

    if output is not None:
        refuse_existing(output, force=force)
    base = replace_knobs(
        config_from_toml(config_file) if config_file else KernelConfig(), parse_assignments(assignments), "--set"
    )
    target = parse_share(min_accuracy)
    model, loaded = find_model(network, data, weights, seed)
    with progress_bar(quiet or as_json) as bar:
        job = bar.add_task("searching", total=None)

        def tried(what: str, quality: float, kept: bool) -> None:
            verdict = "keeps" if kept else "loses"
            bar.update(job, advance=1, description=f"{what}: {verdict} ({100 * quality:.2f} %)")

        search = search_formats(model, loaded, target=target, samples=samples, base=base, tried=tried)
    saved = savings(model.network, search)
    if output is not None:
        write_text(output, search.to_toml(), force=force)
    if as_json:
        print_json(_document(search, saved, NOT_TRIED))
        return
    if not quiet:
        _print_story(search, saved, NOT_TRIED)
    click.echo(search.to_toml(), nl=False)
    if output is not None and not quiet:
        click.echo(f"\nWritten to {output}")


def parse_share(text: str) -> float:
    """Read "99%" or "0.99".

    Raises:
        ConfigError: any other text.
    """
    from lstmsim.errors import ConfigError

    body = text.strip()
    try:
        value = float(body.removesuffix("%")) / (100 if body.endswith("%") else 1)
    except ValueError:
        raise ConfigError(f"--min-accuracy {text!r} is not a share such as 99% or 0.99") from None
    if not 0.5 <= value <= 1:
        raise ConfigError(f"--min-accuracy {text!r} is outside 50%..100%")
    return value


def _document(search: FormatSearch, saved: list[dict[str, Any]], not_tried: str) -> dict[str, Any]:
    return {
        "config": search.config.to_dict(),
        "target": search.target,
        "bar": search.bar,
        "meets_target": search.meets_target,
        "found": search.found.to_dict(),
        "searched": search.searched.to_dict(),
        "steps": [{"what": one.what, "quality": one.quality, "kept": one.kept} for one in search.steps],
        "weight_bytes": search.weight_bytes,
        "weight_bytes_16_bits": search.baseline_weight_bytes,
        "savings": saved,
        "not_tried": not_tried,
    }


def _print_story(search: FormatSearch, saved: list[dict[str, Any]], not_tried: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console = console if console.is_terminal else Console(width=110)
    found, seen = search.found, search.ranges
    console.print(
        f"Spans: weights ±{seen.weights:.3g}, inputs ±{seen.inputs:.3g}, gate inputs ±{seen.gate_inputs:.3g}, hidden "
        f"±{seen.hidden:.3g}, cell ±{seen.cell:.3g}, largest possible sum ±{seen.largest_sum:.3g}",
        highlight=False,
    )
    word = "confirmed" if search.meets_target else "NOT confirmed"
    console.print(
        f"Kept: {100 * found.quality:.2f} % of the float model on {found.samples:,} windows not searched on "
        f"(asked {100 * search.target:g} %: {word}); {100 * search.searched.quality:.2f} % on those searched on, "
        f"where {100 * search.bar:.2f} % was the bar. {len(search.steps)} configurations tried.",
        highlight=False,
    )
    if found.accuracy is not None and found.float_accuracy is not None:
        console.print(
            f"Accuracy {100 * found.accuracy:.2f} %, float {100 * found.float_accuracy:.2f} %", highlight=False
        )
    console.print(
        f"Weights: {search.weight_bytes:,.0f} bytes, with 16 bits {search.baseline_weight_bytes:,.0f}", highlight=False
    )
    table = Table(title="Estimated; change against 16 bits throughout", box=box.SIMPLE_HEAD)
    for heading in ("device", "ms", *RESOURCES):
        table.add_column(heading, justify="left" if heading == "device" else "right", no_wrap=True)
    for row in saved:
        times = {"ms": 1e3 * row["latency_s"], "ms_16_bits": 1e3 * row["latency_16_bits_s"]}
        table.add_row(row["device"], _change(times, "ms", 3), *(_change(row, name, 0) for name in RESOURCES))
    console.print(table)
    console.print(f"Not tried: {not_tried}.", style="dim", highlight=False)
    console.print()


def _change(row: dict[str, Any], name: str, digits: int) -> str:
    """Return a figure and its change, such as "7,776 (-37 %)"."""
    if name not in row:
        return ""
    new, old = row[name], row[f"{name}_16_bits"]
    return f"{new:,.{digits}f}" + (f" ({100 * (new / old - 1):+.0f} %)" if old else "")

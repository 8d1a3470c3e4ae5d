"""`lstmsim accuracy`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import config_options, force_option, output_options, print_json

if TYPE_CHECKING:
    from lstmsim.accuracy import AccuracyResult, PublishedAccuracy, Reference
    from lstmsim.config import KernelConfig
    from lstmsim.datasets import Dataset
    from lstmsim.model import Model

Labelled = list[tuple[str, "KernelConfig"]]


@click.command("accuracy")
@click.argument("network")
@click.option(
    "--data", metavar="DATA", help="synthetic (default), bokeh:stocks, bokeh:sst, NSL-KDD's folder, or a file."
)
@click.option("--weights", metavar="FILE", help="Trained weights; those of the package where unset.")
@click.option("--seed", default=0, show_default=True, help="Which packaged weights, and the seed of synthetic data.")
@click.option("--format", "formats", multiple=True, metavar="FORMAT", help="Such as 'ap_fixed<16,8>'; may be repeated.")
@click.option("--sweep", metavar="fractional=A..B", help="Every binary point from A to B fractional bits.")
@click.option("--total-bits", default=16, show_default=True, help="Width of the formats of a sweep.")
@click.option("--truncate", is_flag=True, help="Sweep with truncation and wrapping instead of rounding and saturation.")
@click.option("--samples", default=4000, show_default=True, help="Test windows at most.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw the curve (.png, .svg, .pdf).")
@config_options
@force_option
@output_options
def command(
    *,
    network: str,
    data: str | None,
    weights: str | None,
    seed: int,
    formats: tuple[str, ...],
    sweep: str | None,
    total_bits: int,
    truncate: bool,
    samples: int,
    plot: Path | None,
    config_file: str | None,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run NETWORK bit for bit in some number formats and tell what they cost in accuracy.

    NETWORK is a network of the package, measured with its packaged weights, or a trained model file. Without
    --format, --sweep, --config or --set the recommended 16-bit format and ap_fixed's default modes are compared.
    """
    from lstmsim.accuracy import published_points
    from lstmsim.accuracy import sweep as run_sweep
    from lstmsim.files import refuse_existing

    if plot is not None:
        refuse_existing(plot, force=force)
    configs = _configs(formats, sweep, total_bits, truncate, config_file, assignments)
    model, loaded = find_model(network, data, weights, seed)
    silent = quiet or as_json
    reference = float_run(model, loaded, samples, silent=silent)
    with progress_bar(silent) as bar:
        job = bar.add_task("formats", total=len(configs))
        results = run_sweep(reference, configs, progress=lambda done: bar.advance(job, done))
    points = published_points(model.network.name)
    if plot is not None:
        from lstmsim.render.accuracy_plot import draw_accuracy

        draw_accuracy(results, [fraction_of(config) for _, config in configs], points, plot, force=force)
    if as_json:
        print_json(
            {
                "network": model.network.name,
                "data": {"name": loaded.name, "source": loaded.source, "note": loaded.note},
                "results": [
                    {**one.to_dict(), "fractional_bits": fraction_of(config), "config": config.to_dict()}
                    for one, (_, config) in zip(results, configs, strict=True)
                ],
                "published": [
                    {"fractional_bits": one.fractional_bits, "accuracy": one.accuracy, "source": one.source}
                    for one in points
                ],
            }
        )
        return
    print_results(results, [config for _, config in configs], points, loaded, quiet=quiet)
    if plot is not None and not quiet:
        click.echo(f"Curve written to {plot}")


def find_model(network: str, data: str | None, weights: str | None, seed: int) -> tuple[Model, Dataset]:
    """Return the model that a command line names, and its data.

    Raises:
        LstmsimError: no such network, weights or data.
    """
    from lstmsim.accuracy import model_for
    from lstmsim.datasets import load_dataset
    from lstmsim.importers import load_model, load_network
    from lstmsim.network import preset_names

    if weights is not None:
        model = load_model(network, weights=weights)
        return model, load_dataset(data, model.network, seed=seed)
    if network in preset_names() or network.endswith(".toml"):
        shape = load_network(network)
        loaded = load_dataset(data, shape, seed=seed)
        return model_for(shape, loaded, seed), loaded
    model = load_model(network)
    return model, load_dataset(data, model.network, seed=seed)


def float_run(model: Model, data: Dataset, samples: int, *, silent: bool) -> Reference:
    """Run the float model under a progress bar."""
    from lstmsim.accuracy import make_reference, windows_of

    with progress_bar(silent) as bar:
        job = bar.add_task("float model", total=windows_of(data, samples))
        return make_reference(model, data, samples=samples, progress=lambda done: bar.advance(job, done))


def progress_bar(silent: bool) -> Any:
    """Return a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=silent, transient=True)


def fraction_of(config: KernelConfig) -> int | None:
    """Return the fractional bits of a configuration's weights; None in float."""
    from lstmsim.fixedpoint import FixedFormat

    number = config.weight_format
    return number.fractional_bits if isinstance(number, FixedFormat) else None


def parse_range(text: str) -> list[int]:
    """Read "fractional=2..12" or "fractional=8".

    Raises:
        ConfigError: any other text.
    """
    from lstmsim.errors import ConfigError

    name, _, span = text.partition("=")
    low, dots, high = span.partition("..")
    try:
        first, last = int(low), int(high if dots else low)
    except ValueError:
        first, last = 0, -1
    if name.strip() != "fractional" or not 0 <= first <= last <= 63:
        raise ConfigError(f"--sweep {text!r} is not of the form fractional=2..12")
    return list(range(first, last + 1))


def _configs(
    formats: tuple[str, ...],
    sweep: str | None,
    total_bits: int,
    truncate: bool,
    config_file: str | None,
    assignments: tuple[str, ...],
) -> Labelled:
    from lstmsim.accuracy import RECOMMENDED, format_config, fractional_configs
    from lstmsim.config import KernelConfig, config_from_toml, parse_assignments, replace_knobs
    from lstmsim.fixedpoint import parse_format

    given = replace_knobs(
        config_from_toml(config_file) if config_file else KernelConfig(), parse_assignments(assignments), "--set"
    )
    alone = bool(assignments) and not formats and sweep is None
    made: Labelled = [(os.path.basename(config_file or "--set"), given)] if config_file or alone else []
    for text in formats:
        number = parse_format(text)
        made.append((str(number), format_config(number, given)))
    if sweep is not None:
        made += fractional_configs(parse_range(sweep), total_bits=total_bits, truncate=truncate, base=given)
    if not made:
        made = [(text, format_config(parse_format(text))) for text in (RECOMMENDED, "ap_fixed<16,8>")]
    return made


def print_results(
    results: list[AccuracyResult],
    configs: list[KernelConfig],
    points: tuple[PublishedAccuracy, ...],
    data: Dataset,
    *,
    quiet: bool,
) -> None:
    """Print the table of one task."""
    from rich.console import Console

    from lstmsim.render.accuracy_table import accuracy_table, curve, legend

    console = Console()
    console = console if console.is_terminal else Console(width=110)
    fractions = [fraction_of(config) for config in configs]
    console.print(accuracy_table(results, fractions, points, title=not quiet))
    if not quiet:
        if len(results) > 2:
            console.print("fractional bits, 50 to 100 %; | float" + (", P paper" if points else ""), highlight=False)
            for line in curve(results, fractions, points):
                console.print(line, highlight=False)
            console.print()
        for line in legend(results[0], points, data):
            console.print(line, style="dim", highlight=False)

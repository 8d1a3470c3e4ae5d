"""`lstmsim explore`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import force_option, output_options, print_json
from lstmsim.errors import ConfigError
from lstmsim.explore.goals import DEFAULT_OBJECTIVES, METRIC_NAMES

if TYPE_CHECKING:
    from lstmsim.device import FpgaDevice
    from lstmsim.explore.goals import Constraint
    from lstmsim.explore.result import Design, Exploration
    from lstmsim.explore.space import DesignSpace, Formats
    from lstmsim.network import Network

BOUNDS = tuple(f"{'max' if sign > 0 else 'min'}-{name}" for name, (_, sign) in METRIC_NAMES.items())


def constraint_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --max-latency, --min-throughput and the others; parameters named max_latency and so on."""
    for bound in reversed(BOUNDS):
        function = click.option(f"--{bound}", metavar="VALUE", help=_help(bound))(function)
    return function


def _help(bound: str) -> str:
    side, _, name = bound.partition("-")
    example = {"latency": "1ms", "throughput": "5k/s", "power": "20W", "energy": "3mJ", "accuracy": "99%"}
    return f"At {'most' if side == 'max' else 'least'} this {name}, such as {example.get(name, '50%')}."


def constraints_from(options: dict[str, Any], device: FpgaDevice) -> list[Constraint]:
    """Return the constraints among a command's options."""
    from lstmsim.explore.goals import parse_constraint

    budget = device.budget.as_dict()
    given = [(bound, options[bound.replace("-", "_")]) for bound in BOUNDS]
    return [parse_constraint(bound, text, budget) for bound, text in given if text is not None]


@contextmanager
def progress_bar(title: str, total: int, *, hidden: bool) -> Iterator[Callable[[int], None] | None]:
    """Show a bar on stderr; yields what to call with the steps done, or None where hidden."""
    if hidden:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps: bar.advance(task, steps)


@click.command("explore")
@click.argument("network_name", metavar="[NETWORK]", default="autoenc-5")
@click.option("--device", "-d", default="u280", show_default=True, help="FPGA: a name or a .toml file.")
@click.option("--space", "space_file", metavar="FILE.toml", help="Choices on every knob, in place of the default ones.")
@click.option(
    "--objective", "-o", "objectives", multiple=True, metavar="NAME",
    help="Objectives, the first sorts: " + ", ".join(METRIC_NAMES) + ". May be repeated or separated by commas.",
)  # fmt: skip
@constraint_options
@click.option("--batch", default=1, show_default=True, help="Inputs of the call whose latency is meant.")
@click.option("--queue", default=128, show_default=True, help="Inputs of the call whose throughput is meant.")
@click.option("--accuracy", "accuracy_source", metavar="DATA|FILE.jsonl", help="Measure formats on data, or read them.")
@click.option("--checkpoint", metavar="FILE.jsonl", help="Keep measured accuracies here; a second run resumes.")
@click.option("--scheduler", metavar="ADDRESS", help="Measure accuracy on a Dask cluster.")
@click.option("--top", default=10, show_default=True, help="Designs of the front to show; 0 shows all.")
@click.option("--threads", type=int, help="Threads of the exploration; all cores by default.")
@click.option("--output", "-O", metavar="FILE", help="Write the whole front: .csv, .parquet or .json.")
@click.option("--plot", metavar="FILE", help="Draw the front: .png or .svg.")
@force_option
@output_options
def command(
    *, network_name: str, device: str, space_file: str | None, objectives: tuple[str, ...], batch: int, queue: int,
    accuracy_source: str | None, checkpoint: str | None, scheduler: str | None, top: int, threads: int | None,
    output: str | None, plot: str | None, force: bool, as_json: bool, quiet: bool, **bounds: Any
) -> None:  # fmt: skip
    """Search every design of NETWORK's kernel on an FPGA and show the exact Pareto front."""
    from lstmsim.device import FpgaDevice, load_device
    from lstmsim.explore import default_space, explore, load_space
    from lstmsim.importers import load_network

    network, board = load_network(network_name), load_device(device)
    if not isinstance(board, FpgaDevice):
        raise ConfigError(f"{board.name!r} is a {board.kind}: only FPGAs have a design space; try lstmsim place")
    if top < 0 or (threads is not None and threads < 1):
        raise ConfigError("--top is 0 or more and --threads 1 or more")
    check_outputs(output, plot, force=force)
    space = load_space(space_file, network, board) if space_file else default_space(network, board)
    hidden = quiet or as_json
    shares = _accuracies(accuracy_source, network, space, checkpoint, scheduler, hidden=hidden)
    chosen = objectives or (*DEFAULT_OBJECTIVES, *(["accuracy"] if shares else []))
    with progress_bar("Exploring", space.size, hidden=hidden) as progress:
        found = explore(
            network, board, space=space, objectives=chosen, constraints=constraints_from(bounds, board), batch=batch,
            queue=queue, accuracy=shares, threads=threads, progress=progress,
        )  # fmt: skip
    _write(found, output, plot, force=force)
    if as_json:
        print_json(found.to_dict(top or None))
        return
    _print(found, found.designs(top or None), quiet=quiet)


def check_outputs(output: str | None, plot: str | None, *, force: bool) -> None:
    """Refuse a table or picture of another kind, or one that exists, before anything is computed."""
    from lstmsim.files import refuse_existing

    for path, endings in ((output, (".csv", ".parquet", ".json")), (plot, (".png", ".svg"))):
        if path is None:
            continue
        if Path(path).suffix.lower() not in endings:
            raise ConfigError(f"{path!r} ends in none of {', '.join(endings)}")
        refuse_existing(Path(path), force=force)


def _accuracies(
    source: str | None, network: Network, space: DesignSpace, checkpoint: str | None, scheduler: str | None,
    *, hidden: bool
) -> dict[Formats, float] | None:  # fmt: skip
    if source is None:
        if checkpoint or scheduler:
            raise ConfigError("--checkpoint and --scheduler go with --accuracy DATA")
        return None
    from lstmsim.explore.accuracies import measure_accuracies, read_accuracies

    if source.endswith(".jsonl"):
        return read_accuracies(source, space)
    with progress_bar("Measuring formats", len(space.formats), hidden=hidden) as progress:
        return measure_accuracies(network, source, space, checkpoint=checkpoint, scheduler=scheduler, progress=progress)


def _write(found: Exploration, output: str | None, plot: str | None, *, force: bool) -> None:
    if output:
        from lstmsim.explore.tables import write_front

        write_front(found, output, force=force)
    if plot:
        from lstmsim.render.plots import pareto_scatter, save

        save(pareto_scatter(found), plot, force=force)


def _print(found: Exploration, designs: list[Design], *, quiet: bool) -> None:
    from rich.console import Console

    from lstmsim.render.exploration import front_table, knob_lines

    console = Console()
    console.print(front_table(found, designs, quiet=quiet))
    for line in knob_lines(designs):
        console.print(line, highlight=False)
    if quiet:
        return
    pruned = sum(found.pruned.values())
    console.print(
        f"{found.size:,} designs, {pruned:,} pruned by rule, {found.evaluated:,} evaluated in {found.seconds:.2f} s, "
        f"{found.fitting:,} fit, {found.feasible:,} meet the constraints, {len(found.front):,} on the front "
        f"({', '.join(found.objectives)})."
    )
    for reason, count in sorted(found.excluded.items(), key=lambda item: -item[1])[:3]:
        console.print(f"  {reason} excludes {count:,}")
    console.print("Energy is the weakest figure printed: an estimate without a measurement behind it.")

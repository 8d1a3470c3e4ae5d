"""`lstmsim measure`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import force_option, output_options, print_json
from lstmsim.errors import ConfigError

if TYPE_CHECKING:
    from lstmsim.hardware.timing import Plan, Timing

BUILD_LIMIT_S = 300.0  # one case's building and first run; a large one on a slow machine takes minutes


def _numbers(text: str, what: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"{what} {text!r} is not a list of whole numbers such as 1,8,64") from None


@click.command("measure")
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@click.option("--backend", default="onnxruntime", show_default=True, metavar="NAME",
              help="torch, torch-jit, onnxruntime, tensorflow, or lstmsim (the simulator).")  # fmt: skip
@click.option("--device", "target", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True,
              help="Where to run.")  # fmt: skip
@click.option("--batch", "batches", default="1", show_default=True, metavar="N,...", help="Inputs of one call.")
@click.option("--repeat", default=2000, show_default=True, help="Runs of each case at most.")
@click.option("--limit", "limit_s", default=5.0, show_default=True, metavar="SECONDS", help="Time for each case.")
@click.option("--threads", default=1, show_default=True, help="CPU threads; 0 leaves them to the backend.")
@click.option("--grid", metavar="UNITS:LAYERS:STEPS",
              help="Networks of equal layers as well, such as 16,128:1,2:10,50.")  # fmt: skip
@click.option("--name", help="Name of the device; made of the machine's own name where not given.")
@click.option("-o", "--output", metavar="ROWS.csv", help="Write the rows as measurements.")
@force_option
@output_options
def command(**options: Any) -> None:
    """Time networks with random weights on this machine's GPU or CPU, from host memory to host memory.

    NETWORK is a name of the package, a file, or a shape such as lstm:units=128,layers=2,timesteps=50.
    """
    from pathlib import Path

    from lstmsim.files import refuse_existing, write_text
    from lstmsim.hardware import machine, timing
    from lstmsim.measurements import write_measurements

    output = options["output"]
    plan = timing.Plan(
        backend=options["backend"],
        target=options["target"],
        threads=options["threads"],
        repeat=options["repeat"],
        limit_s=options["limit_s"],
    )
    title = machine.machine_name(plan.target)
    key = options["name"] or machine.device_key(title)
    device_file = None if not output or _is_known(key) else Path(output).with_suffix(".device.toml")
    for target in filter(None, (output, device_file)):
        refuse_existing(Path(target), force=options["force"])
    timings = _measure(options, plan)
    rows = timing.rows(
        timings,
        plan,
        device=key if device_file is None else device_file.name,
        prefix=key,
        source=f"lstmsim measure on {title}, {time.strftime('%Y-%m-%d')}",
    )
    if output:
        write_measurements(output, rows, force=options["force"])
    if device_file is not None:
        write_text(device_file, machine.device_toml(key, title, plan.target), force=options["force"])
    if options["as_json"]:
        print_json([_as_dict(one, row.id, key, title) for one, row in zip(timings, rows, strict=True)])
        return
    _print_table(timings, plan, title, quiet=options["quiet"])
    if output and not options["quiet"]:
        beside = f", the device to {device_file}" if device_file else ""
        click.echo(f"{len(rows)} rows written to {output}{beside}: `lstmsim calibrate` reads them")


def _is_known(name: str) -> bool:
    from lstmsim.device import load_device
    from lstmsim.errors import LstmsimError

    try:
        load_device(name)
    except LstmsimError:
        return False
    return True


def _measure(options: dict[str, Any], plan: Plan) -> list[Timing]:
    from rich.console import Console
    from rich.progress import Progress

    from lstmsim.hardware import timing
    from lstmsim.hardware.watchdog import time_limit
    from lstmsim.importers import load_network

    networks = [load_network(name) for name in options["networks"]] + _grid(options["grid"])
    batches = _numbers(options["batches"], "--batch")
    if not networks:
        raise ConfigError("nothing to measure: name a network, or give --grid")
    console = Console(stderr=True)
    hidden = options["quiet"] or options["as_json"] or not console.is_terminal
    with Progress(console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("measure", total=timing.steps_of_work(len(networks), len(batches), plan))
        cases = len(networks) * len(batches)
        with time_limit(cases * (BUILD_LIMIT_S + 4 * plan.limit_s), f"measuring {cases} case(s)"):
            return timing.measure(
                networks, batches, plan, advance=lambda words: progress.update(task, advance=1, description=words)
            )


def _grid(text: str | None) -> list[Any]:
    from lstmsim.hardware import timing

    if text is None:
        return []
    parts = text.split(":")
    if len(parts) != 3:
        raise ConfigError(f"--grid {text!r} is not of the form UNITS:LAYERS:STEPS, such as 16,128:1,2:10,50")
    units, layers, steps = (_numbers(part, "--grid") for part in parts)
    return timing.grid(units, layers, steps)


def _as_dict(one: Timing, identity: str, device: str, title: str) -> dict[str, Any]:
    return {
        "id": identity,
        "device": device,
        "machine": title,
        "network": one.network.name,
        "batch": one.batch,
        "runs": one.runs,
        "disturbed_runs": one.disturbed,
        "latency_s": one.median_s,
        "latency_p10_s": one.low_s,
        "latency_p90_s": one.high_s,
        "device_latency_s": one.device_s,
        "power_w": one.power_w,
        "library": one.library,
    }


def _print_table(timings: list[Timing], plan: Plan, title: str, *, quiet: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    threads = f", {plan.threads or 'default'} thread(s)" if plan.target == "cpu" else ""
    table = Table(title=None if quiet else f"{timings[0].library} on {title}{threads}")
    for heading in ("network", "batch", "median ms", "10 % ms", "90 % ms", "runs", "disturbed"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for one in timings:
        times = [f"{1e3 * value:.4f}" for value in (one.median_s, one.low_s, one.high_s)]
        table.add_row(one.network.name, str(one.batch), *times, f"{one.runs:,}", f"{one.disturbed:,}")
    Console().print(table)

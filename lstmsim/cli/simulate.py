"""`lstmsim simulate`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import config_options, force_option, output_options, print_json

if TYPE_CHECKING:
    from lstmsim.config import KernelConfig
    from lstmsim.model import Model
    from lstmsim.trace import Trace

INPUT_LIMIT_BYTES = 4 << 30
VALUES_AT_ONCE = 1 << 24  # bounds what the float64 reference keeps


@click.command("simulate")
@click.argument("network", default="autoenc-5")
@click.option("--input", "-i", "input_file", metavar="X.npy", help="Inputs [batch, timesteps, features].")
@click.option("--weights", metavar="W.npz", help="Trained weights; a model file brings its own.")
@click.option("--output", "-o", "output_file", metavar="Y.npy", help="Where to write the outputs.")
@click.option(
    "--batch", default=16, show_default=True, type=click.IntRange(1, 1 << 20), help="Samples where none given."
)
@click.option("--seed", default=0, show_default=True, help="Of random inputs and weights.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 256), help="Threads to share samples.")
@click.option("--trace", "traced", is_flag=True, help="Show ranges, overflows and errors of every gate.")
@force_option
@config_options
@output_options
def command(
    *,
    network: str,
    input_file: str | None,
    weights: str | None,
    output_file: str | None,
    batch: int,
    seed: int,
    threads: int,
    traced: bool,
    force: bool,
    config_file: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Compute the bits that the kernel of NETWORK computes.

    NETWORK is a name (see `lstmsim networks`), a .toml file or a model file; autoenc-5 by default. Inputs and weights
    that are not given are drawn at random from the seed.
    """
    import numpy as np

    from lstmsim.config import KernelConfig, config_from_toml, parse_assignments, replace_knobs
    from lstmsim.files import refuse_existing
    from lstmsim.simulate import prepare

    if output_file is not None:
        refuse_existing(Path(output_file), force=force)
    config = config_from_toml(config_file) if config_file else KernelConfig()
    config = replace_knobs(config, parse_assignments(assignments), "--set")
    notes: list[str] = []
    model = _model(network, weights, seed, notes)
    inputs = _inputs(model, input_file, batch, seed, notes)
    simulator = prepare(model, config)
    start = time.perf_counter()
    kept: Trace | None = None
    if traced:
        from lstmsim.trace import trace

        kept = trace(model, config, inputs)
        outputs = kept.outputs
    else:
        outputs = np.asarray(simulator.run(inputs, threads=threads))
    elapsed_s = time.perf_counter() - start
    if output_file is not None:
        _save(output_file, outputs, force=force)
    rms_error, largest_error = _errors(model, inputs, outputs, silent=quiet or as_json)
    summary = {
        "network": model.network.name,
        "samples": len(outputs),
        "output_shape": list(outputs.shape),
        "path": "plain" if traced else simulator.plan.path.value,
        "reason": "a trace records every value" if traced else simulator.plan.reason,
        "elapsed_s": elapsed_s,
        "rms_error": rms_error,
        "largest_error": largest_error,
        "notes": notes,
    }
    if as_json:
        print_json({**summary, **(kept.to_dict() if kept else {})})
        return
    _show(summary, config, kept, quiet=quiet)


def _model(network: str, weights: str | None, seed: int, notes: list[str]) -> Model:
    from lstmsim.errors import ModelFormatError
    from lstmsim.importers import load_model, load_network
    from lstmsim.model import load_weights, random_model

    if weights is not None:
        return load_weights(load_network(network), weights)
    try:
        return load_model(network)
    except ModelFormatError:
        if Path(network).suffix not in ("", ".toml"):
            raise
    notes.append(f"weights are random (seed {seed}): give --weights or a model file for trained ones")
    return random_model(load_network(network), seed)


def _inputs(model: Model, input_file: str | None, batch: int, seed: int, notes: list[str]) -> Any:

    import numpy as np

    from lstmsim.errors import ModelFormatError
    from lstmsim.files import read_array
    from lstmsim.model import check_inputs

    network = model.network
    if input_file is None:
        notes.append(f"inputs are random in [-1, 1) (seed {seed}): give --input for your own")
        return np.random.default_rng(seed).uniform(-1.0, 1.0, (batch, network.timesteps, network.features))
    values = read_array(input_file, limit_bytes=INPUT_LIMIT_BYTES, error=ModelFormatError)
    values = check_inputs(network, values)
    if not len(values):
        raise ModelFormatError(f"{input_file!r} holds no sample: at least one is needed")
    return values


def _errors(model: Model, inputs: Any, outputs: Any, *, silent: bool) -> tuple[float, float]:
    """Return the root mean square and the largest distance to float64, sample by sample so that memory is bounded."""
    import numpy as np

    from lstmsim.cli.accuracy import progress_bar

    network = model.network
    at_once = max(
        1, VALUES_AT_ONCE // max(4 * stage.output.timesteps * stage.output.features for stage in network.stages)
    )
    squares = largest = 0.0
    with progress_bar(silent or len(inputs) <= at_once) as bar:
        job = bar.add_task("float64 reference", total=len(inputs))
        for first in range(0, len(inputs), at_once):
            part = slice(first, first + at_once)
            error = np.abs(outputs[part] - model.predict(inputs[part]))
            squares += float(np.sum(error**2))
            largest = max(largest, float(error.max()))
            bar.advance(job, len(error))
    return float(np.sqrt(squares / outputs.size)), largest


def _save(path: str, outputs: Any, *, force: bool) -> None:
    import numpy as np

    from lstmsim.files import atomic_output

    with atomic_output(path, force=force) as stream:
        np.save(stream, outputs, allow_pickle=False)


def _show(summary: dict[str, Any], config: KernelConfig, kept: Trace | None, *, quiet: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not quiet:
        for note in summary["notes"]:
            console.print(f"[yellow]Note:[/yellow] {note}")
    table = Table(
        title=None if quiet else f"{summary['network']} with {config.weight_format} weights", show_header=False
    )
    table.add_row("outputs", " x ".join(map(str, summary["output_shape"])))
    table.add_row("path", f"{summary['path']} ({summary['reason']})")
    table.add_row("time", f"{1e3 * summary['elapsed_s'] / summary['samples']:.3f} ms a sample")
    table.add_row("error against float64", f"rms {summary['rms_error']:.3g}, largest {summary['largest_error']:.3g}")
    console.print(table)
    if kept is None:
        return
    signals = Table(title=None if quiet else "Inside, by layer and signal")
    for heading in ("layer", "signal", "min", "max", "beyond", "clamped", "rms", "largest"):
        signals.add_column(heading, justify="left" if heading == "signal" else "right")
    for one in kept.signals:
        beyond = (one.product_overflows, one.sum_overflows, one.value_overflows)
        signals.add_row(
            str(one.layer),
            one.signal if one.pass_number == 0 else f"{one.signal} (2nd pass)",
            f"{one.low:.3g}",
            f"{one.high:.3g}",
            " ".join(f"{100 * share:.2g}%" for share in beyond) if any(beyond) else "none",
            f"{100 * one.value_saturations:.2g}%",
            f"{one.rms_error:.2g}",
            f"{one.largest_error:.2g}",
        )
    console.print(signals)
    if not quiet:
        console.print("beyond: products, sums and values out of range; rms, largest: error against float64")

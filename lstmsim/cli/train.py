"""`lstmsim train`."""

from __future__ import annotations

from pathlib import Path

import click

from lstmsim.cli.common import force_option, output_options, print_json


@click.command("train")
@click.argument("network")
@click.option("--data", metavar="DATA", help="Data as for `lstmsim accuracy`; synthetic telemetry where unset.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Weights, .npz; NETWORK.npz where unset.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights and shuffling.")
@click.option("--epochs", default=30, show_default=True, help="Passes over the training windows.")
@click.option("--batch", default=64, show_default=True, help="Windows of a step.")
@click.option("--learning-rate", default=2e-3, show_default=True, help="Peak of the cosine schedule.")
@click.option("--patience", default=0, show_default=True, help="Stop after so many epochs without gain; 0 never.")
@click.option("--windows", default=0, show_default=True, help="Train on so many windows; 0 takes all.")
@click.option("--threads", default=0, show_default=True, help="Threads of TensorFlow; 0 leaves its choice.")
@click.option("--full-precision", is_flag=True, help="Write float64 weights instead of float16.")
@force_option
@output_options
def command(
    *,
    network: str,
    data: str | None,
    output: Path | None,
    seed: int,
    epochs: int,
    batch: int,
    learning_rate: float,
    patience: int,
    windows: int,
    threads: int,
    full_precision: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train NETWORK (a preset or a .toml file) in Keras and write its weights.

    Needs the extra lstmsim[tensorflow]. An autoencoder learns normal windows; any other network the next value.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    from lstmsim.datasets import load_dataset
    from lstmsim.files import refuse_existing
    from lstmsim.network import load_preset, network_from_toml
    from lstmsim.training import TrainingPlan, save_trained, train

    plan = TrainingPlan(
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        patience=patience,
        windows=windows,
        threads=threads,
    )
    topology = network_from_toml(network) if network.endswith(".toml") else load_preset(network)
    target = output or Path(f"{topology.name}.npz")
    refuse_existing(target, force=force)
    refuse_existing(target.with_suffix(".toml"), force=force)
    loaded = load_dataset(data, topology)
    silent = quiet or as_json
    with Progress(
        *Progress.get_default_columns()[:2],
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
        console=Console(stderr=True),
        disable=silent,
    ) as bar:
        job = bar.add_task(f"{topology.name} on {loaded.name}", total=epochs, loss="")

        def advance(epoch: int, loss: float, check: float) -> None:
            bar.update(job, completed=epoch, loss=f"loss {loss:.5f}, calibration {check:.5f}")

        trained = train(topology, loaded, plan, advance)
    story = save_trained(trained, target, half=not full_precision, force=force)
    if as_json:
        print_json(
            {
                "weights": str(target),
                "story": str(story),
                "losses": list(trained.losses),
                "calibration_loss": trained.calibration_loss,
            }
        )
        return
    click.echo(f"{target}  loss {trained.losses[-1]:.6g}, calibration {trained.calibration_loss:.6g}")

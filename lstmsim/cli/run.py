"""`lstmsim run`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from lstmsim.cli.common import config_options, force_option, output_options, print_json
from lstmsim.errors import ConfigError

if TYPE_CHECKING:
    from lstmsim.config import KernelConfig
    from lstmsim.device import FpgaDevice
    from lstmsim.estimate import Estimate
    from lstmsim.hardware.board_timing import CallTiming, Comparison
    from lstmsim.hardware.lstm_board import LstmKernel
    from lstmsim.hardware.xrt import Board
    from lstmsim.model import Model

CHECKED_SAMPLES = 4
EMULATED_DEVICE = "u280"


@click.command("run")
@click.argument("network")
@click.option("--xclbin", metavar="KERNEL.xclbin", help="The kernel; --target emulate makes a description of one.")
@click.option("--target", type=click.Choice(["hw", "emulate"]), default="hw", show_default=True,
              help="A board through XRT, or the simulator behind the same calls.")  # fmt: skip
@click.option("--board", default="0", show_default=True, metavar="INDEX|BDF", help="The board, as XRT numbers it.")
@click.option("--device", "-d", "device_name", help="Device to predict for; told by the xclbin where not given.")
@config_options
@click.option("--weights", metavar="FILE.npz", help="Trained weights, as `Model.save` writes them.")
@click.option("--seed", type=click.IntRange(0), help="Random weights of this seed.")
@click.option("--input", "input_file", metavar="FILE.npy", help="Samples; random ones by default.")
@click.option("--batch", "batches", default="1,2,4,8", show_default=True, metavar="N,...", help="Inputs of a call.")
@click.option("--repeat", default=100, show_default=True, help="Calls to time for each batch.")
@click.option("--limit", "limit_s", type=click.FloatRange(0.001, 3600), default=10.0, show_default=True,
              metavar="SECONDS", help="The longest wait for one call, and the time for each batch.")  # fmt: skip
@click.option("-o", "--output", metavar="ROWS.csv", help="Write the times as measurements (boards only).")
@force_option
@output_options
def command(**options: Any) -> int:
    """Run a kernel, compare its bits with the simulator's and time it.

    --config is the file that the kernel was built from: the kernel writes its digest back. Ends with exit code 1
    where bits differ.
    """
    from pathlib import Path

    from lstmsim.cli.models import trained_or_random
    from lstmsim.config import KernelConfig, config_from_toml, parse_assignments, replace_knobs
    from lstmsim.files import refuse_existing

    if options["output"]:
        refuse_existing(Path(options["output"]), force=options["force"])
        if options["target"] == "emulate":
            raise ConfigError("emulated times are no measurements: leave out --output, or run on a board")
    config = config_from_toml(options["config_file"]) if options["config_file"] else KernelConfig()
    config = replace_knobs(config, parse_assignments(options["assignments"]), "--set")
    model = trained_or_random(options["network"], options["weights"], options["seed"])
    with _open_board(options, model, config) as (board, device):
        return _check_and_time(options, board, device, model, config)


@contextmanager
def _open_board(options: dict[str, Any], model: Model, config: KernelConfig) -> Iterator[tuple[Board, FpgaDevice]]:
    """Give an open board and the device that it is."""
    from lstmsim.hardware import lstm_board, xrt
    from lstmsim.hardware.axlf import read_xclbin

    if options["target"] == "emulate":
        with _emulated_board(options, model, config) as opened:
            yield opened
        return
    if not options["xclbin"]:
        raise ConfigError("--xclbin is missing: name the kernel, or use --target emulate")
    device = _fpga(options["device_name"] or _device_of(read_xclbin(options["xclbin"]).xsa))
    which = int(options["board"]) if options["board"].isdigit() else options["board"]
    xrt.probe(which)
    with xrt.Board(xrt.load_runtime(), options["xclbin"], kernel=lstm_board.KERNEL, device=which) as board:
        yield board, device


@contextmanager
def _emulated_board(options: dict[str, Any], model: Model, config: KernelConfig) -> Iterator[tuple[Board, FpgaDevice]]:
    import tempfile
    from pathlib import Path

    from lstmsim.hardware import emulated, lstm_board, xrt
    from lstmsim.hardware.axlf_writer import xclbin_bytes

    device = _fpga(options["device_name"] or EMULATED_DEVICE)
    runtime = emulated.EmulatedRuntime(emulated.Design(network=model.network, config=config, device=device))
    with tempfile.TemporaryDirectory() as folder:
        path = options["xclbin"]
        if path is None:
            path = str(Path(folder) / "emulated.xclbin")
            Path(path).write_bytes(xclbin_bytes(emulated.design_of(model.network, config, device)))
        with xrt.Board(runtime, path, kernel=lstm_board.KERNEL) as board:
            yield board, device


def _fpga(name: str) -> FpgaDevice:
    from lstmsim.device import FpgaDevice, load_device

    device = load_device(name)
    if not isinstance(device, FpgaDevice):
        raise ConfigError(f"--device {name!r} is a {device.kind}: name an FPGA")
    return device


def _device_of(xsa: str) -> str:
    """Return the device that an XSA such as xilinx_u280_gen3x16_xdma_base_1 names."""
    from lstmsim.device import device_names

    words = xsa.lower().split("_")
    for name in device_names():
        if name in words:
            return name
    raise ConfigError(f"the xclbin was linked for {xsa!r}, which names no device of the package: give --device")


def _check_and_time(
    options: dict[str, Any], board: Board, device: FpgaDevice, model: Model, config: KernelConfig
) -> int:
    from lstmsim.estimate import estimate
    from lstmsim.hardware import board_timing, lstm_board
    from lstmsim.hardware.watchdog import time_limit
    from lstmsim.measurements import write_measurements

    batches = _batches(options["batches"])
    inputs = _inputs(options["input_file"], model)
    limit_s = options["limit_s"]
    kernel = lstm_board.LstmKernel(board, model, config, limit_s=limit_s)
    # a driver that hangs below `wait` is beyond any exception
    with time_limit(60.0 + 6 * limit_s * (2 + len(batches)), "the board"):
        kernel.load()
        comparison = board_timing.compare(kernel, inputs)
        timings = _timed(options, kernel, inputs, batches)
    if options["output"]:
        source = f"lstmsim run, {time.strftime('%Y-%m-%d')}"
        rows = board_timing.rows(kernel, timings, device=device.name, source=source)
        write_measurements(options["output"], rows, force=options["force"])
    predictions = [estimate(model.network, device, config, batch=timing.batch) for timing in timings]
    _print(options, kernel, device, comparison, timings, predictions)
    return 0 if comparison.equal else 1


def _timed(options: dict[str, Any], kernel: LstmKernel, inputs: Any, batches: list[int]) -> list[CallTiming]:
    from rich.console import Console
    from rich.progress import Progress

    from lstmsim.hardware import board_timing

    console = Console(stderr=True)
    hidden = options["quiet"] or options["as_json"] or not console.is_terminal
    with Progress(console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("run", total=len(batches))
        return board_timing.time_calls(
            kernel,
            inputs,
            batches,
            repeat=options["repeat"],
            limit_s=options["limit_s"],
            advance=lambda words: progress.update(task, advance=1, description=words),
        )


def _batches(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"--batch {text!r} is not a list of whole numbers such as 1,2,4") from None


def _inputs(path: str | None, model: Model) -> Any:
    import numpy as np

    from lstmsim.cli.models import load_array
    from lstmsim.model import check_inputs

    if path is not None:
        return check_inputs(model.network, load_array(path))
    shape = (CHECKED_SAMPLES, model.network.timesteps, model.network.features)
    return np.random.default_rng(0).uniform(-1.0, 1.0, shape)


def _print(
    options: dict[str, Any],
    kernel: LstmKernel,
    device: FpgaDevice,
    comparison: Comparison,
    timings: list[CallTiming],
    predictions: list[Estimate],
) -> None:
    from lstmsim.hardware import board_timing

    board = kernel.board
    clock_hz, cost = board.description.clock_hz, board_timing.separate(timings)
    result = {
        "network": kernel.model.network.name,
        "device": device.name,
        "mode": board.mode,
        "xsa": board.description.xsa,
        "uuid": str(board.description.uuid),
        "clock_hz": clock_hz,
        "digest": kernel.config.digest,
        "bits_equal": comparison.equal,
        "values_compared": comparison.values,
        "values_differing": comparison.differing,
        "first_difference": comparison.first,
        "overhead_s": cost.overhead_s if cost else None,
        "input_s": cost.input_s if cost else None,
        "cycles_per_input": cost.cycles_per_input(clock_hz) if cost and clock_hz else None,
        "calls": [
            {
                "batch": timing.batch,
                "runs": timing.runs,
                "latency_s": timing.latency_s,
                "kernel_s": timing.kernel_s,
                "spread_s": timing.spread_s,
                "predicted_s": prediction.latency_s,
            }
            for timing, prediction in zip(timings, predictions, strict=True)
        ],
    }
    if options["as_json"]:
        print_json(result)
    else:
        _print_text(result, quiet=options["quiet"])


def _print_text(result: dict[str, Any], *, quiet: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    seen = "seen" if result["mode"] == "hw" else f"{result['mode']}d" if result["mode"] == "emulate" else result["mode"]
    place = f"{result['device']}, {result['xsa']}, {result['clock_hz'] / 1e6:g} MHz" if result["clock_hz"] else ""
    table = Table(title=None if quiet else f"{result['network']} on {place}")
    for heading in ("batch", f"{seen} ms", "kernel ms", "predicted ms", "predicted/seen", "calls"):
        table.add_column(heading, justify="right")
    for call in result["calls"]:
        table.add_row(
            str(call["batch"]),
            *(f"{1e3 * call[name]:.4f}" for name in ("latency_s", "kernel_s", "predicted_s")),
            f"{call['predicted_s'] / call['latency_s']:.3f}",
            str(call["runs"]),
        )
    console.print(table)
    if result["input_s"] is not None and not quiet:
        cycles = f" ({result['cycles_per_input']:,.0f} cycles)" if result["cycles_per_input"] else ""
        console.print(
            f"A call costs {1e3 * result['overhead_s']:.4f} ms and {1e3 * result['input_s']:.4f} ms{cycles} an input."
        )
    if result["bits_equal"]:
        console.print(f"[green]bits equal[/green]: {result['values_compared']:,} values as the simulator has them")
    else:
        console.print(
            f"[red]bits differ[/red]: {result['values_differing']:,} of {result['values_compared']:,} values, "
            f"the first at {list(result['first_difference'])} (sample, step, feature)"
        )

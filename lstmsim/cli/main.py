"""Entry point: finds the command, turns every error into one line and an exit code."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from lstmsim._version import __version__
from lstmsim.errors import LstmsimError

# command name -> (module below lstmsim.cli, one line of help); modules are imported when the command is called
COMMANDS: dict[str, tuple[str, str]] = {
    "accuracy": ("accuracy", "Tell what number formats cost in accuracy, bit for bit."),
    "calibrate": ("calibrate", "Fit the model to your own measurements."),
    "measurements": ("measurements", "Collect and check measurements for a calibration."),
    "devices": ("devices", "List the devices that come with the package, or show one with its sources."),
    "estimate": ("estimate", "Tell what a network costs on a device: latency, resources, what limits it."),
    "import": ("import_model", "Read a trained model of Keras, TensorFlow, ONNX or PyTorch."),
    "measure": ("measure", "Time networks on this machine's GPU or CPU."),
    "hls": ("hls", "Write an HLS project: C++ kernel, weights, test vectors, scripts."),
    "explore": ("explore", "Search every design of a network on an FPGA and show the Pareto front."),
    "formats": ("formats", "Search the narrowest number formats that keep the accuracy."),
    "simulate": ("simulate", "Compute the bits that the kernel computes."),
    "networks": ("networks", "List the networks that come with the package."),
    "run": ("run", "Run a kernel on a board, compare its bits with the simulator and time it."),
    "timeline": ("timeline", "Step through one call, event by event; write a trace and a Gantt chart."),
    "train": ("train", "Train a network in Keras and write its weights."),
    "place": ("place", "Rank devices for networks: the best design on every FPGA, every GPU and CPU."),
    "what-if": ("what_if", "Change one knob at a time: what helps most."),
    "report": ("report", "Read HLS, Vivado and XRT reports, and ask what-if of a kernel's loops."),
    "validate": ("validate", "Compare every figure of the paper with the model's prediction."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use, so that --help and every command start at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; each module calls its own `command`."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"lstmsim.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click's, with the nearest command suggested."""
        from lstmsim.errors import nearest

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"unknown command {args[0]!r}. {nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lstmsim")
def cli() -> None:
    """Tell what an LSTM costs on an FPGA, a GPU or a CPU, and compute the bits that the hardware computes."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted."""
    try:
        code = cli.main(args=arguments, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.UsageError as problem:
        path = problem.ctx.command_path if problem.ctx else "lstmsim"
        _fail(f"{problem.format_message()} (see `{path} --help`)")
    except click.ClickException as problem:
        _fail(problem.format_message())
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted: nothing half-written is left.", err=True)
        sys.exit(130)
    except LstmsimError as problem:
        _fail(str(problem))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as problem:
        _fail(f"{problem.strerror or problem}{f': {problem.filename!r}' if problem.filename else ''}")
    except MemoryError:
        _fail("out of memory: make the network, the batch or the design space smaller")


def _fail(message: str) -> None:
    click.echo("Error: " + " ".join(message.split()), err=True)
    sys.exit(2)

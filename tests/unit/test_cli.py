"""Every command: --help, --json, --quiet, one line for bad input; interrupted work leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from lstmsim._version import __version__
from lstmsim.cli.main import COMMANDS, cli


def leaves(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command)
    children = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [leaf for name, child in children if child is not None for leaf in leaves(child, (*path, name))]


LEAVES = leaves(cli, ())


def test_every_command_is_reached() -> None:
    assert {path[0] for path, _ in LEAVES} == set(COMMANDS)


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_has_the_common_options(path: tuple[str, ...], command: click.Command) -> None:
    options = {word for parameter in command.params for word in parameter.opts}
    assert {"--json", "--quiet", "-q"} <= options
    assert command.help
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))
    assert CliRunner().invoke(cli, [*path, "--help"]).exit_code == 0


def test_version() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output.strip().endswith(__version__)


@pytest.mark.parametrize(
    "arguments",
    [
        ["estimate", "autoenc-5", "-d", "u820"],
        ["estimate", "autoenc-9", "-d", "u280"],
        ["estimate", "autoenc-5", "-d", "u280", "--set", "engine=2"],
        ["estimate", "autoenc-5", "-d", "u280", "--batch", "0"],
        ["timeline", "autoenc-5", "-d", "u280", "-o", "/no/such/folder/t.json"],
        ["estimat"],
        ["report", "html", "-d", "u280"],
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "lstmsim", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ")


def test_completion_knows_the_commands() -> None:
    environment = {**os.environ, "_LSTMSIM_COMPLETE": "bash_complete", "COMP_WORDS": "lstmsim est", "COMP_CWORD": "1"}
    source = "import sys; sys.argv = ['lstmsim']; from lstmsim.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, env=environment, timeout=120)
    assert "estimate" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("delay_s", [0.0, 0.4, 1.5])
def test_interrupt_leaves_nothing_half_written(tmp_path: Path, delay_s: float) -> None:
    source = (
        "import sys; print('ready', flush=True); from lstmsim.cli.main import main;"
        "main(['explore', 'autoenc-5', '-d', 'u280', '--quiet', '-O', 'front.csv'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", source], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode in (0, 1, 130, -signal.SIGINT)
    files = list(tmp_path.iterdir())
    if process.returncode == 0:
        assert [file.name for file in files] == ["front.csv"]
    else:
        assert files == []
    if process.returncode == 130:
        assert "Traceback" not in error

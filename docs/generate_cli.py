"""Write docs/cli.md from the commands themselves; `--check` fails where the file is not current."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from lstmsim.cli.main import cli

TARGET = Path(__file__).with_name("cli.md")
INTRODUCTION = """# Command line

Made by `python docs/generate_cli.py` from the program.

Exit codes: 0 done, 1 a check failed, 2 bad input, 130 interrupted.

Completion of commands and options in the shell:

```sh
eval "$(_LSTMSIM_COMPLETE=bash_source lstmsim)"       # bash, in ~/.bashrc
eval "$(_LSTMSIM_COMPLETE=zsh_source lstmsim)"        # zsh, in ~/.zshrc
_LSTMSIM_COMPLETE=fish_source lstmsim | source        # fish, in ~/.config/fish/completions/lstmsim.fish
```
"""


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all commands below it with their full names."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in sorted(command.list_commands(context)):
            child = command.get_command(context, name)
            if child is not None:
                yield from commands(child, f"{path} {name}")


def help_text(command: click.Command, path: str) -> str:
    """Return what --help prints, at a width that does not depend on the terminal."""
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
    return command.get_help(context)


def reference() -> str:
    """Return the whole page."""
    parts = [f"## {path}\n\n```text\n{help_text(command, path)}\n```\n" for path, command in commands(cli, "lstmsim")]
    return INTRODUCTION + "\n" + "\n".join(parts)


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(TARGET.read_text("utf-8") != reference())
    TARGET.write_text(reference(), "utf-8")

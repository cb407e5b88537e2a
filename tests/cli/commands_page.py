"""docs/commands.md from the commands' own help: `python -m tests.cli.commands_page` writes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import click

from stair_search.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
HEAD = """\
# Commands

What `--help` says, command by command. This page is written by `python -m tests.cli.commands_page`,
and a test holds it to the commands.
"""


def commands(
    command: click.Command = main, context: click.Context | None = None
) -> Iterator[click.Context]:
    """Every command in its context, groups before what is in them."""
    name = command.name if context else "stair-search"
    here = click.Context(command, context, name, **main.context_settings if not context else {})
    yield here
    if isinstance(command, click.Group):
        for inner in command.list_commands(here):
            found = command.get_command(here, inner)
            assert found is not None
            yield from commands(found, here)


def text() -> str:
    """The whole page, the same on any terminal and in any environment."""
    parts = [HEAD]
    with patch.dict(os.environ, {"COLUMNS": "100"}):
        for context in commands():
            parts.append(f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text(), "utf-8")
    print(f"wrote {PAGE}")

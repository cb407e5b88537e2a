from __future__ import annotations

import shlex

import click
import pytest

from stair_search import __version__
from stair_search.cli import main
from stair_search.cli.command import Command

from .commands_page import PAGE, commands, text
from .conftest import Cli, Shell

LEAVES = [c for c in commands() if not isinstance(c.command, click.Group)]


@pytest.mark.parametrize("context", LEAVES, ids=lambda context: context.command_path)
def test_every_command_has_help_with_examples_that_its_options_accept(
    context: click.Context,
) -> None:
    command = context.command
    assert isinstance(command, Command)
    assert command.help
    assert command.examples
    own = [line for line in command.examples if line.startswith(context.command_path)]
    assert own or command.name == "completion"
    flags = {flag for param in command.params for flag in param.opts}
    for line in own:
        for word in shlex.split(line, comments=True):
            if word.startswith("--"):
                assert word in flags, line


@pytest.mark.parametrize("context", LEAVES, ids=lambda context: context.command_path)
def test_every_option_says_what_it_does(context: click.Context) -> None:
    for param in context.command.params:
        assert isinstance(param, click.Argument) or getattr(param, "help", None), param.name


def test_the_page_of_commands_is_current() -> None:
    assert PAGE.read_text("utf-8") == text(), "run: python -m tests.cli.commands_page"


def test_help_and_version(cli: Cli, shell: Shell) -> None:
    assert cli("--version").stdout.split()[-1] == __version__
    assert shell("--version").stdout.split()[-1] == __version__
    assert "search" in cli("-h").stdout
    assert cli().exit_code == 2
    assert cli("serch").exit_code == 2


def test_no_command_deletes_an_index() -> None:
    for context in commands():
        words = set(context.command_path.split())
        found = {"delete", "remove", "drop", "recreate"} & words
        assert not found or context.command_path.split()[1:] == ["delete"]  # documents, by ids


def test_every_writing_command_has_a_dry_run() -> None:
    for path in ("ingest", "job retry", "delete", "index create", "train", "adapt"):
        (context,) = [
            c
            for c in LEAVES
            if c.command_path == f"{main.name} {path}" or c.command_path.endswith(f" {path}")
        ]
        assert "--dry-run" in {flag for param in context.command.params for flag in param.opts}

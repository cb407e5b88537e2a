"""Commands that are imported only when called, so that `search` pays for nothing but a search."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import click


class LazyGroup(click.Group):
    """A group whose command `name` is the object `command` in module `package.name`.

    The list of names is all that is known before one of them is called.
    """

    def __init__(self, *args: object, package: str, names: Sequence[str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.package = package
        self.names = tuple(names)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.names:
            return None
        command = import_module(f"{self.package}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

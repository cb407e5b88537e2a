"""Names of what comes with the package, for the commands that list them and for shells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def models() -> list[str]:
    """The light models, for `--model`."""
    from ..encoders.folder import shipped_models

    return shipped_models()


def recipe_files() -> list[Path]:
    """The recipes, for `train`, by their names; found without torch."""
    from .. import training

    return sorted((Path(training.__file__).parent / "recipes").glob("*.toml"))


def recipes() -> list[str]:
    """The names of the recipes."""
    return [file.stem for file in recipe_files()]


def completed(names: Callable[[], list[str]], otherwise: Literal["file", "dir"]) -> Complete:
    """A parameter's `shell_complete`: these names, and paths as the shell completes them."""

    def complete(
        _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        fitting = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        # first: bash's script forgets what stands before it
        return [CompletionItem(incomplete, type=otherwise), *fitting]

    return complete

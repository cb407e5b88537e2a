"""`--pairs` and `--images`, of all commands that train or measure with captions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def pairs_and_images(required: bool = True) -> Callable[[F], F]:
    """Both options; the command is given `pairs` and `images`, None where they are left out."""
    pairs = click.option(
        "--pairs",
        required=required,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="CSV image,caption[,split] (a row a caption, several rows a photo), or a split file "
        "of Karpathy's (.json).",
    )
    images = click.option(
        "--images",
        required=required,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder of the photos that the file names.",
    )
    return lambda function: pairs(images(function))

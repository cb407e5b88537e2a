"""Options for the names of fields, where an index is made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..fields import Fields
from .command import utf8

F = TypeVar("F", bound=Callable[..., Any])

HELP = {
    "token": "Field of the tokens; its companions follow its name.",
    "image": "Field of the photo's URI.",
    "caption": "Field of the caption.",
    "width": "Field of the width in pixels.",
    "height": "Field of the height in pixels.",
    "photos": "Field of the photos where a document has several.",
}


def field_options(command: F) -> F:
    """Adds an option for each name; the command gets them as `fields`."""

    @functools.wraps(command)
    def with_fields(*args: Any, **kwargs: Any) -> Any:
        names = {part: kwargs.pop(f"{part}_field") for part in HELP}
        return command(*args, fields=Fields.from_dict(names), **kwargs)

    usual = Fields().to_dict()
    for part, text in reversed(HELP.items()):
        with_fields = click.option(
            f"--{part}-field",
            callback=utf8,
            default=usual[part],
            show_default=True,
            metavar="NAME",
            help=text,
        )(with_fields)
    return with_fields  # type: ignore[return-value]

"""`stair-search index`: the index itself. Nothing here deletes or recreates one."""

from __future__ import annotations

import click

from ..lazy import LazyGroup


@click.group("index", cls=LazyGroup, package=__package__, names=("create", "show"))
def command() -> None:
    """Make or show the index that photos go into."""

"""`stair-search job`: past runs of `ingest`."""

from __future__ import annotations

import click

from ..lazy import LazyGroup


@click.group("job", cls=LazyGroup, package=__package__, names=("list", "retry", "verify", "audit"))
def command() -> None:
    """List past ingests, retry what failed, verify and audit them."""

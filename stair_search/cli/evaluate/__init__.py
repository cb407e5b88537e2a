"""`stair-search evaluate`: how good a model is."""

from __future__ import annotations

import click

from ..lazy import LazyGroup


@click.group("evaluate", cls=LazyGroup, package=__package__, names=("retrieval",))
def command() -> None:
    """Measure a model on photos with captions."""

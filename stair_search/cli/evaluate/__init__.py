"""`stair-search evaluate`: how good a model is."""

from __future__ import annotations

import click

from ..lazy import LazyGroup

NAMES = ("retrieval", "classification", "probe", "interpretability", "sparsity", "table")


@click.group("evaluate", cls=LazyGroup, package=__package__, names=NAMES)
def command() -> None:
    """Measure models on photos with captions or labels."""

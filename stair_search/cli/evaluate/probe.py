"""`stair-search evaluate probe`: a linear classifier on frozen photo vectors."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import Command, debug_option, model_option
from ..output import Format, emit, format_option
from ..progress import ProgressLine
from ..text import one_line
from .shared import classes_options, encoded, open_model, seed_option

EXAMPLES = """
stair-search evaluate probe --classes tiny-imagenet/
stair-search evaluate probe --classes cifar-100-binary/ --format json
stair-search evaluate probe --classes animals/ --train-share 0.5 --seed 1
"""


@click.command("probe", cls=Command, examples=EXAMPLES)
@classes_options()
@click.option(
    "--train-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.7,
    show_default=True,
    help="Share of each class's photos that are trained on; CIFAR has parts of its own.",
)
@model_option("The model whose photo side is measured.")
@seed_option
@format_option
@debug_option
def command(
    classes: Path, names: Path | None, train_share: float, model: str, seed: int, format: Format
) -> None:
    """Measure what a linear classifier reads out of the photos' vectors.

    Logistic regression with an L2 penalty, whose strength is chosen on a quarter of the training
    photos; dense vectors are standardised, tokens stay as they are.
    """
    from ...evaluation.labelled import read_labelled
    from ...evaluation.probe import probe
    from ...evaluation.table import parts, with_interval
    from ...evaluation.vectors import stack

    data = read_labelled(classes, names)
    train, test = parts(data, seed, train_share)
    encoder = open_model(model)
    with ProgressLine() as line:
        photos = stack(encoded(encoder, data.photos, line), len(encoder.vocabulary))
        line.tell("fitting")
        found = probe(photos, data.labels, train, test, seed).to_dict(seed)
    told = {"model": encoder.fingerprint, "classes": len(data.names), **found}
    emit(
        format,
        told,
        lambda: [
            f"{one_line(encoder.fingerprint)}: {len(data.names)} classes, {found['train']} photos "
            f"to train, {found['test']} to test, C {found['C']:g}",
            f"top-1: {with_interval(found['top-1'], found['intervals']['top-1'])}",
            *([] if found["converged"] else ["the fit had not converged when it was stopped"]),
        ],
    )

"""`stair-search evaluate classification`: zero-shot accuracy on photos with labels."""

from __future__ import annotations

from pathlib import Path

import click

from ..command import Command, debug_option, model_option
from ..output import Format, emit, format_option
from ..progress import ProgressLine
from ..text import one_line
from .shared import classes_options, encoded, open_model, seed_option, templates_option, text_option

EXAMPLES = """
stair-search evaluate classification --classes tiny-imagenet/
stair-search evaluate classification --classes cifar-100-binary/ --templates photo
stair-search evaluate classification --classes animals/ --names names.csv --format json
"""


@click.command("classification", cls=Command, examples=EXAMPLES)
@classes_options()
@templates_option
@model_option("The model that is measured.")
@text_option
@seed_option
@format_option
@debug_option
def command(
    classes: Path,
    names: Path | None,
    templates: str,
    model: str,
    text: str | None,
    seed: int,
    format: Format,
) -> None:
    """Measure how often the right class's name is the one most like a photo.

    Nothing is trained: a class is the mean of its prompts. Another class with the same score
    counts as before the right one. CIFAR is measured on its test photos.
    """
    from ...evaluation.classification import class_vectors, classify
    from ...evaluation.labelled import read_labelled
    from ...evaluation.table import with_interval
    from ...evaluation.templates import read_templates
    from ...evaluation.vectors import stack

    prompts = read_templates(templates)
    data = read_labelled(classes, names).held_back()
    encoder = open_model(model, text)
    with ProgressLine() as line:
        photos = stack(encoded(encoder, data.photos, line), len(encoder.vocabulary))
        vectors = class_vectors(encoder, data.names, prompts)
    found = classify(photos, vectors, data.labels, len(prompts)).to_dict(seed)
    told = {"model": encoder.fingerprint, **found}
    emit(
        format,
        told,
        lambda: [
            f"{one_line(encoder.fingerprint)}: {found['images']} photos, "
            f"{found['classes']} classes, {found['templates']} templates",
            *(f"{k}: {with_interval(found[k], found['intervals'][k])}" for k in found["intervals"]),
        ],
    )

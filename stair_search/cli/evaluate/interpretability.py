"""`stair-search evaluate interpretability`: where the true word stands in the whole vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ...errors import UsageError
from ..command import Command, debug_option, model_option
from ..output import Format, columns, emit, format_option
from ..progress import ProgressLine
from ..text import one_line
from .shared import classes_options, encoded, open_model, pairs_options, read, seed_option

EXAMPLES = """
stair-search evaluate interpretability --classes tiny-imagenet/
stair-search evaluate interpretability --pairs captions.csv --images photos/ --split test
"""


@click.command("interpretability", cls=Command, examples=EXAMPLES)
@classes_options(required=False)
@pairs_options(required=False, protocol=False)
@model_option("The model that is measured.")
@seed_option
@format_option
@debug_option
def command(
    classes: Path | None,
    names: Path | None,
    pairs: Path | None,
    images: Path | None,
    splits: tuple[str, ...],
    model: str,
    seed: int,
    format: Format,
) -> None:
    """Measure how often a photo's true word is among its strongest tokens.

    Every token of the vocabulary is a candidate. The true word is the label of --classes, or a
    noun of the captions of --pairs (said by two of them, where a photo has several): any of a
    photo's nouns, and each of them with the others left aside. Of several sub-words the best one
    counts; tokens without weight share the last place. A dense model's photos are compared with
    its text vector of each token.
    """
    if classes is None and (pairs is None or images is None):
        raise UsageError("nothing to measure: give --classes, or --pairs with --images")
    from ...evaluation import interpretability as measured
    from ...evaluation.labelled import read_labelled
    from ...evaluation.nouns import nouns_of
    from ...evaluation.vectors import stack

    data = read_labelled(classes, names).held_back() if classes else None
    captioned = read(pairs, images, splits) if pairs and images else None
    encoder = open_model(model)
    width = len(encoder.vocabulary)
    told: dict[str, Any] = {"model": encoder.fingerprint}
    with ProgressLine() as line:
        tokens = measured.token_vectors(
            encoder, lambda done: line.tell(f"{done} of {width} tokens encoded")
        )
        if data is not None:
            photos = stack(encoded(encoder, data.photos, line), width)
            found = measured.of_labels(photos, data.labels, data.names, encoder.vocabulary, tokens)
            told["labels"] = found.to_dict(seed)
        if captioned is not None:
            photos = stack(encoded(encoder, captioned.photos, line), width)
            said = measured.of_nouns(photos, nouns_of(captioned), encoder.vocabulary, tokens)
            if said is None:
                raise UsageError(f"{pairs}: its captions have no noun that the model's tokens know")
            told["nouns"] = {"any": said.any.to_dict(seed), "each": said.each.to_dict(seed)}
    emit(format, told, lambda: _lines(told))


def _lines(told: dict[str, Any]) -> Iterator[str]:
    from ...evaluation.interpretability import CUTS
    from ...evaluation.table import with_interval

    nouns = told.get("nouns", {})
    asked = {
        "label": told.get("labels"),
        "any noun": nouns.get("any"),
        "each noun": nouns.get("each"),
    }
    rows = [("", *(f"top-{k}" for k in CUTS))]
    for name, found in asked.items():
        if found is not None:
            cells = (with_interval(found[f"top-{k}"], found["intervals"][f"top-{k}"]) for k in CUTS)
            rows.append((f"{name} ({found['questions']})", *cells))
    yield one_line(told["model"])
    yield from columns(rows)

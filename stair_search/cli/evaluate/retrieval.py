"""`stair-search evaluate retrieval`: R@K of photos by captions and of captions by photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..command import Command, debug_option, model_option
from ..output import Format, columns, emit, format_option
from ..progress import ProgressLine
from ..text import one_line
from .shared import encoded, gallery, open_model, pairs_options, read, seed_option, text_option

EXAMPLES = """
stair-search evaluate retrieval --pairs captions.csv --images photos/ --split test
stair-search evaluate retrieval --pairs dataset_coco.json --images coco/ --split test --protocol coco-5k
stair-search evaluate retrieval --pairs captions.csv --images photos/ --text-encoder mask --format json
"""  # noqa: E501 - a command is one line


@click.command("retrieval", cls=Command, examples=EXAMPLES)
@pairs_options()
@model_option("The model that is measured.")
@text_option
@seed_option
@format_option
@debug_option
def command(
    pairs: Path,
    images: Path,
    splits: tuple[str, ...],
    protocol: str,
    model: str,
    text: str | None,
    seed: int,
    format: Format,
) -> None:
    """Measure how well captions find their photos, and photos their captions.

    Photos and captions go into an index of the embedded engine, whose own search ranks them: the
    figures are those of `stair-search search`. A dense model is ranked by exact cosine, ties
    against it. R@K is the percentage of questions with an answer among the first K hits; for a
    photo any of its captions is one. Intervals (95 %) are of photos drawn again 2,000 times.
    """
    from ...evaluation.measure import measure

    wanted = read(pairs, images, splits, protocol)
    encoder = open_model(model, text)
    with ProgressLine() as line:
        photos = encoded(encoder, wanted.photos, line)
        found = measure(
            encoder,
            wanted,
            photos,
            gallery=gallery(protocol),
            progress=lambda done: line.tell(f"{done} of {len(wanted.captions)} captions encoded"),
            ranked=lambda done: line.tell(
                f"{done} of {len(wanted.photos) + len(wanted.captions)} questions answered"
            ),
        )
    told = found.to_dict(seed)
    emit(format, told, lambda: _lines(told))


def _lines(told: dict[str, Any]) -> Iterator[str]:
    from ...evaluation.table import with_interval

    yield (
        f"{one_line(told['model'])}, {told['text_encoder']} text encoder: {told['images']} photos, "
        f"{told['captions']} captions"
    )
    ways = {"text to image": "text_to_image", "image to text": "image_to_text"}
    rows = [("", *told["text_to_image"])]
    for name, way in ways.items():
        ends = told["intervals"][way]
        rows.append((name, *(with_interval(value, ends[k]) for k, value in told[way].items())))
    yield from columns(rows)
    yield f"mR: {with_interval(told['mR'], told['intervals']['mR'])}"
    active = told["active_tokens"]
    if active["image"] is None:
        yield f"dense: {told['dimensions']} dimensions"
    else:
        yield f"active tokens: {active['image']:.1f} a photo, {active['text']:.1f} a caption"

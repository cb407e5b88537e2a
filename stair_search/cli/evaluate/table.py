"""`stair-search evaluate table`: models side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...errors import UsageError
from .. import shipped
from ..command import Command, debug_option
from ..output import Format, columns, emit, format_option
from ..progress import ProgressLine
from ..text import one_line
from .shared import (
    TEXTS,
    classes_options,
    encoded,
    gallery,
    open_model,
    pairs_options,
    read,
    seed_option,
    templates_option,
)

if TYPE_CHECKING:
    from ...evaluation.table import Row

EXAMPLES = """
stair-search evaluate table --model starter --model runs/clip/model --pairs captions.csv --images photos/
stair-search evaluate table --model starter --model starter:mask --pairs captions.csv --images photos/ --split test
stair-search evaluate table --model starter --classes tiny-imagenet/ --format json
"""  # noqa: E501 - a command is one line


@click.command("table", cls=Command, examples=EXAMPLES)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="NAME[:TEXT]",
    shell_complete=shipped.completed(shipped.models, "dir"),
    help="A model, a row each; :static, :neural or :mask chooses its text encoder.",
)
@pairs_options(required=False)
@classes_options(required=False)
@templates_option
@seed_option
@format_option
@debug_option
def command(
    models: tuple[str, ...],
    pairs: Path | None,
    images: Path | None,
    splits: tuple[str, ...],
    protocol: str,
    classes: Path | None,
    names: Path | None,
    templates: str,
    seed: int,
    format: Format,
) -> None:
    """Measure several models on the same photos, every figure with its 95 % interval.

    With --pairs and --images: retrieval, nouns, sparsity and grounding. With --classes: zero-shot
    classification, linear probe, and the label's place in the vocabulary. Differences of retrieval
    are to the first model, on the same drawn photos.
    """
    if classes is None and (pairs is None or images is None):
        raise UsageError("nothing to measure: give --pairs with --images, or --classes")
    from ...evaluation import table
    from ...evaluation.labelled import read_labelled
    from ...evaluation.templates import read_templates

    prompts = read_templates(templates)
    captioned = read(pairs, images, splits, protocol) if pairs and images else None
    data = read_labelled(classes, names) if classes else None
    encoders = [(name, open_model(*_named(name))) for name in models]
    rows: list[Row] = []
    seen: dict[str, Any] = {}
    with ProgressLine() as line:
        for name, encoder in encoders:
            for part in (captioned, data):
                key = f"{encoder.fingerprint} {type(part).__name__}"
                if part is not None and key not in seen:
                    seen[key] = encoded(encoder, part.photos, line)
            rows.append(
                table.make_row(
                    name,
                    encoder,
                    captioned
                    and table.Captioned(
                        captioned, seen[f"{encoder.fingerprint} Pairs"], gallery(protocol)
                    ),
                    data and table.Classes(data, seen[f"{encoder.fingerprint} Labelled"], prompts),
                    seed,
                    line.tell,
                    next((row for row in rows if row.model == encoder.fingerprint), None),
                )
            )
    told = {
        "rows": [row.to_dict(seed) for row in rows],
        "differences": table.differences(rows, seed),
    }
    emit(format, told, lambda: _lines(told), rows="rows")


def _named(name: str) -> tuple[str, str | None]:
    """`runs/stair:mask` is a model and a text encoder; a colon elsewhere is part of the name."""
    model, _, text = name.rpartition(":")
    return (model, text) if model and text in TEXTS else (name, None)


def _lines(told: dict[str, Any]) -> Iterator[str]:
    from ...evaluation.table import blocks, with_interval

    for block in blocks(told["rows"]):
        yield from _block(block.title, block.columns, block.lines)
    lines = []
    shown = ("text_to_image R@1", "image_to_text R@1", "mR")
    for found in told["differences"]:
        cells = [with_interval(found[k]["points"], found[k]["interval"]) for k in shown]
        lines.append([f"{found['name']} - {found['minus']}", *cells])
    if lines:
        yield from _block("difference in points, paired", list(shown), lines)


def _block(title: str, names: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from columns([(title, *names), *([one_line(line[0]), *line[1:]] for line in lines)])
    yield ""

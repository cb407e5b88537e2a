"""`stair-search evaluate sparsity`: how many tokens, which, and whether they mean what they say."""

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
from .shared import encoded, open_model, pairs_options, read, text_option

EXAMPLES = """
stair-search evaluate sparsity --pairs captions.csv --images photos/ --split test
stair-search evaluate sparsity --pairs captions.csv --images photos/ --before runs/1-masked/model --model runs/3-free/model
"""  # noqa: E501 - a command is one line


@click.command("sparsity", cls=Command, examples=EXAMPLES)
@pairs_options(protocol=False)
@model_option("The model that is measured.")
@click.option(
    "--before",
    metavar="NAME",
    help="A model of the same vocabulary: how far tokens have come to stand for other photos.",
)
@text_option
@format_option
@debug_option
def command(
    pairs: Path,
    images: Path,
    splits: tuple[str, ...],
    model: str,
    before: str | None,
    text: str | None,
    format: Format,
) -> None:
    """Measure how sparse photos and captions are, and whether tokens keep their meaning.

    FLOPs is the mean number of products in a score: the sum over tokens of P(in a caption) x
    P(in a photo). Grounded is the share of the ten photos on which a token is strongest whose
    captions say the word, the mean over words that ten photos' captions say. Drift is 1 - the
    overlap of those ten photos between two models.
    """
    from ...evaluation.encode import encode_texts
    from ...evaluation.grounding import drift
    from ...evaluation.protocols import is_dense
    from ...evaluation.sparsity import sparsity
    from ...evaluation.table import grounded
    from ...evaluation.vectors import stack

    encoder = open_model(model, text)
    if is_dense(encoder):
        raise UsageError(f"{model} is a dense model: all of its dimensions are active")
    earlier = None if before is None else open_model(before)
    if earlier is not None:
        if is_dense(earlier):
            raise UsageError(f"--before {before}: a dense model has no tokens")
        if earlier.vocabulary.tokens != encoder.vocabulary.tokens:
            raise UsageError(f"--before {before}: it has another vocabulary than {model}")
    wanted = read(pairs, images, splits)
    vocabulary = encoder.vocabulary
    with ProgressLine() as line:
        photos = stack(encoded(encoder, wanted.photos, line), len(vocabulary))
        captions = stack(encode_texts(encoder, wanted.captions), len(vocabulary))
        moved = None
        if earlier is not None:
            was = stack(encoded(earlier, wanted.photos, line), len(vocabulary))
            moved = drift(was, photos)
    told = {
        "model": encoder.fingerprint,
        **sparsity(photos, captions).to_dict(vocabulary),
        "grounding": grounded(photos, captions, wanted, encoder),
        "drift": moved,
    }
    emit(format, told, lambda: _lines(told))


def _lines(told: dict[str, Any]) -> Iterator[str]:
    yield one_line(told["model"])
    names = ("mean", "median", "most", "empty", "alive", "dead")
    rows: list[tuple[str, ...]] = [("", *names)]
    for side in ("images", "texts"):
        rows.append((side, *(f"{told[side][name]:g}" for name in names)))
    yield from columns(rows)
    for side in ("images", "texts"):
        bins = told[side]["histogram"]
        most = max(found["rows"] for found in bins)
        yield f"active tokens of {side}:"
        for found in bins:
            bar = "▇" * max(1, round(40 * found["rows"] / most))
            yield f"  {found['from']:>5}+  {bar} {found['rows']}"
    yield f"FLOPs: {told['flops']:.2f} products a score"
    if told["ubiquitous"]:
        shares = (f"{one_line(token)} {share:.0f} %" for token, share in told["ubiquitous"].items())
        yield f"on most photos: {', '.join(shares)}"
    meaning = told["grounding"]
    if meaning["precision"] is not None:
        yield (
            f"grounded: {meaning['precision']:.1f} % of {meaning['tokens']} words' strongest "
            f"photos (by chance {meaning['chance']:.1f} %)"
        )
    own = meaning["own_share"]
    yield f"weight on own words: {own['image']:.1f} % of photos', {own['text']:.1f} % of captions'"
    yield f"pairs of tokens that hardly appear apart: {meaning['together']['pairs']}"
    if told["drift"] is not None:
        yield f"drift: {told['drift']:.2f} (0 the same photos, 1 others)"

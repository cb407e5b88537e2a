"""`stair-search evaluate retrieval`: R@K of photos by captions and of captions by photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import UsageError
from ..command import Command, debug_option, model_option
from ..output import Format, columns, emit, format_option
from ..progress import ProgressLine
from ..text import one_line

if TYPE_CHECKING:
    from ...encoders import Encoder
    from ...evaluation.measure import Retrieval
    from ...tokens import TokenWeights

EXAMPLES = """
stair-search evaluate retrieval --pairs captions.csv --images photos/ --split test
stair-search evaluate retrieval --pairs captions.csv --images photos/ --format json
"""


@click.command("retrieval", cls=Command, examples=EXAMPLES)
@click.option(
    "--pairs",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV image,caption[,split]: a row a caption, several rows a photo.",
)
@click.option(
    "--images",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the photos that the CSV names.",
)
@click.option("--split", metavar="NAME", help="Only rows of this split.  [default: all]")
@model_option("The model that is measured.")
@format_option
@debug_option
def command(pairs: Path, images: Path, split: str | None, model: str, format: Format) -> None:
    """Measure how well captions find their photos, and photos their captions.

    Photos and captions go into an index of the embedded engine, whose own search ranks them: the
    figures are those of `stair-search search`. R@K is the percentage of questions with an answer
    among the first K hits; for a photo any of its captions is one.
    """
    from ...encoders import load_encoder
    from ...evaluation.measure import measure
    from ...evaluation.pairs import read_pairs

    encoder = load_encoder(model)
    wanted = read_pairs(pairs, images, split)
    found = measure(encoder, wanted, _encoded(encoder, wanted.photos))
    emit(format, found.to_dict(), lambda: _lines(found))


def _encoded(encoder: Encoder, photos: Sequence[Path]) -> list[TokenWeights]:
    from ...evaluation.measure import encode_photos
    from ...ingest.decode import decode
    from ...ingest.photo import PhotoError
    from ..photos import encode_photo

    with ProgressLine() as line:
        try:
            return encode_photos(
                encoder,
                photos,
                decode,
                lambda done: line.tell(f"{done} of {len(photos)} photos encoded"),
            )
        except PhotoError as error:
            for photo in photos:  # which one it was
                encode_photo(str(photo), encoder)
            raise UsageError(str(error)) from None


def _lines(found: Retrieval) -> Iterator[str]:
    told = found.to_dict()
    yield (
        f"{one_line(found.model)}, {told['text_encoder']} text encoder: {found.images} photos, "
        f"{found.captions} captions"
    )
    ways = {"text to image": found.text_to_image, "image to text": found.image_to_text}
    rows = [("", *found.text_to_image.to_dict())]
    rows += [(name, *(f"{value:.1f}" for value in way)) for name, way in ways.items()]
    yield from columns(rows)
    yield f"active tokens: {found.image_tokens:.1f} a photo, {found.text_tokens:.1f} a caption"

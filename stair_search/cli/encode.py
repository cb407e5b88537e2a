"""`stair-search encode`: the tokens of photos or texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..errors import UsageError
from .command import SpreadCommand, debug_option, model_option, text_encoder_option
from .output import Format, format_option, note, to_json
from .photos import NoPhotoError, encode_photo
from .text import one_line, wrapped

if TYPE_CHECKING:
    from ..encoders import Encoder

EXAMPLES = """
stair-search encode cat.jpg dog.jpg
stair-search encode --text "dog on the beach" "a red bus" --format json
stair-search encode cat.jpg --picture cat.svg
"""


class Encoded(NamedTuple):
    """One input, as the contract has it."""

    input: str
    kind: str
    tokens: dict[str, float]


@click.command("encode", cls=SpreadCommand, spread="--text", examples=EXAMPLES)
@click.argument("photos", nargs=-1, metavar="PHOTO...")
@click.option("--text", "texts", multiple=True, metavar="TEXT...", help="Texts to encode.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the tokens as words sized by their weight (.svg or .png).",
)
@text_encoder_option
@model_option("The model that encodes.")
@format_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    photos: tuple[str, ...],
    texts: tuple[str, ...],
    picture: Path | None,
    text_encoder: str | None,
    model: str,
    format: Format,
) -> None:
    """Print the tokens of photos or texts, a line each.

    A photo that cannot be read is told on stderr; the others go on, and the exit code is 1.
    """
    if not (photos or texts):
        raise UsageError("nothing to encode: name photos, or give --text")
    if picture and picture.suffix.lower() not in (".svg", ".png"):
        raise UsageError(f"--picture {picture}: the name must end in .svg or .png")
    from ..encoders import load_encoder

    encoder = load_encoder(model, text=text_encoder)
    failed = 0
    done: list[Encoded] = []
    for one in _encode(photos, texts, encoder):
        if isinstance(one, NoPhotoError):
            note(f"Error: {one}")
            failed += 1
            continue
        click.echo(_lines(one) if format == "table" else to_json(one._asdict()))
        done.append(one)
    if picture:
        from .cloud import draw

        try:
            draw(picture, [(one_line(one.input), one.tokens) for one in done])
        except OSError as error:
            raise UsageError(f"--picture {picture}: {error.strerror}") from None
        note(f"drew {picture}")
    ctx.exit(1 if failed else 0)


def _encode(
    photos: tuple[str, ...], texts: tuple[str, ...], encoder: Encoder
) -> Iterator[Encoded | NoPhotoError]:
    to_dict: Any = encoder.vocabulary.to_dict
    for path in photos:
        try:
            yield Encoded(path, "image", to_dict(encode_photo(path, encoder)))
        except NoPhotoError as error:
            yield error
    for text in texts:
        yield Encoded(text, "text", to_dict(encoder.encode_text(text)))


def _lines(one: Encoded) -> str:
    tokens = ", ".join(f"{one_line(token)} {weight:.2f}" for token, weight in one.tokens.items())
    return "\n".join([one_line(one.input), *wrapped(tokens or "no token")])

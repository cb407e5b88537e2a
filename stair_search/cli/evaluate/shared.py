"""What the commands of `evaluate` share: their options, the model, photos with a progress line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...errors import UsageError
from ..pairs import pairs_and_images
from ..progress import ProgressLine

if TYPE_CHECKING:
    from ...evaluation.encode import Photo
    from ...evaluation.galleries import Gallery
    from ...evaluation.pairs import Pairs
    from ...evaluation.protocols import Encoded, Encoder

F = TypeVar("F", bound=Callable[..., Any])

TEXTS = ("static", "neural", "mask")
PROTOCOLS = ("all", "coco-5k", "coco-1k", "flickr-1k")

text_option = click.option(
    "--text-encoder",
    "text",
    type=click.Choice(TEXTS),
    help="static is the table, neural the network; mask takes the words of the text as they are, "
    "without any text encoder.  [default: the model's own]",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="What is drawn for intervals, and how photos are split.",
)
templates_option = click.option(
    "--templates",
    default="ensemble",
    show_default=True,
    metavar="NAME|FILE",
    help="Prompts around a class's name: ensemble (seven), photo, name; or a file with one a line, "
    "{} standing for the name.",
)


def pairs_options(required: bool = True, protocol: bool = True) -> Callable[[F], F]:
    """`--pairs`, `--images`, `--split` and, where ranks are taken, `--protocol`."""
    options = [
        pairs_and_images(required),
        click.option(
            "--split",
            "splits",
            multiple=True,
            metavar="NAME",
            help="Only captions of this split; can be repeated (train and restval).  "
            "[default: all]",
        ),
    ]
    if protocol:
        options.append(
            click.option(
                "--protocol",
                type=click.Choice(PROTOCOLS),
                default="all",
                show_default=True,
                help="coco-5k, coco-1k (mean of five folds) and flickr-1k want that many photos "
                "and take the first five captions of each; all takes what there is.",
            )
        )
    return _together(options)


def classes_options(required: bool = True) -> Callable[[F], F]:
    """`--classes` and `--names`."""
    options = (
        click.option(
            "--classes",
            required=required,
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Photos with labels: a folder a class, or CIFAR's binary files.",
        ),
        click.option(
            "--names",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="CSV with a column label, and image or folder.  [default: labels.csv in the "
            "folder, else the folders' names]",
        ),
    )
    return _together(options)


def _together(options: Sequence[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def read(pairs: Path, images: Path, splits: Sequence[str], protocol: str = "all") -> Pairs:
    """The pairs of these splits, of all where none is named.

    A number of photos that is not the protocol's is told here, before they are encoded.
    """
    from ...evaluation.galleries import chosen
    from ...evaluation.pairs import read_pairs

    found = read_pairs(pairs, images, splits or None)
    chosen(found, gallery(protocol))
    return found


def gallery(name: str) -> Gallery:
    from ...evaluation.galleries import GALLERIES

    return GALLERIES[name]


def open_model(name: str, text: str | None = None) -> Encoder:
    """A sparse or dense encoder. Raises ModelError, UsageError for a dense model without words."""
    from ...encoders import load_any_encoder
    from ...evaluation.protocols import is_dense

    encoder = load_any_encoder(name, text=None if text == "mask" else text)
    if text != "mask":
        return encoder
    if is_dense(encoder):
        raise UsageError(
            f"--text-encoder mask: {name} is a dense model, whose photos have no tokens"
        )
    from ...evaluation.text_free import MaskText

    return MaskText(encoder)


def encoded(encoder: Encoder, photos: Sequence[Photo], line: ProgressLine) -> Encoded:
    """The photos through the encoder, opened as `ingest` opens them."""
    from ...evaluation.encode import encode_photos
    from ...ingest.decode import decode

    return encode_photos(
        encoder, photos, decode, lambda done: line.tell(f"{done} of {len(photos)} photos encoded")
    )

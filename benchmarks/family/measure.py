"""What is measured of one model, kept as a file beside it: a second call reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stair_search.evaluation.table import Captioned, Classes, make_row
from stair_search.evaluation.templates import read_templates
from stair_search.evaluation.text_free import MaskText

from . import data
from .frozen import FrozenEncoder

Told = dict[str, Any]


MOST = (96, 32)
"""Tokens of a photo and of a question in the starter, and in what `adapt` makes."""


def measured(
    name: str,
    model: Path,
    photos: Path,
    cache: Path,
    split: str,
    all_figures: bool = True,
    own_only: bool = False,
) -> Told:
    """Rows of `evaluate table` by data set. all_figures: False for retrieval and sparsity alone.

    own_only: texts masked to their own tokens, as the model's stage has them.
    """

    def rows() -> Told:
        encoder: Any = FrozenEncoder(model, cache, own_only)
        found = _captioned(name, encoder, encoder, photos, split)
        if all_figures:
            labelled = data.classes(photos)
            seen = encoder.encode_photos([Path(str(photo)) for photo in labelled.photos])
            classes = Classes(labelled, seen, read_templates("ensemble"))
            found[data.CLASSES] = make_row(name, encoder, None, classes).to_dict()
        return found

    return _kept(model.parent / f"measured-{split}{'' if all_figures else '-retrieval'}.json", rows)


def pruned(model: Path, photos: Path, cache: Path, split: str) -> Told:
    """Retrieval with the strongest tokens alone, `MOST` of them."""

    def rows() -> Told:
        encoder: Any = FrozenEncoder(model, cache, most=MOST)
        return _captioned("pruned", encoder, encoder, photos, split)

    return _kept(model.parent / f"pruned-{split}.json", rows)


def masked(model: Path, photos: Path, cache: Path, split: str) -> Told:
    """Retrieval by the photos of a full model and the mask of a text's tokens (section 7.1)."""

    def rows() -> Told:
        encoder: Any = FrozenEncoder(model, cache)
        return _captioned("mask", encoder, MaskText(encoder), photos, split)

    return _kept(model.parent / f"masked-{split}.json", rows)


def _captioned(name: str, photos_by: Any, texts_by: Any, photos: Path, split: str) -> Told:
    return {
        key: make_row(
            name, texts_by, Captioned(pairs, photos_by.encode_photos(pairs.photos)), None
        ).to_dict()
        for key, pairs in data.test_pairs(photos, split).items()
    }


def _kept(file: Path, rows: Callable[[], Told]) -> Told:
    if file.exists():
        found: Told = json.loads(file.read_text())
        return found
    told = rows()
    file.write_text(json.dumps(told))
    return told

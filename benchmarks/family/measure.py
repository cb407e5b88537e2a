"""What is measured of one model, kept as a file beside it: a second call reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stair_search.evaluation.table import Captioned, Classes, make_row
from stair_search.evaluation.templates import read_templates
from stair_search.evaluation.text_free import MaskText

from . import data
from .frozen import FrozenEncoder

Told = dict[str, Any]


def measured(
    name: str, model: Path, photos: Path, cache: Path, split: str, all_figures: bool = True
) -> Told:
    """Rows of `evaluate table` by data set. all_figures: False for retrieval and sparsity alone."""
    file = model.parent / f"measured-{split}.json"
    wanted = [*data.SETS, *([data.CLASSES] if all_figures else [])]
    found: Told = json.loads(file.read_text()) if file.exists() else {}
    if all(key in found for key in wanted):
        return found
    encoder: Any = FrozenEncoder(model, cache)
    for key, pairs in data.test_pairs(photos, split).items():
        seen = Captioned(pairs, encoder.encode_photos(pairs.photos))
        found[key] = make_row(name, encoder, seen, None).to_dict()
    if all_figures:
        labelled = data.classes(photos)
        seen_too = Classes(
            labelled, encoder.encode_photos([Path(str(p)) for p in labelled.photos]), _templates()
        )
        found[data.CLASSES] = make_row(name, encoder, None, seen_too).to_dict()
    file.write_text(json.dumps(found))
    return found


def masked(model: Path, photos: Path, cache: Path, split: str) -> Told:
    """Retrieval by the photos of a full model and the mask of a text's tokens (section 7.1)."""
    file = model.parent / f"masked-{split}.json"
    if file.exists():
        kept: Told = json.loads(file.read_text())
        return kept
    encoder: Any = FrozenEncoder(model, cache)
    found: Told = {}
    for key, pairs in data.test_pairs(photos, split).items():
        seen = Captioned(pairs, encoder.encode_photos(pairs.photos))
        found[key] = make_row("mask", MaskText(encoder), seen, None).to_dict()
    file.write_text(json.dumps(found))
    return found


def _templates() -> tuple[str, ...]:
    return read_templates("ensemble")

"""A step that went wrong: its batch is kept, so that people can look at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file

from stair_search.evaluation.pairs import Pairs

from .samples import Batch


def keep_batch(
    folder: Path, name: str, inputs: Batch, pairs: Pairs, step: int, terms: Mapping[str, float]
) -> Path:
    """Writes NAME.json (step, loss terms, photos and captions) and NAME.safetensors (what the model
    was given); returns the first. folder: made where it is missing.
    """
    folder.mkdir(exist_ok=True)
    places = zip(inputs["photo"].tolist(), inputs["caption"].tolist(), strict=True)
    about = {
        "step": step,
        "terms": {key: repr(value) for key, value in terms.items()},  # JSON has no NaN
        "pairs": [
            {"photo": str(pairs.photos[photo]), "caption": pairs.captions[caption]}
            for photo, caption in places
        ],
    }
    save_file(
        {key: value.detach().cpu().contiguous() for key, value in inputs.items()},
        str(folder / f"{name}.safetensors"),
    )
    file = folder / f"{name}.json"
    file.write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
    return file

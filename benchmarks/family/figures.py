"""The paper's Figures 4, 7 and 8 from these runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stair_search.evaluation import plots

from . import data, tables
from .frozen import FrozenEncoder

STAGES = {"STAIR stage 1": "stage 1", "STAIR stage 2": "stage 2", "STAIR": "stage 3"}
SHOWN = ("astronaut", "chelsea", "coffee", "rocket", "coins", "camera")
"""Photos that come with scikit-image and are free to be printed; none of the training data is."""


def draw(rows: tables.Rows, lambdas: tables.Rows, model: Path, cache: Path, folder: Path) -> None:
    """model: whose tokens the clouds show."""
    folder.mkdir(parents=True, exist_ok=True)
    plots.stages(
        [{"stage": label, **_figures(rows[row])} for row, label in STAGES.items()],
        folder / "stages.svg",
    )
    first = data.SETS[0]
    told = []
    for name, seeds in lambdas.items():
        strength = float(name.split()[1])
        if strength > 0:
            active = [one[first]["retrieval"]["active_tokens"] for one in seeds]
            told.append(
                {
                    "lambda": strength,
                    **{
                        f"{side}_tokens": float(np.mean([one[side] for one in active]))
                        for side in ("image", "text")
                    },
                    **_figures(seeds),
                }
            )
    plots.lambdas(told, folder / "lambda.svg")
    plots.clouds(_clouds(model, cache), folder / "clouds.png")


def _figures(seeds: Sequence[tables.Told]) -> dict[str, Any]:
    figures, deviations = {}, {}
    for name in data.SETS:
        for way, arrow in (("text_to_image", "t→i"), ("image_to_text", "i→t")):
            values = [one[name]["retrieval"][way]["R@1"] for one in seeds]
            label = f"{name.partition('-')[0]} {arrow}"
            figures[label] = float(np.mean(values))
            if len(values) > 1:
                deviations[label] = float(np.std(values, ddof=1))
    return {"figures": figures, "deviations": deviations}


def _clouds(model: Path, cache: Path) -> list[dict[str, Any]]:
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    photos = [next(folder.glob(f"{name}.*")) for name in SHOWN]
    encoder = FrozenEncoder(model, cache)
    found: Any = encoder.encode_photos(photos)
    return [
        {"caption": photo.stem, "photo": photo, "tokens": encoder.vocabulary.to_dict(tokens)}
        for photo, tokens in zip(photos, found, strict=True)
    ]

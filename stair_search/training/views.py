"""Ways to look at a photo: as it is, mirrored, a random part of it.

Names: "plain", "flip", "crop", "crop-flip"; "crop1", "crop2-flip" where several crops of a photo
are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stair_search.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

OpenPhoto = Callable[[Path], "Image"]
"""A file as an upright RGB picture. Raises UsageError that says why it is none."""

LEAST_AREA = 0.5
LARGEST_RATIO = 4 / 3
"""Of a crop: its share of the photo's area, and how far its shape may be from the photo's.

Captions name what stands at the rim, too: crops of CLIP's successors keep half of a photo or more.
"""

_NAME = re.compile(r"plain|flip|crop\d*(-flip)?")


def check_view(view: str) -> None:
    """Raises UsageError for a name that is none."""
    if not _NAME.fullmatch(view):
        raise UsageError(
            f"view {view!r}; known are plain, flip, crop, crop-flip, crop1, crop1-flip"
        )


def look(photo: Image, view: str, chance: int) -> Image:
    """The photo in this view; chance decides on the crop."""
    from PIL.Image import Transpose

    if view.startswith("crop"):
        photo = photo.crop(_box(*photo.size, np.random.default_rng(chance)))
    return photo.transpose(Transpose.FLIP_LEFT_RIGHT) if view.endswith("flip") else photo


def _box(width: int, height: int, chance: np.random.Generator) -> tuple[int, int, int, int]:
    area = chance.uniform(LEAST_AREA, 1.0)
    ratio = np.exp(chance.uniform(-np.log(LARGEST_RATIO), np.log(LARGEST_RATIO)))
    w = max(1, min(width, round(width * np.sqrt(area * ratio))))
    h = max(1, min(height, round(height * np.sqrt(area / ratio))))
    x, y = int(chance.integers(width - w + 1)), int(chance.integers(height - h + 1))
    return x, y, x + w, y + h

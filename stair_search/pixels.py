"""A photo as the numbers that an image tower sees, the same in training and for use.

pillow is imported on first use: an application server that only asks questions has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image

MISSING = "photos need {}: pip install 'stair-search[starter]'"

Resize = Literal["squash", "crop"]
Resample = Literal["bilinear", "bicubic", "lanczos"]


class View(NamedTuple):
    """How a photo becomes the square that a tower sees.

    size: pixels a side. resize: "squash" takes the whole photo, its shape not kept; "crop" its
    middle square, whose side is the share `crop` of the photo's shorter side.
    """

    size: int
    resize: Resize = "squash"
    crop: float = 1.0
    resample: Resample = "bicubic"


def prepare_image(image: Image, view: View) -> NDArray[np.uint8]:
    """An upright RGB photo as uint8 [size, size, 3].

    Every model was trained on photos that were prepared so: a change here changes what all of them
    see.
    """
    try:
        from PIL.Image import Resampling
    except ImportError as error:
        raise ModelError(MISSING.format("pillow")) from error
    small = image.resize(
        (view.size, view.size),
        Resampling[view.resample.upper()],
        box=_middle(*image.size, view.crop) if view.resize == "crop" else None,
        # a large photo is first averaged by whole numbers, several times as fast and hardly to be
        # told from the plain filter at 3
        reducing_gap=3.0,
    )
    return np.asarray(small)


def _middle(width: int, height: int, share: float) -> tuple[float, float, float, float]:
    """A square in the middle, of this share of the shorter side: left, upper, right, lower.

    >>> _middle(300, 200, 1.0)
    (50.0, 0.0, 250.0, 200.0)
    """
    side = min(width, height) * share
    left, upper = (width - side) / 2, (height - side) / 2
    return left, upper, left + side, upper + side

"""How a published network wants its photos: transformers' `preprocessor_config.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from stair_search.errors import ModelError
from stair_search.pixels import Resample, Resize

FILES = ("preprocessor_config.json", "processor_config.json")
_RESAMPLE: dict[int, Resample] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers


class Preprocessing(NamedTuple):
    """As in ImageConfig."""

    size: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    resize: Resize
    crop: float
    resample: Resample


def read_preprocessing(folder: Path, patch: int | None) -> Preprocessing:
    """patch: pixels a side of the network's patches. Raises ModelError where nothing is said."""
    for name in FILES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            about = json.loads(path.read_text("utf-8"))
            if name == "processor_config.json":  # of photos and texts together
                about = about["image_processor"]
            return _preprocessing(about, patch)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} does not say how photos are prepared: {error!r}") from None
    raise ModelError(
        f"{folder} does not say how photos are prepared: it holds no {' and no '.join(FILES)}; "
        "take the file from the place that the weights came from"
    )


def _preprocessing(about: dict[str, Any], patch: int | None) -> Preprocessing:
    cropped = bool(about.get("do_center_crop"))
    size, resize, crop = _size(about, cropped, patch)
    # published is ((x * factor - offset) - mean) / deviation on x of 0..255; ours is on 0..1
    factor = float(about.get("rescale_factor", 1 / 255)) if about.get("do_rescale", True) else 1.0
    offset = 1.0 if about.get("rescale_offset") else 0.0
    normal = about.get("do_normalize", True)
    mean = [float(x) for x in about["image_mean"]] if normal else [0.0] * 3
    deviation = [float(x) for x in about["image_std"]] if normal else [1.0] * 3
    if about.get("include_top"):
        # Keras' EfficientNet divides by its deviation twice, and was trained so
        deviation = [x * float(y) for x, y in zip(deviation, about["image_std"], strict=True)]
    red, green, blue = ((x + offset) / (255 * factor) for x in mean)
    scale = tuple(x / (255 * factor) for x in deviation)
    return Preprocessing(
        size,
        (red, green, blue),
        (scale[0], scale[1], scale[2]),
        resize,
        crop,
        _RESAMPLE.get(int(about.get("resample", 3)), "bicubic"),
    )


def _size(about: dict[str, Any], cropped: bool, patch: int | None) -> tuple[int, Resize, float]:
    """(pixels a side, how they are come by, share of the shorter side)."""
    if "max_num_patches" in about:  # photos of any shape, brought to a square here
        if patch is None:
            raise ValueError("max_num_patches, and the network has no patches")
        return patch * int(about["max_num_patches"] ** 0.5), "squash", 1.0
    size = about["size"]
    shortest: int | None = None
    if isinstance(size, int):  # of the years before sizes had names
        shortest, side = (size, size) if cropped else (None, size)
    elif "shortest_edge" in size:
        shortest = side = int(size["shortest_edge"])
    else:
        side = int(size["height"])
    if cropped:
        cut = about["crop_size"]
        side = int(cut if isinstance(cut, int) else cut["height"])
    if shortest is None:
        # squashed first and cut then: what was cut off is seen here
        return side, "squash", 1.0
    return side, "crop", min(1.0, side / shortest)

"""What the frozen tower sees in photos, computed once and kept on disk.

A view is a way to look at a photo: as it is prepared for encoding, or mirrored.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image, ImageOps

from stair_search.pixels import View, prepare_image

from .tower import FEATURES, IMAGE_SIZE, GraphBuilder, load_lite2, pixels, pooled

log = logging.getLogger(__name__)

BATCH = 16


def tower_model() -> onnx.ModelProto:
    """Uint8 pixels [n, s, s, 3] -> features float32 [n, FEATURES]."""
    g = GraphBuilder()
    value, x = pixels(g, IMAGE_SIZE)
    pooled(g, load_lite2(), x, IMAGE_SIZE, "features")
    out = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURES])
    return g.model([value], [out])


def look(path: Path, view: str) -> NDArray[np.uint8]:
    """A photo as uint8 [s, s, 3]; view: "plain" or "flip"."""
    with Image.open(path) as file:
        photo = ImageOps.exif_transpose(file).convert("RGB")
    seen = prepare_image(photo, View(IMAGE_SIZE))
    return np.ascontiguousarray(seen[:, ::-1]) if view == "flip" else seen


def photo_features(
    photos: Sequence[Path], view: str, cache: Path, threads: int = 2
) -> NDArray[np.float32]:
    """float32 [n, FEATURES], from the cache where these photos were seen in this view before."""
    import onnxruntime

    model = tower_model().SerializeToString()
    key = hashlib.sha256(model)
    for photo in photos:
        key.update(f"{view}\0{photo}\0{photo.stat().st_size}\0".encode())
    file = cache / f"{view}-{key.hexdigest()[:24]}.npy"
    if file.exists():
        kept: NDArray[np.float16] = np.load(file, allow_pickle=False)
        return kept.astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = []
    started = said = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        for at in range(0, len(photos), BATCH):
            part = photos[at : at + BATCH]
            seen = pool.map(lambda photo: look(photo, view), part)
            found.append(session.run(["features"], {"pixels": np.stack(list(seen))})[0])
            if time.monotonic() - said > 10:
                said = time.monotonic()
                log.info(
                    "  %s: %d of %d photos, %.0f/s", view, at, len(photos), at / (said - started)
                )
    features = np.concatenate(found)
    _save(file, features.astype(np.float16))
    return features


def _save(file: Path, array: NDArray[np.float16]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as out:
        np.save(out, array, allow_pickle=False)
    part.replace(file)

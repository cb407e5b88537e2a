"""A trained sparse model as a folder that `load_encoder` reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from .tower import IMAGE_SIZE, GraphBuilder, load_lite2, pixels, pooled


def image_model(
    weight: NDArray[np.float32], bias: NDArray[np.float32], ids: NDArray[np.int64]
) -> onnx.ModelProto:
    """Tower and head: pixels uint8 [n, s, s, 3] -> weights float32 [n, o], ids int32 [o].

    weight: float32 [f, o], on features as the tower gives them.
    """
    order = np.argsort(ids)  # as TokenWeights wants them
    weight, bias, ids = weight[:, order], bias[order], ids[order]
    g = GraphBuilder()
    value, x = pixels(g, IMAGE_SIZE)
    scores = g.linear(pooled(g, load_lite2(), x, IMAGE_SIZE), weight, bias)
    active = g.node("Relu", [scores])
    g.node("Log", [g.node("Add", [active, g.scalar(1.0)])], "weights")
    g.node("Identity", [g.constant(ids.astype(np.int32), "ids")], "ids")
    outputs = [
        helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["n", len(ids)]),
        helper.make_tensor_value_info("ids", TensorProto.INT32, [len(ids)]),
    ]
    return g.model([value], outputs)


def prune_row(ids: NDArray[np.int64], weights: NDArray[np.float32], most: int) -> dict[int, float]:
    """The `most` largest entries of a token's expansion, float32 [o], of either sign."""
    keep = (
        np.argpartition(-np.abs(weights), most)[:most] if most < len(ids) else np.arange(len(ids))
    )
    return dict(zip(ids[keep].tolist(), weights[keep].tolist(), strict=True))


def text_table(rows: dict[int, dict[int, float]], vocabulary: int) -> dict[str, NDArray[Any]]:
    """Compressed sparse rows, see `stair_search.encoders.static_text`.

    rows: token to what it asks for, {token: weight}.
    """
    lengths = np.zeros(vocabulary, np.int64)
    for token, row in rows.items():
        lengths[token] = len(row)
    entries = [entry for token in sorted(rows) for entry in sorted(rows[token].items())]
    return {
        "starts": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        "ids": np.array([token for token, _ in entries], np.uint16),
        "weights": np.array([weight for _, weight in entries], np.float16),
    }


def write_folder(
    out: Path,
    about: dict[str, Any],
    image: onnx.ModelProto,
    text: dict[str, NDArray[Any]],
    tokens: Sequence[str],
) -> None:
    """about: name, version, description, image and text settings; the files' sha256 are added."""
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(image, str(out / "image.onnx"))
    with (out / "text.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **text)
    (out / "vocab.txt").write_text("\n".join(tokens) + "\n", "utf-8", newline="\n")
    names = ("image.onnx", "text.npz", "vocab.txt")
    files = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names}
    (out / "model.json").write_text(json.dumps({**about, "files": files}, indent=2) + "\n", "utf-8")

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from stair_search.errors import ModelError
from stair_search.models.config import ModelConfig, from_dict, to_dict

from .tiny import config


@pytest.mark.train
@pytest.mark.parametrize("kind", ["stair", "clip", "stair-image"])
def test_a_configuration_survives_json(kind: str) -> None:
    one = config(kind)
    assert from_dict(ModelConfig, json.loads(json.dumps(to_dict(one)))) == one


@pytest.mark.train
@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("colour", 1, r"unknown setting colour = 1; known are kind, name, image, text"),
        ("image.head.topk", 3, r"unknown setting image.head.topk = 3; known are kind, dimensions"),
        ("kind", "dense", r"kind = 'dense'; known are 'stair', 'clip', 'stair-image'"),
        ("image.size", "32", r"image.size = '32': expected int"),
        ("image.size", True, r"image.size = True: expected int"),
        ("image.size", 0, r"image.size 0"),
        ("image.mean", [0.5], r"image.mean = \[0.5\]: expected 3 values"),
        ("image.deviation", [1, 1, 0], r"deviation .* above 0"),
        ("image.crop", 1.5, r"image.crop 1.5"),
        ("image.grid", 0, r"image.grid 0"),
        ("image.tower", "vit", r"image.tower: expected settings by name, not 'vit'"),
        ("image.tower.settings", [], r"image.tower.settings = \[\]: expected settings by name"),
        ("image.head.kind", "dense", r"'stair' has a token head on the image side"),
        ("text.head.kind", "dense", r"'stair' has a token head on the text side"),
        ("text.head.top_k", 0, r"text.head.top_k 0"),
        ("text.head.dropout", 1, r"text.head.dropout 1.0"),
        ("text.tower", None, r"'stair' has text.tower and text.head"),
        ("text.table", {"kind": "mask"}, r"and no text.table"),
        ("text.length", 2, r"text.length 2"),
        ("own_embeddings", 1, r"own_embeddings = 1: expected bool"),
        ("temperature", 0, r"temperature 0.0: above 0"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(path: str, value: Any, message: str) -> None:
    data = copy.deepcopy(to_dict(config()))
    *places, last = path.split(".")
    inner = data
    for place in places:
        inner = inner[place]
    inner[last] = value
    with pytest.raises(ModelError, match=message):
        from_dict(ModelConfig, data)


@pytest.mark.train
def test_a_missing_setting_is_named() -> None:
    data = to_dict(config())
    del data["image"]["tower"]["library"]
    with pytest.raises(ModelError, match=r"setting image.tower.library is missing"):
        from_dict(ModelConfig, data)


@pytest.mark.train
def test_dense_heads_of_two_sizes() -> None:
    data = to_dict(config("clip"))
    data["text"]["head"]["dimensions"] = 7
    with pytest.raises(ModelError, match="give 12 and 7 dimensions"):
        from_dict(ModelConfig, data)

"""Tiny real models: the classes that the published ones have, with sizes that build in no time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from stair_search.models import (
    DualEncoder,
    HeadConfig,
    ImageConfig,
    ModelConfig,
    TableConfig,
    TextConfig,
    TowerConfig,
    build,
)

TOKENS = (
    *("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "on", "the", "of", "photo"),
    *("dog", "cat", "beach", "red", "car", "##s", "##es", "sand", "tree", ".", "house", "boat"),
)
SIZE = 32

_VIT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": 8,
}
_WIDE = {**_VIT, "intermediate_size": 32}

# name -> (tower, states of its prefix, side of its map, hidden)
TOWERS: dict[str, tuple[TowerConfig, int, int, int]] = {
    "vit": (TowerConfig("transformers", "vit", _WIDE), 1, 4, 16),
    "clip": (TowerConfig("transformers", "clip_vision_model", _WIDE), 1, 4, 16),
    "siglip": (TowerConfig("transformers", "siglip_vision_model", _WIDE), 0, 4, 16),
    "siglip2-naflex": (
        TowerConfig(
            "transformers",
            "siglip2_vision_model",
            {**{k: v for k, v in _WIDE.items() if k != "image_size"}, "num_patches": 16},
        ),
        0,
        4,
        16,
    ),
    "dinov2": (TowerConfig("transformers", "dinov2", _VIT), 1, 4, 16),
    "dinov2-registers": (
        TowerConfig("transformers", "dinov2_with_registers", {**_VIT, "num_register_tokens": 3}),
        4,
        4,
        16,
    ),
    "dinov3": (
        TowerConfig("transformers", "dinov3_vit", {**_WIDE, "num_register_tokens": 2}),
        3,
        4,
        16,
    ),
    "efficientnet": (
        TowerConfig(
            "transformers",
            "efficientnet",
            {
                "width_coefficient": 0.25,
                "depth_coefficient": 0.2,
                "image_size": SIZE,
                "hidden_dim": 320,
            },
        ),
        0,
        1,
        320,
    ),
    "timm-vit": (
        TowerConfig(
            "timm",
            "vit_tiny_patch16_224",
            {"img_size": SIZE, "patch_size": 8, "depth": 1, "embed_dim": 24},
        ),
        1,
        4,
        24,
    ),
    "timm-resnet": (TowerConfig("timm", "resnet10t", {}), 0, 1, 512),
    "lite": (TowerConfig("lite", "efficientnet-lite0"), 0, 1, 1280),
}

BERT = TowerConfig(
    "transformers",
    "bert",
    {
        "vocab_size": len(TOKENS),
        "hidden_size": 12,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 80,
    },
)
TOKEN_HEAD = HeadConfig("token", dimensions=12, chunk=5)


def image_config(name: str = "vit", **changes: Any) -> ImageConfig:
    half = (0.5, 0.5, 0.5)
    return replace(ImageConfig(TOWERS[name][0], SIZE, half, half, head=TOKEN_HEAD), **changes)


def config(kind: str = "stair", image: ImageConfig | None = None, **head: Any) -> ModelConfig:
    image = image or image_config()
    one = replace(TOKEN_HEAD, kind="dense" if kind == "clip" else "token", **head)
    text = TextConfig(BERT, length=20, head=one)
    if kind == "stair-image":
        text = TextConfig(length=20, table=TableConfig("expansion", rank=4))
    return ModelConfig(kind, "tiny", replace(image, head=one), text)  # type: ignore[arg-type]


def model(kind: str = "stair", outputs: list[int] | None = None, **head: Any) -> DualEncoder:
    """In evaluation mode; embeddings of length about 1, so that some weights are above zero."""
    made = build(config(kind, **head), TOKENS, outputs)
    made.eval()
    with torch.no_grad():
        made.parts()["embeddings"][0].normal_(generator=torch.Generator().manual_seed(1))
    return made

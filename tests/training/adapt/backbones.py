"""Small backbones, photos and captions for the tests of adapt."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

from tests.models.tiny import BERT, SIZE, TOKENS, TOWERS

WORDS = ("dog", "cat", "beach", "red", "car", "sand", "tree", "house", "boat")


def image_folder(folder: Path) -> Path:
    """A ViT of transformers at random weights, as a user has a published one."""
    tower = TOWERS["vit"][0]
    torch.manual_seed(0)
    settings = transformers.AutoConfig.for_model(tower.architecture, **tower.settings)
    transformers.AutoModel.from_config(settings).save_pretrained(folder)
    size = {"height": SIZE, "width": SIZE}
    transformers.ViTImageProcessor(size=size).save_pretrained(folder)
    return folder


def text_folder(folder: Path) -> Path:
    """A BERT of a few words."""
    settings: dict[str, Any] = {**BERT.settings, "max_position_embeddings": 96}
    torch.manual_seed(1)
    network = transformers.AutoModel.from_config(
        transformers.AutoConfig.for_model("bert", **settings)
    )
    network.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return folder


def captioned(folder: Path, photos: list[Path]) -> Path:
    """captions.csv, two captions a photo without splits, and photos/ with small copies."""
    (folder / "photos").mkdir(parents=True)
    with (folder / "captions.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["image", "caption"])
        for i, photo in enumerate(photos):
            with Image.open(photo) as picture:
                small = picture.convert("RGB")
            small.thumbnail((48, 48))
            small.save(folder / "photos" / f"{i}.jpg")
            one, other = WORDS[i % len(WORDS)], WORDS[(i // 2) % len(WORDS)]
            writer.writerow([f"{i}.jpg", f"a {one} on the {other}"])
            writer.writerow([f"{i}.jpg", f"the {other} of a {one}"])
    return folder / "captions.csv"

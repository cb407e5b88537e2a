"""Photos of products as documents, with the columns that a shop, a newsroom and an archive have.

Real products from ../shared/data where this machine has them; elsewhere the photos of the
installed packages and mixtures of their tokens.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stair_search import load_encoder
from stair_search.engines import Document
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import escape
from tests.engines.corpus import encoded, mixed

COLUMNS = {
    "title": "text", "category": "keyword", "licence": "keyword", "price": "float",
    "stock": "integer", "likes": "integer", "taken": "date", "place": "geo_point",
    "reviewed": "boolean",
}  # fmt: skip
NUMBERS = 32
ENOUGH = 312
UNUSUAL = ("bikini", "dog", "gun", "man", "naked", "smoking", "woman")
"""What recipes name, and photos of packages hardly show: given to those, two to each."""


def photos_of_products(data: Path | None, packages: Sequence[Path], cache: Path) -> list[Document]:
    """A photo a document; each tenth is there twice more, as if saved anew."""
    encoder = load_encoder()
    if data:
        with (data / "products.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))[::8][:ENOUGH]
        paths = [data / "images" / row["image"] for row in rows]
        tokens = encoded(encoder, paths, cache)
    else:
        rows, tokens = mixed(packages, encoded(encoder, packages, cache), ENOUGH)
    # a vector of each photo: its tokens, laid into few numbers
    laid = np.random.default_rng(1).normal(size=(len(encoder.vocabulary), NUMBERS))
    documents = []
    for n, (row, one) in enumerate(zip(rows, tokens, strict=True)):
        weights = encoder.vocabulary.to_dict(one)
        if not data:
            chance = random.Random(n)
            row["title"] = chance.choice(["Black dress", "Red shirt", "A bag"])
            weights |= {token: chance.uniform(0.03, 0.3) for token in chance.sample(UNUSUAL, 2)}
        fields = {
            "image": row["image"],
            "title": row["title"],
            "stair": [{escape(token): weight for token, weight in weights.items()}],
            "stair_model": encoder.fingerprint,
            "clip": _vector(one, laid),
        } | _columns(row["image"])
        documents.append(Document(row["image"], fields))
        if n % 10 == 0:
            for licence, shift in [("cc0", 0.001), ("editorial", 0.0005)]:
                vector = [x * 1.01 + shift for x in _vector(one, laid)]
                again = {**fields, "licence": licence, "clip": vector}
                documents.append(Document(f"{licence}-{row['image']}", again))
    return documents


def products(photos: Sequence[Document]) -> list[Document]:
    """One, two or three photos a document."""
    own = ("image", "stair", "stair_model", "clip")
    documents = []
    for n in range(0, len(photos) - 3, 3):
        some = [one.fields for one in photos[n : n + 1 + n % 9 // 3]]
        fields = {
            "category": some[0]["category"],
            "photos": [{name: one[name] for name in own if name in one} for one in some],
        }
        documents.append(Document(f"product-{n}", fields))
    return documents


def without_vector(photo: Document) -> Document:
    """For an engine that has no such field."""
    fields = {name: value for name, value in photo.fields.items() if name != "clip"}
    return Document(photo.id, fields)


def _vector(tokens: TokenWeights, laid: Any) -> list[float]:
    return [float(x) for x in (tokens.weights @ laid[tokens.ids]).astype(np.float32)]


def _columns(name: str) -> dict[str, Any]:
    chance = random.Random(name)
    near = chance.random() < 0.5  # Munich, or anywhere
    return {
        "category": chance.choice(["dress", "shirt", "shoes", "bag"]),
        "licence": chance.choice(["cc0", "cc-by", "editorial"]),
        "price": chance.randint(500, 10_000) / 100,
        "stock": max(0, chance.randint(-3, 9)),
        "likes": chance.randint(0, 3_000),
        "taken": f"2026-{chance.choice([10, 11])}-{chance.randint(1, 28):02}",
        "place": {
            "lat": 48.1 + chance.uniform(-0.2, 0.2) if near else chance.uniform(-60, 60),
            "lon": 11.6 + chance.uniform(-0.2, 0.2) if near else chance.uniform(-170, 170),
        },
        "reviewed": chance.random() < 0.3,
    }

"""Photos with their tokens as documents, for tests that need many of them.

Real ones from ../shared/data where this machine has it; elsewhere the photos of the installed
packages, and mixtures of their tokens until there are enough.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from stair_search import load_encoder
from stair_search.encoders import Encoder
from stair_search.engines import Document
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import escape

ENOUGH = 2_000
BATCH = 16
SETS = ("coco-captions", "flickr8k")
# Sentences for photos that come without one, with what splits oddly
SAYINGS = (
    "A brown dog runs along the sandy beach.",
    "Two cats sleep on a red sofa; one doesn't.",
    "A man's bicycle, parked at 3.5 m from the wall",
    "people walk down the street in the rain",
    "A white kitchen with a table, chairs and foo_bar",
    "Café au lait — a cup on the table",
    "日本 の 寺 temple at dawn 👍🏽",
    "a train a train a train at the station",
)


COLUMNS = {"taken": "date", "place": "geo_point", "likes": "integer", "price": "float"}
"""What an index of these documents declares beside the fields of a photo."""
OWN = ("image", "caption", "split", "photographer", "width")
"""What a document of several photos has, too."""


class Corpus(NamedTuple):
    """questions: texts; asked: text -> its tokens by name."""

    what: str
    model: str
    documents: list[Document]
    questions: list[str]
    asked: Callable[[str], dict[str, float]]


def corpus(data: Path | None, photos: Sequence[Path], cache: Path, enough: int = ENOUGH) -> Corpus:
    """data: the folder of shared data, None without; photos: of packages; cache: kept over runs."""
    encoder = load_encoder()

    def named(tokens: TokenWeights) -> dict[str, float]:
        return encoder.vocabulary.to_dict(tokens)

    def asked(text: str) -> dict[str, float]:
        return named(encoder.encode_text(text))

    if data:
        found = list(islice(chain.from_iterable(_captioned(data / name) for name in SETS), enough))
        rows = [{**row, "photographer": f"p{i % 7}"} for i, (_, row) in enumerate(found)]
        tokens = encoded(encoder, [path for path, _ in found], cache)
        what = f"{len(rows)} photos of {data}"
    else:
        rows, tokens = mixed(photos, encoded(encoder, photos, cache), enough)
        what = f"{len(rows)} mixtures of {len(photos)} photos"
    chance = random.Random(5)
    documents = [
        Document(row["image"], _fields(encoder, row, one) | _columns(chance))
        for row, one in zip(rows, tokens, strict=True)
    ]
    return Corpus(what, encoder.fingerprint, documents, [row["caption"] for row in rows], asked)


def grouped(photos: Corpus) -> Corpus:
    """The same photos as documents of several: half of them alone, the others of two to five.

    A photo keeps its fields; its document has those of its first photo but for the tokens, and
    columns of its own.
    """
    chance, rest = random.Random(3), iter(photos.documents)
    documents = []
    while group := list(islice(rest, chance.choice([1, 1, 1, 1, 2, 3, 4, 5]))):
        own = {name: value for name, value in group[0].fields.items() if name in OWN}
        fields = {**own, **_columns(chance), "photos": [photo.fields for photo in group]}
        documents.append(Document(group[0].id, fields))
    what = f"{len(documents)} documents of {len(photos.documents)} photos"
    return photos._replace(what=what, documents=documents)


def _captioned(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The photos of a set in its order, each with the first of its captions."""
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    first = {row["image"]: row for row in reversed(rows)}
    for name in dict.fromkeys(row["image"] for row in rows):
        yield folder / "images" / name, first[name]


def _fields(encoder: Encoder, row: dict[str, str], tokens: TokenWeights) -> dict[str, Any]:
    weights = encoder.vocabulary.to_dict(tokens)
    return {
        **row,
        "stair": [{escape(token): weight for token, weight in weights.items()}],
        "stair_model": encoder.fingerprint,
        "width": 200 + 100 * (len(row["caption"]) % 3),
    }


def _columns(chance: random.Random) -> dict[str, Any]:
    """Values of all `COLUMNS`, each in several forms, some lists, some missing."""
    day = f"20{chance.randint(10, 26)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    lat, lon = chance.uniform(-89, 89), chance.uniform(-179, 179)
    near = 48 + chance.uniform(-0.1, 0.1), 11 + chance.uniform(-0.1, 0.1)
    values: dict[str, list[Any]] = {
        "taken": [
            day,
            day[:7],
            f"{day}T{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:07.25+02:00",
            f"{day}T12:30Z",
            chance.randint(10**11, 2 * 10**12),
            [day, "2015-06-15"],
        ],
        "place": [
            f"{lat:.6f},{lon:.6f}",
            {"lat": lat, "lon": lon},
            [lon, lat],
            f"{near[0]},{near[1]}",
            [f"{near[0]},{near[1]}", f"{lat},{lon}"],
        ],
        "likes": [chance.randint(0, 9), chance.randint(-5, 10_000), [3, 70], str(7), 12.9],
        "price": [round(chance.uniform(0, 100), 2), chance.uniform(-1, 1), [1.5, 80], 0],
    }
    return {name: chance.choice(some) for name, some in values.items() if chance.random() < 0.85}


def encoded(encoder: Encoder, paths: Sequence[Path], cache: Path) -> list[TokenWeights]:
    """Encoded once for each model, then read from the cache."""
    kept = cache / f"{encoder.fingerprint.replace('/', '-')}-{len(paths)}.npz"
    if not kept.exists():
        tokens: list[TokenWeights] = []
        for start in range(0, len(paths), BATCH):
            batch = [_opened(encoder, path) for path in paths[start : start + BATCH]]
            tokens += encoder.encode_images(np.stack(batch))
        np.savez(
            kept,
            counts=[len(one) for one in tokens],
            ids=np.concatenate([one.ids for one in tokens]),
            weights=np.concatenate([one.weights for one in tokens]),
        )
    with np.load(kept) as held:
        ends = np.cumsum(held["counts"])[:-1]
        pairs = zip(np.split(held["ids"], ends), np.split(held["weights"], ends), strict=True)
        return [TokenWeights(ids, weights) for ids, weights in pairs]


def _opened(encoder: Encoder, path: Path) -> Any:
    with Image.open(path) as image:
        return encoder.prepare_image(ImageOps.exif_transpose(image).convert("RGB"))


def mixed(
    photos: Sequence[Path], tokens: Sequence[TokenWeights], enough: int
) -> tuple[list[dict[str, str]], list[TokenWeights]]:
    """Each photo, then sums of two photos' tokens with random shares."""
    chance = random.Random(7)
    mixed = list(tokens)
    while len(mixed) < enough:
        one, other = chance.sample(list(tokens), 2)
        share = chance.uniform(0.1, 0.9)
        mixed.append(one.scale(share).add(other.scale(1 - share)).prune(top_k=100))
    rows = [
        {
            "image": f"{i}-{photos[i % len(photos)].name}",
            "caption": " ".join(chance.choices(SAYINGS, k=chance.randint(1, 4))),
            "split": chance.choice(["train", "val", "test"]),
            "photographer": f"p{i % 7}",
        }
        for i in range(enough)
    ]
    return rows, mixed

"""Retrieval figures of the starter model beside two baselines on the same features and data.

    python -m benchmarks.retrieval --data ../shared/data

- starter: photos and captions encoded by the shipped model, indexed and asked in the embedded
  engine
- ridge bag of words: ridge regression from features to a photo's words, IDF weights, cosine
- dense 512-d: the CLIP-style teacher (linear heads on EfficientNet-Lite2 and MiniLM), cosine

The baselines are trained here, in minutes, from features that are kept in the cache folder; nothing
of them is shipped. Needs the extra [train]. Every run also says how readable photos' tokens are:
the share of photos whose strongest token, or any of the ten strongest, is a word of its captions.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stair_search.encoders import load_encoder
from stair_search.encoders.wordpiece import WordPiece
from stair_search.evaluation.measure import encode_photos, measure
from stair_search.evaluation.pairs import Pairs, read_pairs
from stair_search.evaluation.retrieval import CUTS, Recalls, mean_recall, recalls
from stair_search.ingest.decode import decode
from stair_search.tokens import TokenWeights
from stair_search.training.starter import pipeline
from stair_search.training.starter.captions import join, read_captioned
from stair_search.training.starter.data import Examples
from stair_search.training.starter.dense import train_dense
from stair_search.training.starter.lexicon import make_lexicon
from stair_search.training.starter.sparse import RIDGE, photo_bags, ridge

log = logging.getLogger(__name__)


class Row(NamedTuple):
    """A line of the table."""

    model: str
    text_to_image: Recalls
    image_to_text: Recalls
    active: str = "dense"

    def __str__(self) -> str:
        both = "/".join(f"{x:.1f}" for x in self.text_to_image)
        back = "/".join(f"{x:.1f}" for x in self.image_to_text)
        mean = mean_recall(self.text_to_image, self.image_to_text)
        return f"| {self.model} | {both} | {back} | {mean:.1f} | {self.active} |"


def by_product(
    name: str, images: NDArray[np.float32], texts: NDArray[np.float32], pairs: Pairs
) -> Row:
    """Figures of a dense model: images [n, d] and texts [m, d] ranked by cosine."""
    images = images / np.maximum(np.linalg.norm(images, axis=1, keepdims=True), 1e-9)
    texts = texts / np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), 1e-9)
    scores = images @ texts.T
    owned: list[set[int]] = [set() for _ in pairs.photos]
    for caption, photo in enumerate(pairs.owner):
        owned[photo].add(caption)
    return Row(
        name,
        recalls(_best(scores.T), [{photo} for photo in pairs.owner]),
        recalls(_best(scores), owned),
    )


def _best(scores: NDArray[np.float32]) -> list[list[int]]:
    best: list[list[int]] = np.argsort(-scores, axis=1, kind="stable")[:, : max(CUTS)].tolist()
    return best


def readable(
    photos: Sequence[TokenWeights], pairs: Pairs, wordpiece: WordPiece
) -> tuple[float, float]:
    """Percent of photos whose strongest token, or one of ten, is in one of their captions."""
    words: list[set[int]] = [set() for _ in pairs.photos]
    for caption, photo in zip(pairs.captions, pairs.owner, strict=True):
        words[photo] |= set(wordpiece.encode(caption))
    first = ten = 0
    for tokens, said in zip(photos, words, strict=True):
        strongest = tokens.ids[np.lexsort((tokens.ids, -tokens.weights))][:10].tolist()
        first += strongest[0] in said
        ten += not said.isdisjoint(strongest)
    return 100 * first / len(photos), 100 * ten / len(photos)


def main() -> None:
    parser = argparse.ArgumentParser(description="Retrieval figures of the starter model.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=pipeline.CACHE)
    parser.add_argument("--model", default="starter")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(2)
    data, cache = arguments.data, arguments.cache.expanduser()
    encoder = load_encoder(arguments.model, threads=2)

    log.info("baselines: dense 512-d and ridge, on features of the training photos")
    words = pipeline.read_words(cache)
    training = join([read_captioned(data / name, "train") for name in pipeline.DATA_SETS])
    lexicon = make_lexicon(
        words.tokens, words.wordpiece, training.captions, pipeline.LEAST_CAPTIONS
    )
    known, statistics = pipeline.examples(training, pipeline.VIEWS, words, lexicon, cache)
    dense = train_dense(known)
    rarity = -np.log(lexicon.share[lexicon.place])
    bag = photo_bags(known, lexicon) * rarity
    weight = ridge(known.views[0].numpy(), bag - bag.mean(0), RIDGE)

    print(f"{encoder.fingerprint}; {platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, split {arguments.split!r}; percent")
    for name in pipeline.DATA_SETS:
        log.info("%s: starter through the embedded engine", name)
        pairs = read_pairs(data / name / "captions.csv", data / name / "images", arguments.split)
        photos = encode_photos(encoder, pairs.photos, decode)
        found = measure(encoder, pairs, photos)
        asked: Examples
        asked, _ = pipeline.examples(
            read_captioned(data / name, arguments.split),
            ("plain",),
            words,
            lexicon,
            cache,
            statistics,
        )
        with torch.no_grad():
            images = dense.images(asked.views[0]).numpy()
            texts = dense.texts(asked.sentences).numpy()
        rows = [
            Row(
                "starter (static text)",
                found.text_to_image,
                found.image_to_text,
                f"{found.image_tokens:.1f} / {found.text_tokens:.1f}",
            ),
            by_product(
                "ridge bag of words",
                asked.views[0].numpy() @ weight,
                asked.bag.numpy()[:, lexicon.place] * rarity,
                pairs,
            ),
            by_product("dense 512-d (CLIP-style)", images, texts, pairs),
        ]
        first, ten = readable(photos, pairs, words.wordpiece)
        print(f"\n{name}: {found.images} photos, {found.captions} captions\n")
        print("| model | text→image R@1/5/10 | image→text R@1/5/10 | mR | tokens image / text |")
        print("|---|---|---|---|---|")
        for row in rows:
            print(row)
        print(f"\nstrongest token in a caption {first:.1f} %, one of ten {ten:.1f} %", flush=True)


if __name__ == "__main__":
    main()

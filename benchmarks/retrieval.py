"""Retrieval figures of starter models beside two baselines on the same towers, photos and captions.

    python -m benchmarks.retrieval --data ../shared/data [--models starter v0/]

- models: photos and captions encoded by a light model, with each text encoder that it has, indexed
  and asked in the embedded engine; the starter unless others are named
- dense 512-d: CLIP on the same towers, of as many steps, which taught the starter; cosine
- ridge: the starter before its first step, where a ridge regression onto the captions' words has
  put it; cosine

The baselines are those of `python -m stair_search.training.starter` and are trained here, in
minutes, where its runs are not there. Also how readable photos' tokens are: the share of photos
whose strongest token, or any of the ten strongest, is a word of its captions.
"""

from __future__ import annotations

import argparse
import logging
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.family.frozen import FrozenEncoder
from benchmarks.machine import machine
from stair_search.encoders import Encoder, load_encoder
from stair_search.encoders.folder import open_folder
from stair_search.encoders.wordpiece import WordPiece
from stair_search.evaluation.encode import encode_photos
from stair_search.evaluation.measure import Retrieval, measure
from stair_search.evaluation.pairs import Pairs, read_pairs
from stair_search.ingest.decode import decode
from stair_search.tokens import TokenWeights
from stair_search.training.data import read_data
from stair_search.training.starter import pipeline
from stair_search.training.starter.pairs import DATA_SETS, write_pairs

log = logging.getLogger(__name__)

AT_ITS_START = ("stages.0.steps=1", "stages.0.warmup=0", "stages.0.rate=1e-12")


def row(name: str, found: Retrieval) -> str:
    both = "/".join(f"{x:.1f}" for x in found.text_to_image)
    back = "/".join(f"{x:.1f}" for x in found.image_to_text)
    active = "dense"
    if found.image_tokens is not None:
        active = f"{found.image_tokens:.1f} / {found.text_tokens:.1f}"
    return f"| {name} | {both} | {back} | {found.mean_recall:.1f} | {active} |"


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
        first += not said.isdisjoint(strongest[:1])
        ten += not said.isdisjoint(strongest)
    return 100 * first / len(photos), 100 * ten / len(photos)


def light(models: Sequence[str]) -> Iterator[tuple[str, Encoder]]:
    """Every text encoder of every model."""
    for model in models:
        for text in open_folder(model).text_encoders:
            encoder = load_encoder(model, threads=2, text=text)
            yield f"**{encoder.fingerprint}**, {text} text", encoder


def baselines(data: Path, runs: Path, cache: Path) -> Iterator[tuple[str, Any]]:
    pairs = read_data(write_pairs(data, runs / "pairs.csv"), data)
    clip = pipeline.run("small-clip", pairs, runs / "small-clip", cache, ())
    taught = f'teachers=["{clip}"]'
    ridge = pipeline.run("starter", pairs, runs / "ridge", cache, (taught, *AT_ITS_START))
    yield "dense 512-d (CLIP-style)", FrozenEncoder(clip, cache)
    yield "ridge, where the starter starts", FrozenEncoder(ridge, cache)


def main() -> None:
    parser = argparse.ArgumentParser(description="Retrieval figures of starter models.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=pipeline.RUNS)
    parser.add_argument("--cache", type=Path, default=pipeline.STATES)
    parser.add_argument("--models", nargs="+", default=["starter"])
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    data, runs = arguments.data.resolve(), arguments.runs.expanduser()
    rivals = list(baselines(data, runs, arguments.cache.expanduser()))
    print(f"{machine()}, Python {platform.python_version()}, split {arguments.split!r}; percent")
    for name in DATA_SETS:
        pairs = read_pairs(data / name / "captions.csv", data / name / "images", arguments.split)
        rows, told = [], []
        seen: dict[str, list[TokenWeights]] = {}
        for model, encoder in light(arguments.models):
            log.info("%s: %s through the embedded engine", name, model)
            if encoder.fingerprint not in seen:
                photos = encode_photos(encoder, pairs.photos, decode)
                seen[encoder.fingerprint] = photos
                first, ten = readable(photos, pairs, WordPiece.of(encoder.vocabulary.tokens))
                told.append(
                    f"{encoder.fingerprint}: strongest token in a caption {first:.1f} %, one of "
                    f"ten {ten:.1f} %"
                )
            rows.append(row(model, measure(encoder, pairs, seen[encoder.fingerprint])))
        for model, rival in rivals:
            log.info("%s: %s", name, model)
            rows.append(row(model, measure(rival, pairs, rival.encode_photos(pairs.photos))))
        print(f"\n{name}: {len(pairs.photos)} photos, {len(pairs.captions)} captions\n")
        print("| model | text→image R@1/5/10 | image→text R@1/5/10 | mR | tokens image / text |")
        print("|---|---|---|---|---|")
        print("\n".join(rows), "", *told, sep="\n", flush=True)


if __name__ == "__main__":
    main()

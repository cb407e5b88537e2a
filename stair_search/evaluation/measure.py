"""Retrieval as a user would see it: photos and captions of a sparse model go into an index of the
embedded engine, and its own search ranks them. No matrix product stands in for an engine's scores.

A dense model has no such index; its vectors are ranked by exact cosine (see `retrieval.ranks`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.engines import Document, Engine, connect
from stair_search.fields import Fields
from stair_search.mappings import index_body
from stair_search.queries import question
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary

from .bootstrap import Interval
from .encode import Progress, encode_texts, silent
from .galleries import ALL, Gallery, chosen, folds
from .pairs import Pairs
from .protocols import Encoded, Encoder
from .retrieval import CUTS, Ranks, Recalls, intervals, mean_recall, ranks, ranks_of
from .vectors import stack

BULK = 500


@dataclass(frozen=True)
class Retrieval:
    """ranks: of every question; owner: for each caption the place of its photo.

    image_tokens, text_tokens: mean number of active tokens, None for a dense model, whose number of
    dimensions is `dimensions`. ranked_by: "engine" or "cosine".
    """

    model: str
    text_encoder: str
    protocol: str
    ranked_by: str
    owner: list[int]
    ranks: Ranks
    image_tokens: float | None
    text_tokens: float | None
    dimensions: int | None

    @property
    def images(self) -> int:
        return len(self.ranks.image_to_text)

    @property
    def captions(self) -> int:
        return len(self.ranks.text_to_image)

    @property
    def text_to_image(self) -> Recalls:
        return Recalls.of(self.ranks.text_to_image)

    @property
    def image_to_text(self) -> Recalls:
        return Recalls.of(self.ranks.image_to_text)

    @property
    def mean_recall(self) -> float:
        return mean_recall(self.text_to_image, self.image_to_text)

    def intervals(self, seed: int = 0) -> tuple[dict[str, dict[str, Interval]], Interval]:
        """95 % bootstrap intervals over photos: of both ways, and of mR."""
        return intervals(self.ranks, self.owner, seed=seed)

    def to_dict(self, seed: int = 0) -> dict[str, Any]:
        """As `evaluate retrieval --format json` prints it; percent."""
        ways, mean = self.intervals(seed)
        return {
            "model": self.model,
            "text_encoder": self.text_encoder,
            "images": self.images,
            "captions": self.captions,
            "text_to_image": self.text_to_image.to_dict(),
            "image_to_text": self.image_to_text.to_dict(),
            "active_tokens": {"image": self.image_tokens, "text": self.text_tokens},
            "dimensions": self.dimensions,
            "mR": self.mean_recall,
            "intervals": {
                **{
                    way: {k: list(ends) for k, ends in found.items()} for way, found in ways.items()
                },
                "mR": list(mean),
            },
            "protocol": self.protocol,
            "ranked_by": self.ranked_by,
        }


def measure(
    encoder: Encoder,
    pairs: Pairs,
    photos: Encoded,
    gallery: Gallery = ALL,
    progress: Progress = silent,
    ranked: Progress = silent,
) -> Retrieval:
    """photos: what the encoder gave for `pairs.photos`.

    progress, ranked: are told how many captions are encoded and how many questions, of photos and
    captions, the engine has answered. Raises UsageError where the pairs are not those of the
    gallery.
    """
    captions = encode_texts(encoder, pairs.captions, progress)
    return measure_encoded(encoder, pairs, photos, captions, gallery, ranked)


def measure_encoded(
    encoder: Encoder,
    pairs: Pairs,
    photos: Encoded,
    captions: Encoded,
    gallery: Gallery = ALL,
    ranked: Progress = silent,
) -> Retrieval:
    """captions: what the encoder gave for `pairs.captions`, all of them."""
    wanted, places = chosen(pairs, gallery)
    captions = _take(captions, places)
    dense = isinstance(photos, np.ndarray)
    forth: list[NDArray[np.int64]] = []
    back: list[NDArray[np.int64]] = []
    order: list[int] = []
    answered = 0

    def told(more: int) -> None:
        nonlocal answered
        answered += more
        ranked(answered)

    for fold in folds(wanted, gallery):
        left, right = _take(photos, fold.photos), _take(captions, fold.captions)
        if dense:
            found = ranks(stack(left, 0), stack(right, 0), fold.owner)
        else:
            found = _engine_ranks(encoder, left, right, fold.owner, told)
        forth.append(found.text_to_image)
        back.append(found.image_to_text)
        order += fold.captions
    every = np.empty(len(order), np.int64)
    every[order] = np.concatenate(forth)
    return Retrieval(
        encoder.fingerprint,
        encoder.text_encoder,
        gallery.name,
        "cosine" if dense else "engine",
        wanted.owner,
        Ranks(every, np.concatenate(back)),
        None if dense else float(np.mean([len(tokens) for tokens in photos])),
        None if dense else float(np.mean([len(tokens) for tokens in captions])),
        photos.shape[1] if isinstance(photos, np.ndarray) else None,
    )


def _take(encoded: Encoded, places: Sequence[int]) -> Encoded:
    if isinstance(encoded, np.ndarray):
        return encoded[np.asarray(places, np.intp)]
    return [encoded[place] for place in places]


def _engine_ranks(
    encoder: Encoder,
    photos: Any,
    captions: Any,
    owner: Sequence[int],
    told: Progress,
) -> Ranks:
    owned: list[set[int]] = [set() for _ in photos]
    for caption, photo in enumerate(owner):
        owned[photo].add(caption)
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:{Path(folder) / 'evaluation.db'}")
        try:
            return Ranks(
                ranks_of(
                    _rank(engine, "photos", encoder, photos, captions, told),
                    [{photo} for photo in owner],
                ),
                ranks_of(_rank(engine, "captions", encoder, captions, photos, told), owned),
            )
        finally:
            engine.close()


def _rank(
    engine: Engine,
    index: str,
    encoder: Encoder,
    documents: Sequence[TokenWeights],
    questions: Iterable[TokenWeights],
    told: Progress,
) -> list[list[int]]:
    """For each question the documents' places, best first; told: of each question, 1."""
    fields, vocabulary, model = Fields(), encoder.vocabulary, encoder.fingerprint
    engine.create(index, index_body("sqlite", fields))
    for at in range(0, len(documents), BULK):
        outcomes = engine.bulk(
            index,
            [
                Document(str(at + i), {fields.token: [weights], fields.model: model})
                for i, weights in enumerate(map(_named(vocabulary), documents[at : at + BULK]))
            ],
        )
        bad = [outcome for outcome in outcomes if not outcome.ok]
        if bad:
            raise RuntimeError(f"document {bad[0].id} was refused: {bad[0].error}")
    engine.refresh(index)
    found = []
    for tokens in questions:
        query = question(vocabulary.to_dict(tokens), model=model) if len(tokens) else None
        hits = engine.search(index, query, max(CUTS), why=False).hits if query else []
        found.append([int(hit.id) for hit in hits])
        told(1)
    return found


def _named(vocabulary: Vocabulary) -> Callable[[TokenWeights], dict[str, float]]:
    return vocabulary.to_features

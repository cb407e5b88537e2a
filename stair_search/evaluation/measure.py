"""Retrieval as a user would see it: photos and captions go into an index of the embedded engine,
and its own search ranks them. No matrix product stands in for an engine's scores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stair_search.engines import Document, Engine, connect
from stair_search.fields import Fields
from stair_search.mappings import index_body
from stair_search.queries import question
from stair_search.tokens import TokenWeights
from stair_search.vocabulary import Vocabulary, escape

from .pairs import Pairs
from .retrieval import CUTS, Recalls, recalls

BATCH = 16
BULK = 500


class Encoder(Protocol):
    """What is measured; `stair_search.encoders.load_encoder` gives one."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    def encode_text(self, text: str) -> TokenWeights: ...

    def prepare_image(self, image: Any) -> NDArray[np.uint8]: ...

    def encode_images(self, batch: NDArray[np.uint8]) -> Sequence[TokenWeights]: ...


class Retrieval(NamedTuple):
    """image_tokens, text_tokens: mean number of active tokens."""

    model: str
    images: int
    captions: int
    text_to_image: Recalls
    image_to_text: Recalls
    image_tokens: float
    text_tokens: float

    def to_dict(self) -> dict[str, Any]:
        """As `evaluate retrieval --format json` prints it."""
        return {
            "model": self.model,
            "text_encoder": "static",
            "images": self.images,
            "captions": self.captions,
            "text_to_image": self.text_to_image.to_dict(),
            "image_to_text": self.image_to_text.to_dict(),
            "active_tokens": {"image": self.image_tokens, "text": self.text_tokens},
        }


def encode_photos(
    encoder: Encoder,
    photos: Sequence[Path],
    decode: Callable[[bytes], Any],
    progress: Callable[[int], None] = lambda done: None,
) -> list[TokenWeights]:
    """decode: a file's bytes to an upright RGB picture. progress: is told how many are done."""
    found: list[TokenWeights] = []
    with ThreadPoolExecutor(2) as pool:
        for at in range(0, len(photos), BATCH):
            part = photos[at : at + BATCH]
            pixels = pool.map(lambda path: encoder.prepare_image(decode(path.read_bytes())), part)
            found += encoder.encode_images(np.stack(list(pixels)))
            progress(len(found))
    return found


def measure(
    encoder: Encoder, pairs: Pairs, photos: Sequence[TokenWeights], url: str | None = None
) -> Retrieval:
    """photos: the tokens of `pairs.photos`. url: SQLite file to use, a passing one if None."""
    captions = [encoder.encode_text(caption) for caption in pairs.captions]
    owned: list[set[int]] = [set() for _ in pairs.photos]
    for caption, photo in enumerate(pairs.owner):
        owned[photo].add(caption)
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(url or f"sqlite:{Path(folder) / 'evaluation.db'}")
        try:
            return Retrieval(
                encoder.fingerprint,
                len(photos),
                len(captions),
                recalls(
                    _rank(engine, "photos", encoder, photos, captions),
                    [{photo} for photo in pairs.owner],
                ),
                recalls(_rank(engine, "captions", encoder, captions, photos), owned),
                float(np.mean([len(tokens) for tokens in photos])),
                float(np.mean([len(tokens) for tokens in captions])),
            )
        finally:
            engine.close()


def _rank(
    engine: Engine,
    index: str,
    encoder: Encoder,
    documents: Sequence[TokenWeights],
    questions: Iterable[TokenWeights],
) -> list[list[int]]:
    """For each question the documents' places, best first."""
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
    return found


def _named(vocabulary: Vocabulary) -> Callable[[TokenWeights], dict[str, float]]:
    return lambda tokens: {escape(name): w for name, w in vocabulary.to_dict(tokens).items()}

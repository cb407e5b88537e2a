"""Models side by side: one row a model, every figure with its interval, on the same photos.

A row holds what the single commands tell (`retrieval`, `sparsity`, `interpretability`,
`classification`, `probe`), as the same objects in JSON. Differences of retrieval to the first row
are paired: both models are drawn the same photos, so that an interval without 0 says that one is
ahead, even where the intervals of the two overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from . import grounding
from .bootstrap import interval
from .classification import Classification, class_vectors, classify
from .encode import encode_texts
from .galleries import ALL, Gallery
from .interpretability import Interpretability, Nouns, of_labels, of_nouns, token_vectors
from .labelled import Labelled
from .measure import Retrieval, measure_encoded
from .nouns import nouns_of
from .pairs import Pairs
from .probe import Probe, probe, split
from .protocols import Encoded, Encoder
from .retrieval import NAMES, Recalls, resampled
from .sparsity import sparsity
from .vectors import Vectors, is_sparse, stack

TRAIN_SHARE = 0.7

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One model, or one text encoder of it. What was not asked for, or has no meaning, is None."""

    name: str
    model: str
    text_encoder: str
    retrieval: Retrieval | None = None
    sparsity: dict[str, Any] | None = None
    grounding: dict[str, Any] | None = None
    nouns: Nouns | None = None
    labels: Interpretability | None = None
    classification: Classification | None = None
    probe: Probe | None = None

    def to_dict(self, seed: int = 0) -> dict[str, Any]:
        """As `evaluate table --format json` prints it, percent."""

        def told(found: Any) -> Any:
            return None if found is None else found.to_dict(seed)

        return {
            "name": self.name,
            "model": self.model,
            "text_encoder": self.text_encoder,
            "retrieval": told(self.retrieval),
            "sparsity": self.sparsity,
            "grounding": self.grounding,
            "interpretability": {
                "labels": told(self.labels),
                "nouns": None
                if self.nouns is None
                else {"any": told(self.nouns.any), "each": told(self.nouns.each)},
            },
            "classification": told(self.classification),
            "probe": told(self.probe),
        }


class Captioned(NamedTuple):
    """Photos with captions, as one encoder sees them. photos: what it gave for `pairs.photos`."""

    pairs: Pairs
    photos: Encoded
    gallery: Gallery = ALL


class Classes(NamedTuple):
    """Labelled photos, as one encoder sees them. photos: what it gave for `data.photos`."""

    data: Labelled
    photos: Encoded
    templates: tuple[str, ...]


def make_row(
    name: str,
    encoder: Encoder,
    captioned: Captioned | None,
    classes: Classes | None,
    seed: int = 0,
    tell: Tell = lambda text: None,
    like: Row | None = None,
) -> Row:
    """name: what the row is called; tell: is told what is done.

    like: an earlier row of the same model and photos, with another text encoder. For sparse models
    what photos alone decide (probe, labels, nouns) is taken from it.
    """
    width = len(encoder.vocabulary)
    tokens = token_vectors(encoder, lambda done: tell(f"{name}: {done} of {width} tokens encoded"))
    found: dict[str, Any] = {}
    if captioned is not None:
        found |= _captioned(name, encoder, captioned, tokens, tell, like)
    if classes is not None:
        found |= _classes(name, encoder, classes, tokens, seed, tell, like)
    return Row(name, encoder.fingerprint, encoder.text_encoder, **found)


def _captioned(
    name: str,
    encoder: Encoder,
    given: Captioned,
    tokens: Vectors | None,
    tell: Tell,
    like: Row | None,
) -> dict[str, Any]:
    pairs = given.pairs
    captions = encode_texts(
        encoder,
        pairs.captions,
        lambda done: tell(f"{name}: {done} of {len(pairs.captions)} captions encoded"),
    )
    vocabulary = encoder.vocabulary
    images = stack(given.photos, len(vocabulary))
    found: dict[str, Any] = {
        "retrieval": measure_encoded(
            encoder,
            pairs,
            given.photos,
            captions,
            gallery=given.gallery,
            ranked=lambda done: tell(f"{name}: {done} questions answered"),
        )
    }
    if like is not None and tokens is None:
        found["nouns"] = like.nouns
    else:
        tell(f"{name}: nouns of captions")
        found["nouns"] = of_nouns(images, nouns_of(pairs), vocabulary, tokens)
    if is_sparse(images):
        texts = stack(captions, len(vocabulary))
        found["sparsity"] = sparsity(images, texts).to_dict(vocabulary)
        found["grounding"] = grounded(images, texts, pairs, encoder)
    return found


def grounded(images: Vectors, texts: Vectors, pairs: Pairs, encoder: Encoder) -> dict[str, Any]:
    """Grounding, weight on own words and co-activation of a sparse model, in one dict."""
    vocabulary = encoder.vocabulary
    words = grounding.said(pairs, vocabulary)
    return {
        **grounding.grounding(images, words, vocabulary).to_dict(vocabulary),
        "own_share": {
            "image": grounding.own_share(images, words),
            "text": grounding.own_share(texts, grounding.own_tokens(pairs.captions, vocabulary)),
        },
        "together": grounding.together(images).to_dict(vocabulary),
    }


def _classes(
    name: str,
    encoder: Encoder,
    given: Classes,
    tokens: Vectors | None,
    seed: int,
    tell: Tell,
    like: Row | None,
) -> dict[str, Any]:
    data, vocabulary = given.data, encoder.vocabulary
    photos = stack(given.photos, len(vocabulary))
    train, test = parts(data, seed)
    # where the data has a training part of its own, the figures without training are of the rest
    held = np.arange(len(data.labels)) if data.trained is None else test
    tell(f"{name}: classes")
    vectors = class_vectors(encoder, data.names, given.templates)
    classified = classify(photos[held], vectors, data.labels[held], len(given.templates))
    if like is not None and tokens is None:
        return {"classification": classified, "labels": like.labels, "probe": like.probe}
    tell(f"{name}: linear probe")
    return {
        "classification": classified,
        "labels": of_labels(photos[held], data.labels[held], data.names, vocabulary, tokens),
        "probe": probe(photos, data.labels, train, test, seed),
    }


def parts(
    data: Labelled, seed: int, train_share: float = TRAIN_SHARE
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Places of training and test photos: the data's own parts, or a seeded split."""
    if data.trained is not None and data.trained.any() and not data.trained.all():
        return np.flatnonzero(data.trained), np.flatnonzero(~data.trained)
    return split(data.labels, train_share, seed)


def differences(rows: Sequence[Row], seed: int = 0) -> list[dict[str, Any]]:
    """Every further row's retrieval minus the first row's, in points, with paired intervals."""
    measured = [row for row in rows if row.retrieval is not None]
    found = []
    for row in measured[1:]:
        figures, drawn = _figures(row, seed)
        first, base = _figures(measured[0], seed)
        gap = drawn - base
        found.append(
            {
                "name": row.name,
                "minus": measured[0].name,
                **{
                    figure: {"points": float(a - b), "interval": list(interval(gap[:, i]))}
                    for i, (figure, a, b) in enumerate(
                        zip((*NAMES, "mR"), figures, first, strict=True)
                    )
                },
            }
        )
    return found


def _figures(row: Row, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    assert row.retrieval is not None
    ranks = row.retrieval.ranks
    six = [*Recalls.of(ranks.text_to_image), *Recalls.of(ranks.image_to_text)]
    values = np.array([*six, np.mean(six)])
    return values, resampled(ranks, row.retrieval.owner, seed=seed)


class Block(NamedTuple):
    """A part of the table that fits a screen: a title, the columns' names, a line a model."""

    title: str
    columns: list[str]
    lines: list[list[str]]


def blocks(told: Sequence[dict[str, Any]]) -> list[Block]:
    """From `Row.to_dict` of each row; parts that no row has are left out."""
    plans: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
        ("text to image", ("retrieval", "text_to_image"), ("R@1", "R@5", "R@10")),
        ("image to text", ("retrieval", "image_to_text"), ("R@1", "R@5", "R@10")),
        ("mean of both ways", ("retrieval",), ("mR",)),
        ("zero-shot classes", ("classification",), ("top-1", "top-5")),
        ("linear probe", ("probe",), ("top-1",)),
        ("class name in the vocabulary", ("interpretability", "labels"), _TOPS),
        ("strongest nouns: any of a photo's", ("interpretability", "nouns", "any"), _TOPS),
        ("strongest nouns: each", ("interpretability", "nouns", "each"), _TOPS),
    ]
    found = []
    for title, path, names in plans:
        lines = []
        for row in told:
            value = _at(row, path)
            if value is not None:
                lines.append([row["name"], *(_cell(row, path, value, name) for name in names)])
        if lines:
            found.append(Block(title, list(names), lines))
    return [*found, *_counts(told)]


_TOPS = ("top-1", "top-10", "top-50", "top-100")


def _at(row: Any, path: Sequence[str]) -> Any:
    for key in path:
        if row is None:
            return None
        row = row[key]
    return row


def _cell(row: dict[str, Any], path: Sequence[str], value: dict[str, Any], name: str) -> str:
    if path[0] == "retrieval":
        ends = _at(row["retrieval"]["intervals"], path[1:])[name]
    else:
        ends = value["intervals"][name]
    return with_interval(value[name], ends)


def with_interval(value: float, ends: Sequence[float]) -> str:
    """A figure as people read it.

    >>> with_interval(41.06, [39.8, 42.3])
    '41.1 [39.8, 42.3]'
    """
    return f"{value:.1f} [{ends[0]:.1f}, {ends[1]:.1f}]"


def _counts(told: Sequence[dict[str, Any]]) -> list[Block]:
    lines = []
    for row in told:
        sparse, meaning = row["sparsity"], row["grounding"]
        if sparse is None or meaning is None:
            continue
        grounded_on = meaning["precision"]
        lines.append(
            [
                row["name"],
                f"{sparse['images']['mean']:.1f} / {sparse['images']['most']}",
                f"{sparse['texts']['mean']:.1f} / {sparse['texts']['most']}",
                f"{sparse['flops']:.2f}",
                f"{sparse['images']['alive']:,}",
                "–" if grounded_on is None else f"{grounded_on:.1f}",
                f"{meaning['own_share']['image']:.1f}",
            ]
        )
    names = ["a photo: mean / most", "a caption", "FLOPs", "alive", "grounded %", "own words %"]
    return [Block("active tokens", names, lines)] if lines else []

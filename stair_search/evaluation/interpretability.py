"""Interpretability (STAIR, section 5.1): where in the whole vocabulary a photo's true word stands.

Every token of the vocabulary is a candidate (BERT's: 30,522), not the classes alone. A label of
several sub-words has the rank of its best one. What a token's similarity with a photo is:

- sparse models: the photo's own weight of that token, nothing else ("the interpretation mapping
  reduces to an identity function"). Tokens without weight share the worst rank: pessimistic, so
  that an empty photo is right about nothing
- dense models: cosine of the photo with the text encoder's vector of the token, "##" taken off and
  without the prompt that the model has for captions

Two questions are asked. *Labels*: a photo's class name. *Nouns*: the nouns of a photo's captions.
A photo has several; "each" ranks every noun while the photo's other nouns are left out of the
candidates (the filtered rank of Bordes et al. 2013: two true words do not beat each other), "any"
takes the best of them: "any" Top-1 is the share of photos whose strongest token is a true noun.

Wrong tokens with the same weight stand before the right one. Ids that a label has are those of
WordPiece, without punctuation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.encoders.wordpiece import WordPiece
from stair_search.errors import UsageError
from stair_search.vocabulary import Vocabulary

from .bootstrap import interval, replicates
from .encode import Progress, encode_texts, silent
from .protocols import Encoder, is_dense
from .vectors import Vectors, is_sparse, similarity, stack

CUTS = (1, 10, 50, 100)


class Interpretability(NamedTuple):
    """ranks: int64 [q], from 1; photo: int64 [q], whose question it is; tokens: candidates."""

    ranks: NDArray[np.int64]
    photo: NDArray[np.int64]
    tokens: int

    def top(self, k: int) -> float:
        """Top-k, percent of questions."""
        return 100 * float((self.ranks <= k).mean())

    def to_dict(self, seed: int = 0) -> dict[str, Any]:
        """Percent, with 95 % bootstrap intervals over photos."""
        _, place = np.unique(self.photo, return_inverse=True)
        hits = np.zeros((int(place.max()) + 1, len(CUTS)))
        np.add.at(hits, place, self.ranks[:, None] <= np.array(CUTS))
        drawn = replicates(hits, np.bincount(place), seed=seed)
        return {
            "images": len(hits),
            "questions": len(self.ranks),
            "tokens": self.tokens,
            **{f"top-{k}": self.top(k) for k in CUTS},
            "median_rank": float(np.median(self.ranks)),
            "intervals": {f"top-{k}": list(interval(drawn[:, i])) for i, k in enumerate(CUTS)},
        }


def pieces(text: str, cut: WordPiece, vocabulary: Vocabulary) -> frozenset[int]:
    """Ids of a label's sub-words that hold a letter or a digit; none where it cannot be cut."""
    return frozenset(
        id_ for id_ in cut.encode(text) if any(map(str.isalnum, vocabulary.token(id_)))
    )


def token_vectors(encoder: Encoder, progress: Progress = silent) -> Vectors | None:
    """Dense models: [V, d], each token of the vocabulary as a text. None for a sparse model.

    progress: is told how many tokens are done.
    """
    if not is_dense(encoder):
        return None
    texts = [token.removeprefix("##") or token for token in encoder.vocabulary.tokens]
    return stack(encode_texts(encoder, texts, progress, prompted=False), 0)


def rank(
    photos: Vectors,
    asked: Sequence[tuple[int, frozenset[int]]],
    tokens: Vectors | None = None,
    excluded: Sequence[frozenset[int]] | None = None,
) -> Interpretability:
    """asked: (photo, ids of the true word's pieces), in any order; a question each.

    tokens: [V, d] for dense photos (`token_vectors`), None where photos are [n, V] themselves.
    excluded: for each question ids that are no candidates. Raises ValueError for a question
    without ids.
    """
    bad = next((photo for photo, ids in asked if not ids), None)
    if bad is not None or not asked:
        raise ValueError(f"a question of photo {bad} has no token" if asked else "no questions")
    if is_sparse(photos) != (tokens is None):
        raise ValueError("dense photos need the vectors of tokens, sparse photos have their own")
    of_photo: dict[int, list[int]] = {}
    for question, (photo, _) in enumerate(asked):
        of_photo.setdefault(photo, []).append(question)
    wanted = np.array(sorted(of_photo), np.intp)
    found = np.empty(len(asked), np.int64)
    for rows, scores in _scores(photos[wanted], tokens):
        for photo, row in zip(wanted[rows].tolist(), scores, strict=True):
            for question in of_photo[photo]:
                ids = list(asked[question][1])
                aside = ids if excluded is None else [*ids, *excluded[question]]
                best = row[ids].max()
                # its own pieces, and what is no candidate, do not stand before it
                found[question] = (
                    1 + int((row >= best).sum()) - len({i for i in aside if row[i] >= best})
                )
    photo_of = np.array([photo for photo, _ in asked], np.int64)
    width = photos.shape[1] if tokens is None else tokens.shape[0]
    return Interpretability(found, photo_of, width)


def _scores(photos: Vectors, tokens: Vectors | None) -> Any:
    if tokens is not None:
        yield from similarity(photos, tokens)
        return
    step = 256
    for start in range(0, photos.shape[0], step):
        rows = slice(start, min(start + step, photos.shape[0]))
        yield rows, photos[rows].toarray()


def of_labels(
    photos: Vectors,
    labels: NDArray[np.int64],
    names: Sequence[str],
    vocabulary: Vocabulary,
    tokens: Vectors | None = None,
) -> Interpretability:
    """The rank of each photo's class name. Raises UsageError for a name without a token."""
    cut = WordPiece.of(vocabulary.tokens)
    ids = [pieces(name, cut, vocabulary) for name in names]
    if frozenset() in ids:
        raise UsageError(
            f"class name {names[ids.index(frozenset())]!r} has no token in the model's vocabulary; "
            "give names in its language (--names)"
        )
    return rank(photos, [(i, ids[label]) for i, label in enumerate(labels.tolist())], tokens)


class Nouns(NamedTuple):
    """any: a question a photo, its best noun; each: a question a noun, the other nouns aside."""

    any: Interpretability
    each: Interpretability


def of_nouns(
    photos: Vectors,
    nouns: Sequence[Sequence[str]],
    vocabulary: Vocabulary,
    tokens: Vectors | None = None,
) -> Nouns | None:
    """nouns: of each photo's captions, see `nouns.nouns_of`; photos without any do not ask.

    None where no photo asks.
    """
    cut = WordPiece.of(vocabulary.tokens)
    one: list[tuple[int, frozenset[int]]] = []
    each: list[tuple[int, frozenset[int]]] = []
    aside: list[frozenset[int]] = []
    for photo, words in enumerate(nouns):
        said = [ids for word in words if (ids := pieces(word, cut, vocabulary))]
        if not said:
            continue
        every = frozenset().union(*said)
        one.append((photo, every))
        each += [(photo, ids) for ids in said]
        aside += [every] * len(said)
    if not one:
        return None
    return Nouns(rank(photos, one, tokens), rank(photos, each, tokens, aside))

"""Whether tokens still mean what they say: grounding, drift of meaning, co-activation.

All from photos' weights [n, V] and the words of their captions.

- grounding of a token: its precision@k, the share of the k photos on which it is strongest whose
  captions say the word (in singular or plural); of whole words that at least LEAST photos'
  captions say, and that are active on a photo. A model that makes new use of tokens ("eminent" for
  teddy bears, STAIR section 6.1) falls to chance: the share of photos whose captions say the word
- own words: the share of a photo's weight that lies on words of its captions; of a text's weight on
  its own tokens; the rest is expansion
- drift between two models (before and after a stage): for each token active in either, the Jaccard
  overlap of its strongest k photos; 1 where it is used for the same photos
- co-activation: pairs of tokens that hardly appear apart, by Jaccard of the photos they are active
  on; the more such pairs, the less each token says by itself
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.encoders.wordpiece import WordPiece, split_words
from stair_search.vocabulary import Vocabulary

from .pairs import Pairs
from .vectors import Vectors

STRONGEST = 10
LEAST = 10
TOGETHER = 0.8
TOLD = 20


class Grounding(NamedTuple):
    """tokens: ids int64 [t]; precision, chance: float64 [t], shares from 0 to 1."""

    tokens: NDArray[np.int64]
    precision: NDArray[np.float64]
    chance: NDArray[np.float64]

    def to_dict(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """Percent, every token counting the same; `worst`: tokens whose meaning is furthest off."""
        order = np.lexsort((self.tokens, self.precision))[:TOLD]
        found = len(self.tokens) > 0
        return {
            "tokens": len(self.tokens),
            "precision": 100 * float(self.precision.mean()) if found else None,
            "chance": 100 * float(self.chance.mean()) if found else None,
            "worst": {
                vocabulary.token(int(self.tokens[i])): 100 * float(self.precision[i]) for i in order
            },
        }


def said(pairs: Pairs, vocabulary: Vocabulary) -> Vectors:
    """SciPy csr bool [n, V]: whole words of a photo's captions, in singular and plural."""
    from scipy.sparse import csr_array

    rows, ids = [], []
    for caption, photo in zip(pairs.captions, pairs.owner, strict=True):
        for word in split_words(caption):
            for form in forms(word):
                if form in vocabulary:
                    rows.append(photo)
                    ids.append(vocabulary.id(form))
    shape = (len(pairs.photos), len(vocabulary))
    counts = csr_array((np.ones(len(rows), np.int32), (rows, ids)), shape=shape)
    return counts > 0


def forms(word: str) -> set[str]:
    """The word, and what a plain s or es more or less makes of it (forms that no text has cost
    nothing).

    >>> sorted(forms("dogs"))
    ['dog', 'dogs', 'dogses', 'dogss']
    """
    found = {word, f"{word}s", f"{word}es"}
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        found.add(word[:-1])
        if word.endswith("es"):
            found.add(word[:-2])
    return found


def grounding(images: Vectors, words: Vectors, vocabulary: Vocabulary) -> Grounding:
    """images: csr [n, V]; words: `said`, csr bool [n, V]."""
    columns = images.tocsc()
    known = words.tocsc()
    often = np.diff(known.indptr) >= LEAST
    active = np.diff(columns.indptr) > 0
    ids = [
        i
        for i in np.flatnonzero(often & active).tolist()
        if vocabulary.token(i).isalpha() and len(vocabulary.token(i)) > 1
    ]
    precision = np.empty(len(ids))
    for place, i in enumerate(ids):
        photos = known.indices[known.indptr[i] : known.indptr[i + 1]]
        precision[place] = np.isin(_strongest(columns, i), photos).mean()
    chance = np.diff(known.indptr)[ids] / images.shape[0]
    return Grounding(np.array(ids, np.int64), precision, chance)


def _strongest(columns: Vectors, token: int) -> NDArray[np.int64]:
    """Places of the STRONGEST photos of a token, fewer where it is active on fewer."""
    part = slice(columns.indptr[token], columns.indptr[token + 1])
    order = np.lexsort((columns.indices[part], -columns.data[part]))[:STRONGEST]
    found: NDArray[np.int64] = columns.indices[part][order]
    return found


def own_share(vectors: Vectors, own: Vectors) -> float:
    """Percent: the mean over rows of the share of weight on `own` tokens, bool [n, V].

    Rows without weight do not count.
    """
    total = np.asarray(vectors.sum(1)).ravel()
    kept = np.asarray(vectors.multiply(own).sum(1)).ravel()
    found = total > 0
    return 100 * float((kept[found] / total[found]).mean()) if found.any() else 0.0


def own_tokens(texts: Sequence[str], vocabulary: Vocabulary) -> Vectors:
    """SciPy csr bool [m, V]: the tokens of each text."""
    from scipy.sparse import csr_array

    cut = WordPiece.of(vocabulary.tokens)
    ids = [sorted(set(cut.encode(text))) for text in texts]
    starts = np.cumsum([0, *map(len, ids)])
    flat = np.array([i for row in ids for i in row], np.int32)
    return csr_array((np.ones(len(flat), bool), flat, starts), shape=(len(texts), len(vocabulary)))


def drift(before: Vectors, after: Vectors) -> float:
    """0 to 1, the mean over tokens active in either of 1 - Jaccard of their strongest photos.

    before, after: csr [n, V] of the same photos by two models; 0 where no token moved.
    """
    if before.shape != after.shape:
        raise ValueError(f"photos of two models differ: {before.shape} and {after.shape}")
    left, right = before.tocsc(), after.tocsc()
    used = np.flatnonzero((np.diff(left.indptr) > 0) | (np.diff(right.indptr) > 0))
    moved = []
    for token in used.tolist():
        a = set(_strongest(left, token).tolist())
        b = set(_strongest(right, token).tolist())
        moved.append(1 - len(a & b) / len(a | b))
    return float(np.mean(moved)) if moved else 0.0


class Together(NamedTuple):
    """pairs: how many pairs of tokens go together; strongest: the closest of them, by Jaccard."""

    pairs: int
    tokens: int
    strongest: list[tuple[int, int, float]]

    def to_dict(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """tokens: how many take part in such a pair."""
        return {
            "pairs": self.pairs,
            "tokens": self.tokens,
            "strongest": [
                {"tokens": [vocabulary.token(a), vocabulary.token(b)], "jaccard": share}
                for a, b, share in self.strongest
            ],
        }


def together(images: Vectors, least: int = LEAST) -> Together:
    """Pairs of tokens, each on at least `least` photos, whose photos overlap by TOGETHER."""
    from scipy.sparse import triu

    active = (images > 0).astype(np.float32).tocsc()
    often = np.flatnonzero(np.diff(active.indptr) >= least)
    active = active[:, often]
    count = np.diff(active.indptr)
    both = triu(active.T @ active, k=1).tocoo()
    first, second = both.coords if hasattr(both, "coords") else (both.row, both.col)
    jaccard = both.data / (count[first] + count[second] - both.data)
    close = jaccard >= TOGETHER
    order = np.lexsort((second[close], first[close], -jaccard[close]))[:TOLD]
    told = [
        (int(often[first[close][i]]), int(often[second[close][i]]), float(jaccard[close][i]))
        for i in order
    ]
    tokens = len(set(first[close].tolist()) | set(second[close].tolist()))
    return Together(int(close.sum()), tokens, told)

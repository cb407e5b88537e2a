"""Which tokens a photo may carry, and which tokens of a question are looked at.

Output tokens: whole words of the captions, without stop words, seen often enough to be learned.
Pieces ("##bee") stay out: nobody can read them, and what they stand for ("frisbee") is asked for
by what it implies ("disc", "catch").
Input tokens: all words of the vocabulary but stop words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.encoders.wordpiece import WordPiece

STOP_WORDS = frozenset(
    """
    a an the and or but nor so as if than then that this these those there here it its he his him
    she her hers they them their theirs we us our you your i me my mine who whom whose which what
    where when why how is are was were be been being am do does did doing done have has had having
    will would can could should may might must shall of in on at to from by with without into onto
    over under up down out off through across along around about above below behind between near
    next toward towards against among amongst upon within inside outside during while after before
    no not yes very too also just only both each every all any some other another same such own
    more most much many few several lot s t d ll m re ve himself herself itself themselves
    look looks looking something someone one
    """.split()  # noqa: SIM905 - reads better as words
)

ALIKE = 0.2
"""Cosine of two words' vectors from which on they mean something alike."""

LIFT = 2.0
TOGETHER = 3
"""Said of the same photos: so many times more often than by chance, and of so many photos."""


def is_word(token: str) -> bool:
    """Whether a token, or a piece of one, is made of letters and says something by itself.

    >>> [token for token in ("dog", "##bee", "the", "##s", "[CLS]", "2", "x") if is_word(token)]
    ['dog', '##bee']
    """
    letters = token.removeprefix("##")
    return letters.isascii() and letters.isalpha() and len(letters) > 1 and token not in STOP_WORDS


class Lexicon(NamedTuple):
    """seen: int64 [i], input tokens of the captions; outputs: int64 [o], a part of them.

    place: int64 [o], where each output token stands in `seen`. share: float32 [i], of the captions
    that hold it.
    """

    seen: NDArray[np.int64]
    outputs: NDArray[np.int64]
    place: NDArray[np.int64]
    share: NDArray[np.float32]


def make_lexicon(
    tokens: Sequence[str], wordpiece: WordPiece, captions: Sequence[str], least: int
) -> Lexicon:
    """least: captions that must hold an output token, as a whole word."""
    encoded = [wordpiece.encode(caption) for caption in captions]
    counts = Counter(token for ids in encoded for token in set(ids))
    whole = Counter(token for ids in encoded for token in set(whole_words(ids, tokens)))
    seen = sorted(i for i in counts if is_word(tokens[i]) or tokens[i].isdecimal())
    outputs = [i for i in seen if whole[i] >= least and is_word(tokens[i])]
    return Lexicon(
        np.array(seen),
        np.array(outputs),
        np.searchsorted(seen, outputs),
        np.array([counts[i] / len(captions) for i in seen], np.float32),
    )


def whole_words(ids: Sequence[int], tokens: Sequence[str]) -> Iterator[int]:
    """Those ids of a text that are words of it and not pieces of one.

    >>> list(whole_words([0, 1, 2], ["todd", "##ler", "runs"]))
    [2]
    """
    pieces = [tokens[i].startswith("##") for i in ids]
    for i, piece, more in zip(ids, pieces, [*pieces[1:], False], strict=True):
        if not (piece or more):
            yield i


def implications(
    bag: NDArray[np.float32],
    owner: NDArray[np.int64],
    lexicon: Lexicon,
    likeness: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Which output tokens an input token may ask for: bool [i, o].

    Those that mean something alike, and those that are said of the same photos far more often than
    chance has it. What else a model would learn helps it tell these photos apart, and no reader.

    bag: float32 [m, i]; owner: int64 [m], the photo of a caption; likeness: float32 [i, o], cosine
    of the words' vectors.
    """
    said = np.zeros((int(owner.max()) + 1, bag.shape[1]), np.float32)
    np.maximum.at(said, owner, bag)
    together = said.T @ said[:, lexicon.place]
    share = said.mean(0)
    lift = together / (len(said) * share[:, None] * share[lexicon.place] + 1e-9)
    implied: NDArray[np.bool_] = (likeness >= ALIKE) | ((lift >= LIFT) & (together >= TOGETHER))
    return implied


def bags(
    wordpiece: WordPiece, captions: Sequence[str], seen: NDArray[np.int64]
) -> NDArray[np.float32]:
    """float32 [m, i]: 1 where the caption holds the token."""
    place = {token: i for i, token in enumerate(seen.tolist())}
    bag = np.zeros((len(captions), len(seen)), np.float32)
    for row, caption in zip(bag, captions, strict=True):
        row[[place[token] for token in wordpiece.encode(caption) if token in place]] = 1
    return bag

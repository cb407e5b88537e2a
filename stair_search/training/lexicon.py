"""Which tokens a photo may carry, and which tokens of a question are looked at.

Output tokens: words of the captions, without stop words, seen often enough to be learned.
Input tokens: all words of the vocabulary but stop words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
    """least: captions that must hold an output token."""
    counts = Counter(token for caption in captions for token in set(wordpiece.encode(caption)))
    seen = sorted(i for i in counts if is_word(tokens[i]) or tokens[i].isdecimal())
    outputs = [i for i in seen if counts[i] >= least and is_word(tokens[i])]
    return Lexicon(
        np.array(seen),
        np.array(outputs),
        np.searchsorted(seen, outputs),
        np.array([counts[i] / len(captions) for i in seen], np.float32),
    )


def bags(
    wordpiece: WordPiece, captions: Sequence[str], seen: NDArray[np.int64]
) -> NDArray[np.float32]:
    """float32 [m, i]: 1 where the caption holds the token."""
    place = {token: i for i, token in enumerate(seen.tolist())}
    bag = np.zeros((len(captions), len(seen)), np.float32)
    for row, caption in zip(bag, captions, strict=True):
        row[[place[token] for token in wordpiece.encode(caption) if token in place]] = 1
    return bag

"""Which tokens of a vocabulary a photo may carry: whole words that say something.

Pieces ("##bee") stay out: nobody can read them, and what they stand for ("frisbee") is asked for
by what it implies ("disc", "catch").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def says(token: str) -> bool:
    """Whether a token of a question says anything: words, pieces of them, numbers.

    >>> [token for token in ("dog", "##bee", "the", "2", "?") if says(token)]
    ['dog', '##bee', '2']
    """
    return is_word(token) or token.isdecimal()


def whole_words(ids: Sequence[int], tokens: Sequence[str]) -> Iterator[int]:
    """Those ids of a text that are words of it and not pieces of one.

    >>> list(whole_words([0, 1, 2], ["todd", "##ler", "runs"]))
    [2]
    """
    pieces = [tokens[i].startswith("##") for i in ids]
    for i, piece, more in zip(ids, pieces, [*pieces[1:], False], strict=True):
        if not (piece or more):
            yield i

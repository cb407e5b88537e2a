"""What the demo asks: of the photos that come with it, and of photos that nobody knows yet."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from .questions import Asked

LEADING = 8  # tokens of a photo that say what it shows


def asked(words: str, without: Sequence[str] = ()) -> Asked:
    """A question as the command line would have given it."""
    return Asked(words, (), tuple(without), (), (), (), "starter")


OF_PACKAGES = (
    asked("a cup of coffee"),
    asked("a motorcycle in a garage"),
    asked("boy playing soccer"),
    asked("a cat"),
    asked("living room with a couch"),
    asked("chair", without=["table"]),
)


def of_photos(photos: Sequence[Mapping[str, float]], most: int = 5) -> Iterator[Asked]:
    """Questions from the strongest tokens of a collection, each about other photos.

    photos: token -> weight, one a photo. A token that most photos hold tells little, so that its
    weight counts times the logarithm of its rarity.

    >>> [q.words for q in of_photos([{"beach": 2.0, "dog": 1.0}, {"bus": 1.5, "red": 1.2}])]
    ['beach dog', 'bus red']
    """
    led = [dict(sorted(p.items(), key=lambda item: -item[1])[:LEADING]) for p in photos]
    held = Counter(token for photo in led for token in photo)
    worth = {t: 0.01 + math.log((1 + len(led)) / (1 + n)) for t, n in held.items()}
    left = [
        {t: w * worth[t] for t, w in photo.items() if t.isalpha() and len(t) > 2} for photo in led
    ]
    for _ in range(most):
        left = [photo for photo in left if photo]
        if not left:
            return
        total: Counter[str] = Counter()
        for photo in left:
            total.update(photo)
        first = total.most_common(1)[0][0]
        best = max(left, key=lambda photo: photo.get(first, 0.0))
        words = sorted(best, key=lambda token: (token != first, -best[token]))[:2]
        yield asked(" ".join(words))
        left = [photo for photo in left if first not in photo]


def command(question: Asked, url: str, index: str) -> str:
    """How to ask the same in a shell."""
    rules = [part for token in question.without for part in ("--without", token)]
    return shlex.join(
        ["stair-search", "search", question.words, *rules, "--url", url, "--index", index]
    )


def title(question: Asked) -> str:
    """The question in words."""
    return ", ".join([f"“{question.words}”", *(f"without {token}" for token in question.without)])

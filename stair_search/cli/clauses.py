"""From the text of `--without`, `--match` and `--filter` to their parts."""

from __future__ import annotations

import math
from collections.abc import Container

from ..errors import UsageError
from ..queries import Facet, Match


def without(text: str, vocabulary: Container[str]) -> tuple[str, float | None]:
    """`TOKEN` or `TOKEN:MIN`. A colon can be a token itself.

    >>> without("person:0.3", {"person"}), without("::0.5", {":"}), without(":", {":"})
    (('person', 0.3), (':', 0.5), (':', None))
    """
    token, colon, least = text.rpartition(":")
    if not colon or not token:
        return text.strip().lower(), None
    minimum = _number(least)
    if minimum is None:
        if token.strip().lower() in vocabulary:
            raise UsageError(
                f"--without {text}: {least!r} is no number; it is TOKEN:MIN, like {token}:0.3"
            )
        return text.strip().lower(), None
    if not (math.isfinite(minimum) and minimum > 0):
        raise UsageError(f"--without {text}: the threshold must be above 0 and finite")
    return token.strip().lower(), minimum


def match(text: str) -> Match:
    """`FIELD:TEXT` or `FIELD:TEXT^BOOST`. The text may hold colons, and `^` before no number.

    >>> match("caption:red bus^2")
    Match(field='caption', text='red bus', boost=2.0, every=False)
    """
    field, colon, words = text.partition(":")
    if not (colon and field.strip()):
        raise UsageError(
            f"--match {text}: it is FIELD:TEXT, like caption:'red bus' or caption:bus^2"
        )
    left, hat, right = words.rpartition("^")
    boost = _number(right) if hat else None
    if boost is None:
        left, boost = words, 1.0
    if not left.strip():
        raise UsageError(f"--match {text}: there is no text to look for in {field.strip()!r}")
    if not (math.isfinite(boost) and boost > 0):
        raise UsageError(f"--match {text}: the boost must be above 0 and finite")
    return Match(field.strip(), left, boost)


def facet(text: str) -> Facet:
    """`FIELD` or `FIELD:N`.

    >>> facet("stair_tokens:20"), facet("licence")
    (Facet(field='stair_tokens', size=20), Facet(field='licence', size=10))
    """
    field, colon, size = text.partition(":")
    if not field.strip() or (colon and not size.isdecimal()):
        raise UsageError(f"--facet {text}: it is FIELD or FIELD:N, like stair_tokens:20")
    return Facet(field.strip(), int(size)) if colon else Facet(field.strip())


def value(text: str) -> tuple[str, str]:
    """`FIELD=VALUE`. The value may hold equals signs.

    >>> value("licence=cc0")
    ('licence', 'cc0')
    """
    field, equals, exact = text.partition("=")
    if not (equals and field.strip()):
        raise UsageError(f"--filter {text}: it is FIELD=VALUE, like licence=cc0")
    if field[-1] in "<>!":
        raise UsageError(
            f"--filter {text}: it is FIELD=VALUE; as words of the question, filter:{text} compares"
        )
    return field.strip(), exact


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

"""Why a hit has its score: one line for each part and token, adding up to the score."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np

from stair_search.fields import model_field
from stair_search.queries.tree import MaxOf, Tokens
from stair_search.tokens import truncate
from stair_search.vocabulary import escape


class Reason(NamedTuple):
    """One contribution: `score` = float32(`query` x `image`) for a token.

    query: the question's weight (the boost for a word of a text field, the factor of what is
    boosted); image: the document's weight as the engine holds it, the similarity of a vector (None
    for what is neither).
    """

    part: str
    token: str
    query: float
    image: float | None
    score: float


def value_of(source: Mapping[str, Any], field: str) -> Any:
    """A field's value in a document, by its dotted name; None where it has none.

    >>> value_of({"ai": {"stair": [{"dog": 1.5}]}}, "ai.stair")
    [{'dog': 1.5}]
    """
    if field in source:
        return source[field]
    parts = field.split(".")
    for at in range(1, len(parts)):
        inner = source.get(".".join(parts[:at]))
        if isinstance(inner, Mapping):
            return value_of(inner, ".".join(parts[at:]))
    return None


def photos_of(source: Mapping[str, Any], path: str) -> list[Mapping[str, Any]]:
    """The photos of a document as stored: clusters take one without a list, too."""
    photos = value_of(source, path) or []
    return [photos] if isinstance(photos, Mapping) else photos


def stored_weights(value: Any) -> Mapping[str, float]:
    """The token field of a document as read from an engine: an object or a list of one.

    >>> stored_weights([{"dog": 1.5}])
    {'dog': 1.5}
    """
    if isinstance(value, list):
        if len(value) == 1:
            return cast(Mapping[str, float], value[0])
        return {name: weight for one in value for name, weight in one.items()}
    return value or {}


def token_reasons(tokens: Tokens, source: Mapping[str, Any]) -> list[Reason]:
    """What each token of a clause that matched added to the document's score.

    source: the document's fields as stored. Which clauses of a query matched, and what text and
    constant parts added, is the engine's to tell.
    """
    if value_of(source, model_field(tokens.field)) != tokens.model:
        return []
    stored = stored_weights(value_of(source, tokens.field))
    held = [(t, q, stored[name]) for t, q, name in _asked(tokens) if name in stored]
    asked = np.array([q for _, q, _ in held], np.float32)
    image = truncate([w for _, _, w in held])
    columns = (asked.tolist(), image.tolist(), (asked * image).tolist())
    return [
        Reason(tokens.part, token, q, w, score)
        for (token, _, _), q, w, score in zip(held, *columns, strict=True)
    ]


@lru_cache(maxsize=64)  # each of the hits asks
def _asked(tokens: Tokens) -> tuple[tuple[str, float, str], ...]:
    """Token, weight, and name in a document of all that is asked for."""
    return tuple((token, weight, escape(token)) for token, weight in tokens.asked)


def max_reasons(most: MaxOf, source: Mapping[str, Any]) -> list[Reason]:
    """Those of the part that scores most, see `token_reasons`."""
    return max(
        (token_reasons(part, source) for part in most.parts),
        key=lambda reasons: sum(reason.score for reason in reasons),
    )


def factor_reason(part: str, before: float, after: float) -> list[Reason]:
    """What a factor added to a score, or took from it; nothing where it left it as it was, but for
    the rounding of sums.

    >>> factor_reason("likes", 2.0, 3.0)
    [Reason(part='likes', token='', query=1.5, image=None, score=1.0)]
    """
    if abs(after - before) <= 1e-6 * before:
        return []
    return [Reason(part, "", after / before, None, after - before)]

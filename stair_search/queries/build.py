"""From what a person gives (tokens, words, rules) to the query tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from stair_search.queries.tree import (
    BestPhoto,
    Bool,
    Boosted,
    Decay,
    HasToken,
    Match,
    Query,
    Term,
    Tokens,
)


def question(
    tokens: Mapping[str, float] | None = None,
    *,
    model: str,
    image_tokens: Mapping[str, float] | None = None,
    match: Iterable[Match] = (),
    require: Iterable[str] | Mapping[str, float | None] = (),
    without: Mapping[str, float | None] | None = None,
    filters: Iterable[tuple[str, str]] = (),
    rules: Iterable[Query] = (),
    never: Iterable[Query] = (),
    field: str = "stair",
    photos: str | None = None,
) -> Bool:
    """One question: what scores (tokens of words, tokens of a photo, text) and the rules beside it.

    tokens, image_tokens: token -> weight. model: fingerprint of the encoder that made them.
    require, without: token -> least weight at which it is required or forbidden, None for any;
    tokens alone can be required as well. filters: fields and their values. rules, never: what else
    each hit must match, and must not, without being scored by it.
    Without anything that scores, whatever passes the rules is a hit of score 0.
    photos: the nested field, where documents hold several photos each. Tokens, and what names a
    field below it, are then asked of the photos: a hit has the score of its best one, one photo
    holds all that is required, and none holds what it is to be without.

    >>> question({"dog": 1.5}, model="m", without={"person": 0.2}).must_not
    (HasToken(token='person', model='m', minimum=0.2, field='stair'),)
    """
    if photos:
        field = f"{photos}.{field}"
    required = dict(require) if isinstance(require, Mapping) else dict.fromkeys(require)
    should: list[Query] = []
    if tokens:
        should.append(Tokens.of(tokens, model, field, "question"))
    if image_tokens:
        should.append(Tokens.of(image_tokens, model, field, "image"))
    should.extend(match)
    query = Bool(
        should=tuple(should),
        filter=(
            *(HasToken(token, model, least, field) for token, least in required.items()),
            *(Term(name, value) for name, value in filters),
            *rules,
        ),
        must_not=(
            *(HasToken(token, model, least, field) for token, least in (without or {}).items()),
            *never,
        ),
    )
    return _of_photos(query, photos) if photos else query


def recent(query: Query, field: str, half_life: timedelta, now: datetime | None = None) -> Boosted:
    """The query with scores that halve with each `half_life` of age by a date field.

    now: by this machine's clock where None, so that the same query has the same scores everywhere.

    >>> query = recent(Match("caption", "dog"), "taken", timedelta(days=7), datetime(2026, 1, 1))
    >>> query.by.origin, query.by.scale, query.by.curve
    ('2026-01-01T00:00:00.000', 604800000.0, 'exp')
    """
    origin = (now or datetime.now(UTC)).isoformat(timespec="milliseconds")
    milliseconds = half_life / timedelta(milliseconds=1)
    return Boosted(query, Decay(field, origin, milliseconds, curve="exp"))


def photo_with(rule: Query, path: str = "photos") -> Query:
    """Documents with a photo that the rule matches. Not scored."""
    return BestPhoto(Bool(filter=(rule,)), path)


def photo_without(rule: Query, path: str = "photos") -> Query:
    """Documents with a photo that the rule does not match; others may."""
    return BestPhoto(Bool(must_not=(rule,)), path)


def no_photo_with(rule: Query, path: str = "photos") -> Query:
    """Documents none of whose photos the rule matches."""
    return Bool(must_not=(BestPhoto(rule, path),))


def _of_photos(query: Bool, path: str) -> Bool:
    """A flat query with what it says of photos asked of the best one."""

    def split(parts: tuple[Query, ...]) -> tuple[tuple[Query, ...], tuple[Query, ...]]:
        below = [part for part in parts if getattr(part, "field", "").startswith(f"{path}.")]
        return tuple(below), tuple(part for part in parts if part not in below)

    scored, should = split(query.should)
    rules, filters = split(query.filter)
    forbidden, must_not = split(query.must_not)
    if scored:
        best = scored[0] if len(scored) == 1 and not rules else Bool(should=scored, filter=rules)
        should = (BestPhoto(best, path), *should)
    if rules:  # of all hits, also of those whose photos do not score
        filters = (BestPhoto(Bool(filter=rules), path), *filters)
    return Bool(
        should=should,
        filter=filters,
        must_not=(*(BestPhoto(rule, path) for rule in forbidden), *must_not),
    )

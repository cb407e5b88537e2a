"""A query tree walked over the postings: which documents match, with which score, and why."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.engines import dates, points, vectors
from stair_search.engines.embedded import bm25, postings
from stair_search.engines.embedded.analysis import ALL, EVERY, LENGTHS
from stair_search.engines.embedded.database import Damaged
from stair_search.engines.embedded.postings import NOBODY, Holders
from stair_search.engines.parts import nested_above, scoring_parts
from stair_search.engines.values import Bound, bounds, number, wanted_term
from stair_search.engines.words import words
from stair_search.errors import UsageError
from stair_search.fields import model_field
from stair_search.mappings import DATE_TYPES, TEXT_TYPES, types_of
from stair_search.queries import (
    All,
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Decay,
    Exists,
    FieldValue,
    GeoBox,
    GeoDistance,
    HasToken,
    Ids,
    Match,
    MaxOf,
    Nearest,
    Query,
    Range,
    Raw,
    Reason,
    Term,
    Terms,
    Tokens,
    When,
    token_reasons,
)
from stair_search.queries.reasons import factor_reason, max_reasons
from stair_search.vocabulary import escape


class Found(NamedTuple):
    """matched: bool [N]; scores: float32 [N], 0 where not matched; N document numbers."""

    matched: NDArray[np.bool_]
    scores: NDArray[np.float32]


class Word(NamedTuple):
    """One word of a text clause in the documents that hold it. boost: times its occurrences."""

    word: str
    boost: float
    numbers: NDArray[np.int64]
    scores: NDArray[np.float32]


class Best(NamedTuple):
    """A document's best photo. number: among all photos; place: in the document's list."""

    number: int
    place: int
    score: float


class Ranked(NamedTuple):
    """total: how many match; best: their numbers and scores, the best first."""

    total: int
    best: list[tuple[int, float]]


class Evaluation:
    """Queries on one snapshot of one index. What was evaluated once is kept.

    path: of a nested field, to ask its photos instead of the documents; `size` is how many, and
    `documents` int64 [size] whose they are.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        owner: int,
        size: int,
        mapping: Mapping[str, Any],
        path: str | None = None,
        documents: NDArray[np.int64] | None = None,
    ) -> None:
        self._documents = documents
        self._db, self._owner, self._size = db, owner, size
        self._mapping, self._every = mapping, (path, EVERY) if path else ALL
        self._types = types_of(mapping.get("properties", {}))
        self._photos: dict[str, tuple[Evaluation, NDArray[np.int64]]] = {}
        self._found: dict[Query, Found] = {}
        self._words: dict[Match, list[Word]] = {}

    def find(self, query: Query) -> Found:
        if query not in self._found:
            self._found[query] = self._evaluate(query)
        return self._found[query]

    def best(self, query: Query, size: int, least: float | None = None) -> Ranked:
        """How many match with a score of `least` or more, and the numbers and scores of the best;
        of equals the oldest first.
        """
        found = self.find(query)
        numbers = np.flatnonzero(self._enough(found, least))
        scores = found.scores[numbers]
        total = len(numbers)
        if 0 < size < total:  # sort only what can be among the best
            can = scores >= np.partition(scores, total - size)[total - size]
            numbers, scores = numbers[can], scores[can]
        order = np.lexsort((numbers, -scores))[:size]
        return Ranked(total, [(int(numbers[i]), float(scores[i])) for i in order])

    def counted(self, query: Query, least: float | None, field: str) -> dict[str, int]:
        """Term of a field -> how many have it of what `best` counts; of a field of photos, how many
        photos of these documents.
        """
        matched = self._enough(self.find(query), least)
        path = nested_above(field, self._types)
        if path:
            photos, documents = self._inside(path)
            of_photos = matched[documents] & (documents >= 0)
            return photos._counted(field, of_photos)
        return self._counted(field, matched)

    def _counted(self, field: str, matched: NDArray[np.bool_]) -> dict[str, int]:
        values = self._values(field).items()
        counts = {term: int(matched[held.numbers].sum()) for term, held in values}
        return {term: count for term, count in counts.items() if count}

    def _enough(self, found: Found, least: float | None) -> NDArray[np.bool_]:
        return found.matched if least is None else found.matched & (found.scores >= _low(least))

    def why(self, query: Query, number: int, source: Mapping[str, Any]) -> list[Reason]:
        """Every contribution to the score of a document that the query matched."""
        reasons: list[Reason] = []
        for part in scoring_parts(query, lambda node: bool(self.find(node).matched[number])):
            match part:
                case Tokens():
                    reasons += token_reasons(part, source)
                case MaxOf():
                    reasons += max_reasons(part, source)
                case Nearest(boost=boost):
                    score = float(self.find(part).scores[number])
                    reasons.append(Reason(part.part, "", boost, score / boost, score))
                case Match():
                    reasons += self._word_reasons(part, number)
                case Constant():
                    score = float(np.float32(part.score))
                    reasons.append(Reason(part.part, "", score, None, score))
                case Boosted():
                    before, after = self.find(part.query), self.find(part)
                    reasons += factor_reason(
                        part.part, float(before.scores[number]), float(after.scores[number])
                    )
                case BestPhoto(inner, path) if best := self._best_photo(part, number):
                    photo = photo_at(source, path, best.place)
                    whole = {f"{path}.{name}": value for name, value in photo.items()}
                    reasons += self._inside(path)[0].why(inner, best.number, whole)
        return sorted(reasons, key=lambda reason: -reason.score)

    def photo(self, query: Query, number: int) -> tuple[str, int] | None:
        """Field and place of the document's photo that has scored most."""
        found = [
            (best.score, (part.path, best.place))
            for part in scoring_parts(query, lambda node: bool(self.find(node).matched[number]))
            if isinstance(part, BestPhoto) and (best := self._best_photo(part, number))
        ]
        return max(found, key=lambda one: one[0])[1] if found else None

    def _evaluate(self, query: Query) -> Found:
        match query:
            case Tokens():
                return self._tokens(query)
            case MaxOf(parts):
                found = [self.find(part) for part in parts]
                return Found(
                    np.logical_or.reduce([one.matched for one in found]),
                    np.maximum.reduce([one.scores for one in found]),
                )
            case Nearest():
                return self._nearest(query)
            case Raw():
                raise UsageError("a cluster's own query cannot be asked of the embedded engine")
            case HasToken():
                return self._unscored(self._has_token(query))
            case Match():
                return self._match(query)
            case Term(field, value):
                return self._unscored(self._term(field, value))
            case Terms(field, values):
                return self._unscored(self._terms(field, values))
            case Range(field):
                return self._unscored(self._within(field, bounds(self._kind(field), query)))
            case Exists(field):
                return self._unscored(self._exists(field))
            case GeoDistance() | GeoBox():
                return self._unscored(self._at_places(query))
            case Boosted():
                return self._boosted(query)
            case Ids(values):
                return self._unscored(self._ids(values))
            case All():
                return self._unscored(self._all)
            case Constant(inner, score):
                matched = self.find(inner).matched
                return Found(matched, matched * np.float32(score))
            case Bool():
                return self._bool(query)
            case BestPhoto():
                return self._of_best_photos(query)

    def _bool(self, query: Bool) -> Found:
        matched = self._all.copy()
        scores = np.zeros(self._size)
        for part in query.filter:
            matched &= self.find(part).matched
        for part in query.must_not:
            matched &= ~self.find(part).matched
        for part in query.must:
            found = self.find(part)
            matched &= found.matched
            scores += found.scores
        if query.should:
            those = np.zeros(self._size, np.int64)
            for part in query.should:
                found = self.find(part)
                those += found.matched
                scores += found.scores
            matched &= those >= query.minimum
        return Found(matched, np.where(matched, scores, 0).astype(np.float32))

    def _of_best_photos(self, query: BestPhoto) -> Found:
        photos, documents = self._inside(query.path)
        found = photos.find(query.query)
        numbers = np.flatnonzero(found.matched)
        matched, scores = np.zeros(self._size, bool), np.zeros(self._size, np.float32)
        matched[documents[numbers]] = True
        np.maximum.at(scores, documents[numbers], found.scores[numbers])
        return Found(matched, scores)

    def _nearest(self, query: Nearest) -> Found:
        among = np.ones(self._size, bool)
        for rule in query.rules:
            among &= self.find(rule).matched
        scores = np.zeros(self._size, np.float32)
        values = self._values(query.field)
        if values:
            by = vectors.similarity(query.field, self._types[query.field], query.vector)
            asked = np.array(query.vector, np.float32)
            try:
                near = vectors.scores(by, vectors.of_terms(list(values)), asked)
            except ValueError:
                raise Damaged("a vector is cut") from None
            for held, score in zip(values.values(), near, strict=True):
                scores[held.numbers] = np.float32(query.boost) * np.float32(score)
        among &= self._holding(values.values())
        numbers = np.flatnonzero(among)
        numbers = numbers[np.lexsort((numbers, -scores[numbers]))]
        if self._documents is not None:  # of each document the nearest photo alone
            _, first = np.unique(self._documents[numbers], return_index=True)
            numbers = numbers[np.sort(first)]
        matched = np.zeros(self._size, bool)
        matched[numbers[: query.k]] = True
        return Found(matched, np.where(matched, scores, 0).astype(np.float32))

    def _best_photo(self, query: BestPhoto, number: int) -> Best | None:
        photos, documents = self._inside(query.path)
        found = photos.find(query.query)
        mine = np.flatnonzero(documents == number)
        if not found.matched[mine].any():
            return None
        place = int(np.argmax(np.where(found.matched[mine], found.scores[mine], -1)))
        return Best(int(mine[place]), place, float(found.scores[mine[place]]))

    def _inside(self, path: str) -> tuple[Evaluation, NDArray[np.int64]]:
        """The photos in a nested field as an index of their own, and each one's document."""
        if path not in self._photos:
            rows = self._db.execute(
                "SELECT number, document FROM photos WHERE owner = ? AND path = ? ORDER BY number",
                (self._owner, path),
            ).fetchall()
            if any(
                number != place or not isinstance(document, int) or not -1 <= document < self._size
                for place, (number, document) in enumerate(rows)
            ):
                raise Damaged("photos are missing")
            documents = np.array([document for _, document in rows], np.int64)
            inside = Evaluation(self._db, self._owner, len(rows), self._mapping, path, documents)
            self._photos[path] = inside, documents
        return self._photos[path]

    def _tokens(self, query: Tokens) -> Found:
        """A sum in double of float32 clauses, as Lucene's disjunction adds them."""
        held = self._read(query.field, [escape(token) for token, _ in query.asked])
        scores = np.zeros(self._size)
        matched = np.zeros(self._size, bool)
        for token, weight in query.asked:
            numbers, values = held.get(escape(token), NOBODY)
            scores[numbers] += np.float32(weight) * _weights(values)
            matched[numbers] = True
        matched &= self._of_model(query)
        return Found(matched, np.where(matched, scores, 0).astype(np.float32))

    def _has_token(self, query: HasToken) -> NDArray[np.bool_]:
        name = escape(query.token)
        numbers, values = self._read(query.field, [name]).get(name, NOBODY)
        if query.minimum is not None:
            numbers = numbers[_weights(values) >= np.float32(query.minimum)]
        matched = np.zeros(self._size, bool)
        matched[numbers] = True
        return matched & self._of_model(query)

    def _of_model(self, query: Tokens | HasToken) -> NDArray[np.bool_]:
        return self._term(model_field(query.field), query.model)

    def _term(self, field: str, value: str) -> NDArray[np.bool_]:
        if self._kind(field) in DATE_TYPES:  # a day, a month, a year
            return self._within(field, bounds("date", Range(field, gte=value, lte=value)))
        matched = np.zeros(self._size, bool)
        if field in self._types and (value != LENGTHS or not self._is_text(field)):
            term = wanted_term(field, self._types[field]["type"], value)
            matched[self._read(field, [term]).get(term, NOBODY).numbers] = True
        return matched

    def _terms(self, field: str, values: Sequence[str]) -> NDArray[np.bool_]:
        kind = self._kind(field)
        if kind in DATE_TYPES:
            each = [self._term(field, value) for value in values]
            return np.logical_or.reduce(each) if each else np.zeros(self._size, bool)
        wanted = [wanted_term(field, kind, value) for value in values]
        return self._holding(self._read(field, [w for w in wanted if w != LENGTHS]).values())

    def _within(self, field: str, wanted: tuple[Bound | None, Bound | None]) -> NDArray[np.bool_]:
        kind, (least, greatest) = self._kind(field), wanted

        def within(term: str) -> bool:
            value: Any = number(kind, term)
            return (least is None or value > least[0] or (least[1] and value == least[0])) and (
                greatest is None or value < greatest[0] or (greatest[1] and value == greatest[0])
            )

        return self._holding(held for term, held in self._values(field).items() if within(term))

    def _exists(self, field: str) -> NDArray[np.bool_]:
        return self._holding(self._values(field).values())

    def _at_places(self, query: GeoDistance | GeoBox) -> NDArray[np.bool_]:
        values = self._values(query.field)
        places = np.array([term.split(",") for term in values], float).reshape(-1, 2)
        lats, lons = places.T
        match query:
            case GeoDistance(_, lat, lon, metres):
                within = points.metres(lat, lon, lats, lons) <= metres
            case GeoBox(_, north, west, south, east):
                west = -180 if west == 180 else west  # as Lucene has it: there is no point at 180
                crosses = west > east
                west, east = points.kept(west, 360, up=True), points.kept(east, 360)
                between = (lons >= west) & (lons <= east)
                over = (lons >= west) | (lons <= east)
                within = over if crosses else between
                within &= (lats >= points.kept(south, 180, up=True)) & (
                    lats <= points.kept(north, 180)
                )
        return self._holding(
            held for held, inside in zip(values.values(), within, strict=True) if inside
        )

    def _boosted(self, query: Boosted) -> Found:
        found = self.find(query.query)
        factors = self._factors(query.by)
        return Found(found.matched, (found.scores * factors).astype(np.float32))

    def _factors(self, by: FieldValue | Decay | When) -> NDArray[np.float64]:
        """float64 [N]."""
        match by:
            case When(query, factor):
                return np.where(self.find(query).matched, np.float64(np.float32(factor)), 1.0)
            case FieldValue(field):
                least = np.full(self._size, np.inf)
                for value, held in self._numbers(field):
                    least[held] = np.minimum(least[held], value)
                kept = replace(by, factor=float(np.float32(by.factor)))
                return np.array([kept.of(v if v < np.inf else None) for v in least.tolist()])
            case Decay(field, origin):
                start = float(origin) if not isinstance(origin, str) else dates.span(origin)[0]
                nearest = np.full(self._size, np.inf)
                for value, held in self._numbers(field):
                    nearest[held] = np.minimum(nearest[held], abs(value - start))
                return np.array([by.of(d if d < np.inf else 0.0) for d in nearest.tolist()])

    def _numbers(self, field: str) -> Iterator[tuple[float, NDArray[np.int64]]]:
        kind = self._kind(field)
        for term, held in self._values(field).items():
            yield float(number(kind, term)), held.numbers

    def _values(self, field: str) -> dict[str, Holders]:
        """Every term of a field that is not split into words."""
        values = self._read(field, None)
        if self._is_text(field):
            return {LENGTHS: values[LENGTHS]} if LENGTHS in values else {}
        return values

    def _holding(self, holders: Iterable[Holders]) -> NDArray[np.bool_]:
        matched = np.zeros(self._size, bool)
        for held in holders:
            matched[held.numbers] = True
        return matched

    def _kind(self, field: str) -> str:
        kind: str = self._types.get(field, {}).get("type", "keyword")
        return kind

    def _is_text(self, field: str) -> bool:
        return self._kind(field) in TEXT_TYPES

    def _ids(self, values: tuple[str, ...]) -> NDArray[np.bool_]:
        matched = np.zeros(self._size, bool)
        for name in set(values):
            row = self._db.execute(
                "SELECT number FROM documents WHERE owner = ? AND id = ?", (self._owner, name)
            ).fetchone()
            if row:
                matched[row[0]] = True
        return matched

    @cached_property
    def _all(self) -> NDArray[np.bool_]:
        matched = np.zeros(self._size, bool)
        field, term = self._every
        matched[self._read(field, [term]).get(term, NOBODY).numbers] = True
        return matched

    def _match(self, query: Match) -> Found:
        scores = np.zeros(self._size)
        self._words[query] = self._scored_words(query)
        times = np.zeros(self._size, np.int64)
        for one in self._words[query]:
            scores[one.numbers] += one.scores
            times[one.numbers] += 1
        matched = times >= (len(set(words(query.text))) or 1) if query.every else times > 0
        return Found(matched, np.where(matched, scores, 0).astype(np.float32))

    def _scored_words(self, query: Match) -> list[Word]:
        asked = Counter(words(query.text))
        held = self._read(query.field, [LENGTHS, *asked])
        if LENGTHS not in held:
            return []
        documents, lengths = held[LENGTHS]
        row = self._db.execute(
            "SELECT words FROM lengths WHERE owner = ? AND field = ?", (self._owner, query.field)
        ).fetchone()
        if row is None or not isinstance(row[0], int) or row[0] < len(documents):
            raise Damaged("the number of words is lost")
        of_document = np.zeros(self._size, np.uint16)
        of_document[documents] = np.minimum(lengths, 255)
        found = []
        for word, times in asked.items():
            if word in held:
                numbers, frequencies = held[word]
                boost = float(np.float32(query.boost) * np.float32(times))
                idf = bm25.idf(len(documents), len(numbers))
                lengths = of_document[numbers]
                scores = bm25.scores(boost, idf, frequencies, lengths, row[0] / len(documents))
                found.append(Word(word, boost, numbers, scores))
        return found

    def _word_reasons(self, query: Match, number: int) -> list[Reason]:
        self.find(query)
        return [
            Reason(query.field, one.word, one.boost, None, float(score))
            for one in self._words[query]
            for score in one.scores[one.numbers == number]
        ]

    def _unscored(self, matched: NDArray[np.bool_]) -> Found:
        return Found(matched, np.zeros(self._size, np.float32))

    def _read(self, field: str, terms: list[str] | None) -> dict[str, Holders]:
        held = postings.read(self._db, self._owner, field, terms)
        if any(one.numbers[-1] >= self._size for one in held.values()):
            raise Damaged("a document number is beyond the last")
        return held


def _low(score: float) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(score)


def photo_at(source: Mapping[str, Any], path: str, place: int) -> dict[str, Any]:
    """A photo of a document as stored."""
    try:
        photo = source[path][place]
    except (LookupError, TypeError):
        photo = None
    if not isinstance(photo, dict):
        raise Damaged("a document has lost a photo")
    return photo


def _weights(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (values.astype(np.uint32) << 15).view(np.float32)

"""What is refused before a query is evaluated or sent, the same on every engine."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from stair_search.engines.parts import depth, nested_above, nodes, placed
from stair_search.engines.values import bounds, wanted_term
from stair_search.engines.vectors import similarity
from stair_search.engines.words import words
from stair_search.errors import ModelError, UsageError
from stair_search.fields import model_field
from stair_search.mappings import (
    DATE_TYPES,
    FLOAT_TYPES,
    STRING_TYPES,
    TEXT_TYPES,
    TOKEN_TYPES,
    VECTOR_TYPES,
    WHOLE_TYPES,
)
from stair_search.queries import (
    BestPhoto,
    Bool,
    Boosted,
    Constant,
    Decay,
    Exists,
    FieldValue,
    GeoBox,
    GeoDistance,
    Governed,
    HasToken,
    Ids,
    Match,
    MaxOf,
    Nearest,
    Query,
    Range,
    Search,
    Term,
    Terms,
    Tokens,
)

if TYPE_CHECKING:
    from stair_search.engines.base import EngineInfo

Types = Mapping[str, Mapping[str, Any]]

# indices.query.bool.max_clause_count of OpenSearch and Elasticsearch; nesting does not help
MOST_CLAUSES = 1024
COUNTED_TYPES = STRING_TYPES | WHOLE_TYPES | FLOAT_TYPES | DATE_TYPES | {"boolean"}
_MOST_WEIGHT = 64
MOST_VALUES = 65_536  # index.max_terms_count
MOST_IDS = 10_000  # index.max_result_window, which counts ids on Elasticsearch 9
# Elasticsearch 7.17 takes 20 `bool` in each other, 8 and 9 take 30 clauses of any kind
# (indices.query.bool.max_nested_depth); a node becomes a few
MOST_DEPTH = 16
MOST_BYTES = 32_766  # of a term in Lucene
MOST_BYTES_OF_BOUND = 1_000  # of a range of terms, whose automaton Lucene 8 and 9 walk recursively
MOST_MILLISECONDS = 10**18  # of a span of time


class Clauses(NamedTuple):
    """How many a query has, as a cluster counts them."""

    tokens: int
    words: int
    rules: int


def check_size(query: Query, types: Types) -> None:
    """Raises UsageError where a cluster would refuse the query for its clauses, values or depth.

    types: field -> its mapping, empty where that is not known. See `fit.fitted`.
    """
    if (levels := depth(query)) > MOST_DEPTH:
        raise UsageError(f"the query is {levels} levels deep, and engines take {MOST_DEPTH}")
    tokens, in_text, rules = clauses(query, types)
    if tokens + in_text + rules > MOST_CLAUSES:
        policies = {n.policy.name for n in nodes(query) if isinstance(n, Governed) and n.policy}
        remedy = "".join(
            f", or forbid fewer tokens in policy {name}: what nobody may find is kept out of the "
            "index by `ingest --policy`"
            for name in sorted(policies)
        )
        raise UsageError(
            f"the query has {tokens + rules + in_text} clauses ({tokens} tokens, {in_text} words "
            f"of text, {rules} rules), and engines take {MOST_CLAUSES}: ask with fewer words"
            f"{remedy}"
        )


def clauses(query: Query, types: Types) -> Clauses:
    """Raises UsageError for more values at once than a cluster takes."""
    tokens = rules = in_text = 0
    for node in nodes(query):
        match node:
            case Tokens():
                tokens += len(node.asked)
                rules += 1  # its model
            case HasToken():
                rules += 2
            case Match(_, text):
                in_text += len(words(text))
            case Terms(field, values) if types.get(field, {}).get("type") in DATE_TYPES:
                rules += 1 + len(values)  # a span each
            case Terms(field, values) if len(values) > MOST_VALUES:
                raise UsageError(
                    f"{len(values):,} values of {field!r} at once: engines take {MOST_VALUES:,}"
                )
            case Ids(values) if len(values) > MOST_IDS:
                raise UsageError(f"{len(values):,} ids at once: engines take {MOST_IDS:,}")
            case Bool() | Constant() | MaxOf():
                pass
            case _:
                rules += 1
    return Clauses(tokens, in_text, rules)


def _check_query(index: str, query: Query, types: Types, runtime: Container[str]) -> None:
    for node, path in placed(query):
        _check_texts(node)
        _check_place(index, node, path, types)
        match node:
            case Tokens() | HasToken():
                kind = types.get(node.field, {}).get("type", "not there")
                if kind not in TOKEN_TYPES:
                    raise ModelError(
                        f"index {index!r}: field {node.field!r} is {kind}, and tokens are kept in "
                        f"a field of type rank_features; `stair-search ingest` makes such an index"
                    )
            case Term(field) | Terms(field) | Range(field) | Exists(field) if field in types:
                _check_rule(node, types[field])
            case Nearest(field) if field in types:
                similarity(field, types[field], node.vector)
            case GeoDistance(field) | GeoBox(field) if field in types:
                if types[field]["type"] != "geo_point":
                    kind = types[field]["type"]
                    raise UsageError(f"field {field!r} is {kind}, and places are a geo_point")
            case Boosted(_, FieldValue() | Decay() as by) if by.field in types:
                _check_factor(by, types[by.field])
            case Match(field) if field in types and types[field]["type"] not in TEXT_TYPES:
                raise UsageError(
                    f"index {index!r}: field {field!r} is {types[field]['type']}, not text: ask "
                    f"for its exact value with a filter"
                )
            case _:
                pass
        asked = None if isinstance(node, Tokens | HasToken) else _field(node)
        if asked is not None and asked not in types and asked not in runtime:
            _kind(index, asked, types)


def check_search(index: str, search: Search, types: Types, runtime: Container[str] = ()) -> None:
    """Raises UsageError or ModelError where a field is not there or of a type that cannot be asked:
    an engine would find nothing, without a word.

    types: field -> its mapping. runtime: fields that the index computes.
    """
    _check_query(index, search.query, types, runtime)
    for facet in search.facets:
        kind = _kind(index, facet.field, types)
        if kind not in COUNTED_TYPES:
            raise UsageError(
                f"values of field {facet.field!r} cannot be counted: it is {kind}, not one of "
                f"keywords, numbers, dates or booleans"
            )
    for field in search.highlight:
        kind = _kind(index, field, types)
        if kind not in TEXT_TYPES:
            raise UsageError(f"field {field!r} is {kind}, and words are found in text")
        if nested_above(field, types):
            raise UsageError(f"words of photos, as in field {field!r}, cannot be marked")


def _kind(index: str, field: str, types: Types) -> str:
    """The type of a field that is there."""
    if field not in types:
        raise UsageError(
            f"index {index!r} has no field {field!r}; it has {', '.join(sorted(types))}"
        )
    return str(types[field]["type"])


def _field(node: Query) -> str | None:
    """The field that a node asks."""
    match node:
        case Boosted(_, FieldValue(field) | Decay(field)):
            return field
        case (
            Term(field) | Terms(field) | Range(field) | Exists(field) | Match(field)
            | GeoDistance(field) | GeoBox(field) | Nearest(field)
            | Tokens(field=field) | HasToken(field=field)
        ):  # fmt: skip
            return field
    return None


def _check_texts(node: Query) -> None:
    """Raises UsageError for what no document can hold: half a character (a lone surrogate), a value
    that is too long.
    """
    texts: tuple[str, ...] = ()
    most = MOST_BYTES
    match node:
        case Tokens(weights, model):
            texts = (model, *(token for token, _ in weights))
        case HasToken(token, model):
            texts = token, model
        case Terms(_, values) | Ids(values):
            texts = values
        case Term(_, text):
            texts = (text,)
        case Match(_, text):
            texts = tuple(text)  # may be of any length: it is cut into words
        case Range():
            texts = tuple(value for value in node.bounds.values() if isinstance(value, str))
            most = MOST_BYTES_OF_BOUND
    for text in texts:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise UsageError(f"{text!r} is no text: it holds half a character") from None
        if size > most:
            raise UsageError(f"{text[:20]!r}… has {size:,} bytes, and engines take {most:,}")


def _check_rule(node: Query, mapping: Mapping[str, Any]) -> None:
    """Raises UsageError where a field cannot have such a value."""
    kind = mapping["type"]
    field = _field(node)
    if kind in TOKEN_TYPES:
        raise UsageError(f"field {field!r} holds tokens: require one instead")
    if kind in VECTOR_TYPES and not isinstance(node, Exists):
        raise UsageError(f"field {field!r} holds vectors: ask for the nearest")
    if kind == "nested":
        raise UsageError(f"field {field!r} holds photos: name a field of theirs")
    if kind in DATE_TYPES and "format" in mapping:
        return  # the engine knows what a date looks like there
    match node:
        case Term(field, value):
            wanted_term(field, kind, value)
        case Terms(field, values):
            for value in values:
                wanted_term(field, kind, value)
        case Range():
            bounds(kind, node)


def _check_factor(by: FieldValue | Decay, mapping: Mapping[str, Any]) -> None:
    kind = mapping["type"]
    numbers = kind in WHOLE_TYPES | FLOAT_TYPES
    match by:
        case FieldValue(field) if not numbers:
            raise UsageError(f"field {field!r} is {kind}, and a factor is made of numbers")
        case Decay(field, origin) if isinstance(origin, str):
            if kind not in DATE_TYPES:
                raise UsageError(f"field {field!r} is {kind}, and the origin {origin!r} a date's")
            if not (by.scale >= 1 and max(by.scale, by.offset) <= MOST_MILLISECONDS):
                raise UsageError(
                    f"scale and offset of {field!r} are in milliseconds, 1 to {MOST_MILLISECONDS}"
                )
            if "format" not in mapping:
                bounds(kind, Range(field, gte=origin))
        case Decay(field) if not numbers:
            raise UsageError(f"field {field!r} is {kind}; its origin is to be a date as text")


def _check_place(index: str, node: Query, path: str | None, types: Types) -> None:
    """A document and its photos are searched apart: neither is found by the other's fields."""
    match node:
        case BestPhoto(_, below):
            kind = types.get(below, {}).get("type", "not there")
            if kind != "nested":
                raise UsageError(
                    f"index {index!r}: field {below!r} is {kind}, and the best photo is one of a "
                    f"nested field; `stair-search ingest` makes it where --columns names a group"
                )
            if path:
                raise UsageError(f"the best photo in {below!r} cannot be asked of a photo")
        case Ids() if path:
            raise UsageError(f"photos in {path!r} have no ids of their own: ask for them outside")
        case _ if field := _field(node):
            lies = nested_above(field, types)
            if lies != path:
                raise UsageError(
                    f"index {index!r}: field {field!r} is one of "
                    f"{f'photos in {lies!r}' if lies else 'documents'}, and was asked of "
                    f"{f'photos in {path!r}' if path else 'documents'}"
                )
        case _:
            pass


def wanted_models(query: Query) -> set[tuple[str, str]]:
    """(token field, model) of every part about tokens, less what a policy excludes: it may know of
    more models than an index holds.
    """
    policies = [n for n in nodes(query) if isinstance(n, Governed)]
    excluded = [rule for n in policies for rule in n.added if rule in n.must_not]
    spared = {node for rule in excluded for node in nodes(rule)}
    return {
        (node.field, node.model)
        for node in nodes(query)
        if isinstance(node, Tokens | HasToken) and node not in spared
    }


def token_fields(query: Query) -> set[str]:
    """Those of every part about tokens."""
    return {n.field for n in nodes(query) if isinstance(n, Tokens | HasToken)}


def check_model(index: str, field: str, model: str, known: Mapping[str, int]) -> None:
    """Raises ModelError where the index holds tokens, but none of this model."""
    if known and model not in known:
        others = ", ".join(repr(name) for name in sorted(known))
        raise ModelError(
            f"index {index!r} holds tokens of model {others} in {model_field(field)!r}, none of "
            f"{model!r}: ask with the model that made the index, or ingest the photos again"
        )


def check_sparse_vector(info: EngineInfo) -> None:
    """Raises UsageError where tokens cannot be kept and asked for in a field of this type."""
    if info.product != "elasticsearch" or info.number < (8, 15):
        raise UsageError(
            f"{info.url} is {info.product} {info.version}, and tokens in a sparse_vector can be "
            f"asked for from Elasticsearch 8.15 on; rank_features works everywhere"
        )


def check_neural_sparse(info: EngineInfo, query: Query) -> None:
    """Raises UsageError where tokens cannot be asked for by OpenSearch's query of this name."""
    if info.product != "opensearch" or info.number < (2, 14):
        raise UsageError(
            f"{info.url} is {info.product} {info.version}, and neural_sparse is OpenSearch's query "
            f"(with tokens from 2.14 on)"
        )
    asked = (pair for node in nodes(query) if isinstance(node, Tokens) for pair in node.asked)
    for token, weight in asked:
        if weight > _MOST_WEIGHT:
            raise UsageError(
                f"token {token!r} has weight {weight:g}, and neural_sparse takes {_MOST_WEIGHT}: "
                f"ask for less of it, or without neural_sparse"
            )


def check_index_name(index: str) -> None:
    """Raises UsageError for what names no index of its own: a pattern, a list, an odd character."""
    bad = {c for c in index if c in '*?,"<>|\\/#: ' or c.isupper() or not c.isprintable()}
    if bad or not index or index[0] in "-_+" or index in {".", ".."} or len(index.encode()) > 255:
        why = f"it holds {' '.join(map(repr, sorted(bad)))}" if bad else "it cannot be a name"
        raise UsageError(
            f"index {index!r}: {why}; a name is in lower case, without spaces, wildcards, commas "
            f"and slashes, does not begin with - _ + and is at most 255 bytes long"
        )


def no_index(place: str, index: str) -> str:
    """The message for an index that is not there."""
    return f"{place} has no index {index!r}; `stair-search ingest` makes it"

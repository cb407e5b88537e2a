"""What is refused before a query is evaluated or sent, the same on every engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stair_search.engines.parts import nodes, placed
from stair_search.engines.values import wanted_term
from stair_search.engines.words import words
from stair_search.errors import ModelError, UsageError
from stair_search.fields import model_field
from stair_search.mappings import TEXT_TYPES, types_of
from stair_search.queries import All, BestPhoto, HasToken, Ids, Match, Query, Term, Tokens

# indices.query.bool.max_clause_count of OpenSearch and Elasticsearch; nesting does not help
MOST_CLAUSES = 1024


def check_size(query: Query) -> None:
    """Raises UsageError where a cluster would refuse the query for its number of clauses."""
    tokens = rules = in_text = 0
    for node in nodes(query):
        match node:
            case Tokens(weights):
                tokens += len(weights)
                rules += 1  # its model
            case HasToken():
                rules += 2
            case Match(_, text):
                in_text += len(words(text))
            case Term() | Ids() | All() | BestPhoto():
                rules += 1
    if tokens + rules + in_text > MOST_CLAUSES:
        raise UsageError(
            f"the query has {tokens + rules + in_text} clauses ({tokens} tokens, {in_text} words "
            f"of text, {rules} rules), and engines take {MOST_CLAUSES}: ask with fewer words"
        )


def check_fields(index: str, query: Query, mapping: Mapping[str, Any]) -> None:
    """Raises UsageError or ModelError where a field is not there or of a type that cannot be asked.

    An engine would find nothing, without a word.
    """
    types = types_of(mapping.get("properties", {}))
    runtime = mapping.get("runtime", {})
    for node, path in placed(query):
        _check_place(index, node, path, types)
        match node:
            case Tokens() | HasToken():
                kind = types.get(node.field, {}).get("type", "not there")
                if kind != "rank_features":
                    raise ModelError(
                        f"index {index!r}: field {node.field!r} is {kind}, and tokens are kept in "
                        f"a field of type rank_features; `stair-search ingest` makes such an index"
                    )
            case Term(field, value) if field in types:
                kind = types[field]["type"]
                if kind == "rank_features":
                    raise UsageError(f"field {field!r} holds tokens: require one instead")
                if kind == "nested":
                    raise UsageError(f"field {field!r} holds photos: name a field of theirs")
                wanted_term(field, kind, value)
            case Match(field) if field in types and types[field]["type"] not in TEXT_TYPES:
                raise UsageError(
                    f"index {index!r}: field {field!r} is {types[field]['type']}, not text: ask "
                    f"for its exact value with a filter"
                )
            case Term(field) | Match(field) if field not in runtime and not field.startswith("_"):
                if field not in types:
                    known = ", ".join(sorted(types))
                    raise UsageError(f"index {index!r} has no field {field!r}; it has {known}")
            case _:
                pass


def _check_place(
    index: str, node: Query, path: str | None, types: Mapping[str, Mapping[str, Any]]
) -> None:
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
        case Tokens() | HasToken() | Match() | Term():
            lies = nested_above(node.field, types)
            if lies != path:
                raise UsageError(
                    f"index {index!r}: field {node.field!r} is one of "
                    f"{f'photos in {lies!r}' if lies else 'documents'}, and was asked of "
                    f"{f'photos in {path!r}' if path else 'documents'}"
                )
        case _:
            pass


def nested_above(field: str, types: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The nested field that a field lies below."""
    above = (field[:at] for at, letter in enumerate(field) if letter == ".")
    return next((name for name in above if types.get(name, {}).get("type") == "nested"), None)


def wanted_models(query: Query) -> set[tuple[str, str]]:
    """(token field, model) of every part that asks for tokens."""
    return {(n.field, n.model) for n in nodes(query) if isinstance(n, Tokens | HasToken)}


def check_model(index: str, field: str, model: str, known: Mapping[str, int]) -> None:
    """Raises ModelError where the index holds tokens, but none of this model."""
    if known and model not in known:
        others = ", ".join(repr(name) for name in sorted(known))
        raise ModelError(
            f"index {index!r} holds tokens of model {others} in {model_field(field)!r}, none of "
            f"{model!r}: ask with the model that made the index, or ingest the photos again"
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

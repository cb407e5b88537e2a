"""The bodies that make an index: JSON that curl can send too, and what fits an existing index.

    curl -X PUT localhost:9200/photos -H 'content-type: application/json' -d @opensearch.json

`opensearch.json` is for one photo a document, `opensearch-photos.json` for several: a product's,
in a nested field.

Does not talk to an engine.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

# Relative to the parent on purpose: `import mappings` through the link at the root fails here.
from ..errors import UsageError
from ..fields import Fields

# An engine refuses a document with a keyword over 32,766 bytes; 8,191 characters of 4 bytes fit.
KEYWORD: Mapping[str, Any] = {"type": "keyword", "ignore_above": 8191}
TEXT_TYPES = frozenset({"text", "match_only_text", "search_as_you_type", "annotated_text"})
STRING_TYPES = frozenset({"keyword", "wildcard", "constant_keyword"})
WHOLE_TYPES = frozenset({"long", "integer", "short", "byte", "unsigned_long"})
FLOAT_TYPES = frozenset({"double", "float", "half_float", "scaled_float"})
TOKEN_TYPES = ("rank_features", "sparse_vector")
"""Fields that hold tokens; the second is Elasticsearch's, from 8.15 on."""
VECTOR_TYPES = frozenset({"dense_vector", "knn_vector"})
DATE_TYPES = frozenset({"date"})
COLUMN_TYPES = (
    "keyword", "text", "boolean", "integer", "long", "float", "double", "date", "geo_point"
)  # fmt: skip


def index_body(
    product: str,
    fields: Fields | None = None,
    columns: Mapping[str, str] | None = None,
    shards: int | None = None,
    replicas: int | None = None,
    several: bool = False,
    token_type: str = "rank_features",
    vectors: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The body of `PUT /INDEX` for a product ("opensearch", "elasticsearch", "sqlite").

    columns: further field -> type ("keyword", "text", "integer", "float", "boolean", ...). Columns
    that are not declared become keywords when they first come. several: photos a document.
    token_type: one of `TOKEN_TYPES`. vectors: further field -> numbers of a vector, compared by
    cosine; of the photos where there are several.

    >>> index_body("opensearch", Fields(token="look"))["mappings"]["properties"]["look"]
    {'type': 'rank_features'}
    """
    fields = fields or Fields()
    body = _load("opensearch" if product == "sqlite" else product, "-photos" if several else "")
    mappings = body["mappings"]
    if token_type not in TOKEN_TYPES:
        raise UsageError(f"tokens cannot be kept as {token_type!r}: {', '.join(TOKEN_TYPES)}")
    if token_type == "sparse_vector" and product != "elasticsearch":
        raise UsageError(f"{product} keeps tokens as rank_features; sparse_vector is Elasticsearch")
    tokens = mappings["properties"]
    (tokens["photos"]["properties"] if several else tokens)["stair"]["type"] = token_type
    mappings["properties"] = _renamed(mappings["properties"], _names(Fields(), fields))
    mappings["_meta"]["stair_search"]["fields"] = fields.to_dict()
    for name, kind in (columns or {}).items():
        mappings["properties"].setdefault(name, _column(name, kind))
    settings = body["settings"]["index"]
    photos = mappings["properties"][fields.photos]["properties"] if several else None
    for name, numbers in (vectors or {}).items():
        (photos or mappings["properties"])[name] = _vector(product, name, numbers)
    if vectors and product == "opensearch":
        settings["knn"] = True
    if shards is not None:
        settings["number_of_shards"] = _least("shards", shards, 1)
    if replicas is not None:
        settings["number_of_replicas"] = _least("replicas", replicas, 0)
    return body


def fields_of(mapping: Mapping[str, Any]) -> Fields:
    """The field names that an index was made with; the default ones where it does not say.

    mapping: as `Engine.mapping` gives it.
    """
    known = mapping.get("_meta", {}).get("stair_search", {}).get("fields")
    return Fields.from_dict(known) if known else Fields()


def photos_in(mapping: Mapping[str, Any], fields: Fields | None = None) -> str | None:
    """The nested field in which each document holds several photos, None where it is one itself.

    fields: as the index was made with, if None.
    """
    fields = fields or fields_of(mapping)
    types = types_of(mapping.get("properties", {}))
    names = (fields.photos, fields.in_photos().token)
    nested, token = (types.get(name, {}).get("type") for name in names)
    return fields.photos if nested == "nested" and token in TOKEN_TYPES else None


def hidden_fields(mapping: Mapping[str, Any]) -> set[str]:
    """The fields of an index that nobody reads: of tokens and of vectors."""
    types = types_of(mapping.get("properties", {}))
    return {name for name, one in types.items() if one["type"] in (*TOKEN_TYPES, *VECTOR_TYPES)}


def types_of(properties: Mapping[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Field -> its mapping, objects and sub-fields as dotted names.

    >>> types_of({"a": {"properties": {"b": {"type": "keyword"}}}})
    {'a.b': {'type': 'keyword'}}
    """
    found: dict[str, dict[str, Any]] = {}
    for name, mapping in properties.items():
        if "type" in mapping and mapping["type"] != "object":
            found[prefix + name] = mapping
        for below in ("properties", "fields"):
            found |= types_of(mapping.get(below, {}), f"{prefix}{name}.")
    return found


def differences(
    mapping: Mapping[str, Any], body: Mapping[str, Any], declared: Collection[str] = ()
) -> list[str]:
    """What keeps an existing index from holding documents of `body`, each line with its remedy.

    Fields that the index has beside them are its own business. declared: fields that somebody has
    named the type of: who wants to look for words cannot do so in a keyword.
    """
    has: Mapping[str, Any] = mapping.get("properties", {})
    wanted: Mapping[str, Any] = body["mappings"]["properties"]
    fields = fields_of(body["mappings"])
    several = photos_in(body["mappings"])
    held_several = photos_in(mapping, fields)
    held_one = has.get(fields.token, {}).get("type") in TOKEN_TYPES
    if held_one if several else held_several:
        kinds = ("one photo", "several photos") if several else ("several photos", "one photo")
        return [f"the index holds {kinds[0]} a document, not {kinds[1]}: name another index"]
    token = fields.token
    vital = {fields.token, fields.strongest, fields.model, fields.hash, fields.photos}
    found = _differences(has, wanted, vital)
    found += [
        _of_another_type(name, has[name]["type"], "text")
        for name in declared
        if wanted.get(name, {}).get("type") == "text"
        and has.get(name, {}).get("type") in STRING_TYPES
    ]
    if several and several in has and not found:
        token = fields.in_photos().token
        if not held_several:
            return [
                f"field {several!r} is a list of the index's own, which ingest would replace: use "
                f"another name (--photos-field)"
            ]
        found = _differences(
            has[several]["properties"], wanted[several]["properties"], vital, several
        )
    source = mapping.get("_source", {})
    if source.get("enabled") is False or {several, token} & {*source.get("excludes", [])}:
        found.append(
            f"the index keeps no {token!r} in _source, so an update would lose it: "
            f"make a new index without that setting"
        )
    return found


def _differences(
    has: Mapping[str, Any], wanted: Mapping[str, Any], vital: Collection[str], below: str = ""
) -> list[str]:
    found = (_difference(name, has, wanted, name in vital, below) for name in wanted)
    return [line for line in found if line]


def _difference(
    name: str, has: Mapping[str, Any], wanted: Mapping[str, Any], vital: bool, below: str
) -> str | None:
    want = wanted[name]["type"]
    shown = f"{below}.{name}" if below else name
    if name not in has:
        if not vital:
            return None  # comes by itself with the first document
        add = {"properties": {n: wanted[n] for n in wanted if n not in has}}
        if below:
            add = {"properties": {below: {"type": "nested", **add}}}
        return f"field {shown!r} is missing: add it with PUT /INDEX/_mapping {json.dumps(add)}"
    held = has[name].get("type", "object")
    tokens = held in TOKEN_TYPES and want in TOKEN_TYPES
    fits = held == want or tokens or (not vital and _family(held) == _family(want))
    if fits:
        return None
    return _of_another_type(shown, held, want)


def _of_another_type(name: str, held: str, want: str) -> str:
    return (
        f"field {name!r} is {held!r}, not {want!r}: a field's type cannot be changed, so use "
        f"another name for it or a new index"
    )


def _family(kind: str) -> str:
    if kind in TEXT_TYPES | STRING_TYPES:
        return "string"
    return "number" if kind in WHOLE_TYPES | FLOAT_TYPES else kind


def _column(name: str, kind: str) -> dict[str, Any]:
    if kind not in COLUMN_TYPES:
        known = ", ".join(COLUMN_TYPES)
        raise UsageError(f"column {name!r} cannot have the type {kind!r}; there are: {known}")
    return dict(KEYWORD) if kind == "keyword" else {"type": kind}


def _vector(product: str, name: str, numbers: int) -> dict[str, Any]:
    if not 1 <= numbers <= 4096:
        raise UsageError(f"vector {name!r} has 1 to 4,096 numbers, not {numbers}")
    if product == "opensearch":
        method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
        return {"type": "knn_vector", "dimension": numbers, "method": method}
    # as exact as can be: the default keeps a byte of each number
    made = {"type": "dense_vector", "dims": numbers, "index": True, "similarity": "cosine"}
    return made | {"index_options": {"type": "hnsw"}}


def _names(old: Fields, new: Fields) -> dict[str, str]:
    derived = {old.strongest: new.strongest, old.model: new.model, old.hash: new.hash}
    names = {name: new.to_dict()[part] for part, name in old.to_dict().items()} | derived
    if len(set(names.values())) < len(names):
        raise UsageError(f"field names must differ: {', '.join(names.values())}")
    return names


def _renamed(properties: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        names[old]: field | {"properties": _renamed(field["properties"], names)}
        if "properties" in field
        else field
        for old, field in properties.items()
    }


def _load(product: str, kind: str) -> dict[str, Any]:
    try:
        text = files(__name__).joinpath(f"{product}{kind}.json").read_text("utf-8")
    except FileNotFoundError:
        raise UsageError(f"no mapping for {product!r}") from None
    body: dict[str, Any] = json.loads(text)
    return body


def _least(name: str, value: int, least: int) -> int:
    if value < least:
        raise UsageError(f"{name} must be {least} or more, not {value}")
    return value

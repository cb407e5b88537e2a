"""What every engine asks of a document before it is written."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from stair_search.engines.base import Document

LONGEST_ID = 512  # bytes, both products


def serialised(document: Document) -> bytes:
    """The document's fields as JSON.

    An object becomes a list of one, so that an update replaces it: engines merge objects, and the
    tokens of an earlier encoding would stay. Raises ValueError for what no engine can hold, so that
    one such document does not spoil the request of the others.
    """
    check_id(document.id)
    if document.routing is not None and not _utf8("the routing", document.routing):
        raise ValueError("the routing is empty")
    fields = {name: [v] if isinstance(v, dict) else v for name, v in document.fields.items()}
    try:
        text = orjson.dumps(fields)  # ten times as quick as json
        if b"null" not in text:  # which it also writes for what is no number
            return text
    except TypeError:
        pass  # json says in more words what is wrong
    try:
        return _utf8("a field", json.dumps(fields, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the fields are no JSON: {error}") from None


def check_id(id: str) -> None:
    """Raises ValueError for what no document can have as its id."""
    if not id:
        raise ValueError("the id is empty")
    if "\0" in id:
        raise ValueError(f"the id holds a NUL byte: {id[:40]!r}")
    length = len(_utf8("id", id))
    if length > LONGEST_ID:
        raise ValueError(f"the id is {length} bytes long, {LONGEST_ID} is the most: {id[:40]}…")


def _utf8(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        around = ascii(text[max(0, error.start - 20) : error.end + 5])
        raise ValueError(f"{what} holds half a character, which is no Unicode: {around}") from None


def only(source: Any, names: Collection[str]) -> Any:
    """An object, or a list of them, with these fields alone; dotted ones in their place below.

    >>> only({"photos": [{"image": "a", "width": 3}], "price": 7}, ["photos.image"])
    {'photos': [{'image': 'a'}]}
    """
    if isinstance(source, list):
        return [only(one, names) for one in source]
    if not isinstance(source, dict):
        return source
    found = {name: source[name] for name in names if name in source}
    for key, inner in _below(names).items():
        if key in source and key not in found:
            found[key] = only(source[key], inner)
    return found


def without(source: Any, names: Collection[str]) -> Any:
    """An object, or a list of them, without these fields; see `only`.

    >>> without({"photos": [{"image": "a", "width": 3}], "price": 7}, ["photos.image"])
    {'photos': [{'width': 3}], 'price': 7}
    """
    if isinstance(source, list):
        return [without(one, names) for one in source]
    if not isinstance(source, dict):
        return source
    inner = _below(names)
    return {
        key: without(value, inner[key]) if key in inner else value
        for key, value in source.items()
        if key not in names
    }


def _below(names: Iterable[str]) -> dict[str, list[str]]:
    inner: dict[str, list[str]] = {}
    for name in names:
        key, dot, rest = name.partition(".")
        if dot:
            inner.setdefault(key, []).append(rest)
    return inner


def flat(fields: Mapping[str, Any], types: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Objects as dotted names, down to the fields that have a type.

    >>> flat({"camera": {"make": "Leica"}, "stair": [{"dog": 1}]}, {"stair": "rank_features"})
    {'camera.make': ['Leica'], 'stair': [{'dog': 1}]}
    """
    out: dict[str, Any] = {}
    for key, value in fields.items():
        name = prefix + key
        values = [v for v in (value if isinstance(value, list) else [value]) if v is not None]
        if name in types:
            out[name] = values
            continue
        for one in values:
            if isinstance(one, dict):
                for inner, found in flat(one, types, f"{name}.").items():
                    out.setdefault(inner, []).extend(found)
            else:
                out.setdefault(name, []).append(one)
    return out

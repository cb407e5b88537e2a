"""The fields that an index has, to hold `--match` and `--filter` to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal

from ..errors import UsageError

TEXT = ("text", "match_only_text", "search_as_you_type", "annotated_text")
TOKENS = ("rank_features", "rank_feature", "sparse_vector", "dense_vector", "knn_vector", "nested")


def field_types(mapping: Mapping[str, Any]) -> dict[str, str]:
    """Every field's full name -> its type, objects and multi-fields opened.

    >>> title = {"type": "text", "fields": {"raw": {"type": "keyword"}}}
    >>> field_types({"properties": {"title": title}})
    {'title': 'text', 'title.raw': 'keyword'}
    """
    return dict(_walk(mapping.get("properties", {}), ""))


def check(index: str, types: Mapping[str, str], name: str, use: Literal["match", "filter"]) -> None:
    """Refuses a field that the index lacks, or that cannot be used like this."""
    kind = types.get(name)
    if kind is None:
        fit = sorted(n for n, t in types.items() if _use(t) == use)
        near = get_close_matches(name, types, 1)
        raise UsageError(
            f"index {index!r} has no field {name!r}"
            + (f"; did you mean {near[0]!r}?" if near else "")
            + (f" Fields for --{use}: {', '.join(fit)}" if fit else f" It has none for --{use}")
        )
    if _use(kind) != use:
        remedy = {
            "match": f"it holds words: use --match {name}:TEXT",
            "filter": f"its values are taken as a whole: use --filter {name}=VALUE",
            None: "it cannot be searched like this",
        }[_use(kind)]
        raise UsageError(f"field {name!r} of index {index!r} is of type {kind}; {remedy}")


def _use(kind: str) -> str | None:
    if kind in TOKENS:
        return None
    return "match" if kind in TEXT else "filter"


def _walk(properties: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, body in properties.items():
        full = f"{path}{name}"
        if "type" in body and body["type"] not in ("object", "nested"):
            yield full, body["type"]
        yield from _walk(body.get("fields", {}), f"{full}.")
        yield from _walk(body.get("properties", {}), f"{full}.")

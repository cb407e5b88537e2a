"""A query's policy as a file, which an application keeps beside its code.

# kids.toml; `only`, `forbid` and `bias` as in the policy of ingest
name = "kids"                # left out, the file's name
only = ["dog", "beach"]      # these alone may be asked for; left out, all

[forbid]                     # each with its reason
gun = "house rule 12: no weapons in suggestions"
blood = { why = "house rule 13", least = 0.3 }   # photos with less of it may be hits

[bias]                       # factors
beach = 1.5

[caps]
tokens = 32                  # of a question, the strongest
weight = 2.0                 # of a token, after its bias

[filter]                     # values that each hit has: one, or one of several
rating = ["safe", "general"]
reviewed = true              # whole numbers, too: 5, [500, 640]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stair_search.errors import UsageError
from stair_search.queries.policy import QueryPolicy
from stair_search.queries.tree import Query, Term, Terms
from stair_search.toml import is_texts, read_toml

KEYS = ("name", "only", "forbid", "bias", "caps", "filter")
CAPS = {"tokens": "most_tokens", "weight": "most_weight"}


def read_query_policy(file: Path) -> QueryPolicy:
    """Raises UsageError, which names the file and what is wrong there."""
    told = read_toml(file)
    _known(file, told, KEYS)
    name, only = told.get("name", file.stem), told.get("only")
    if not isinstance(name, str) or not name:
        raise UsageError(f"{file}: name is a text")
    if only is not None and not is_texts(only):
        raise UsageError(f"{file}: only is a list of tokens")
    caps = _table(file, told, "caps")
    _known(file, caps, tuple(CAPS))
    most = caps.get("tokens")
    if most is not None and (type(most) is not int or most < 1):
        raise UsageError(f"{file}: caps tokens = {most!r} is no whole number from 1 on")
    return QueryPolicy(
        name,
        None if only is None else frozenset(only),
        {token: _least(file, token, why) for token, why in _table(file, told, "forbid").items()},
        {t: _number(file, f"bias {t}", factor) for t, factor in _table(file, told, "bias").items()},
        most,
        _number(file, "caps weight", caps["weight"]) if "weight" in caps else None,
        tuple(_rules(file, _table(file, told, "filter"))),
    )


def _least(file: Path, token: str, why: Any) -> float | None:
    match why:
        case str() if why:
            return None
        case {"why": str(reason), "least": least} if reason and len(why) == 2:
            return _number(file, f"forbid {token}: least", least)
    raise UsageError(
        f'{file}: [forbid] says for each token why: gun = "house rule 12", or '
        'gun = { why = "house rule 12", least = 0.3 }'
    )


def _rules(file: Path, values: Mapping[str, Any]) -> Iterator[Query]:
    for field, value in values.items():
        several = isinstance(value, list)
        parts = value if several else [value]
        texts = tuple(text for one in parts if (text := _as_text(one)) is not None)
        if not texts or len(texts) < len(parts):
            raise UsageError(
                f"{file}: filter {field} = {value!r} is no text, whole number, true or false, and "
                "no list of them"
            )
        yield Terms(field, texts) if several else Term(field, texts[0])


def _as_text(value: Any) -> str | None:
    """As rules have values: of a number and a truth its text."""
    match value:
        case bool():
            return str(value).lower()
        case str() | int():
            return str(value)
    return None


def _number(file: Path, what: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < 1e6:
        raise UsageError(f"{file}: {what} = {value!r} is no number above 0 and below a million")
    return float(value)


def _table(file: Path, told: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = told.get(name, {})
    if not isinstance(table, dict):
        raise UsageError(f"{file}: [{name}] is a table")
    return table


def _known(file: Path, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise UsageError(f"{file}: unknown key {unknown[0]!r}; known: {', '.join(keys)}")

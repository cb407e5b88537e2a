"""Queries of more tokens than an engine takes, on the engines."""

from __future__ import annotations

import pytest

from stair_search.engines import Document, Engine
from stair_search.engines.fit import fitted
from stair_search.errors import UsageError
from stair_search.queries import All, Bool, HasToken, Match, Query, QueryPolicy, TokenField, Tokens

MANY = Tokens.of({f"t{n}": 1 + n / 5000 for n in range(2000)}, "m")


def test_what_is_fitted_is_refused_by_none(engine: Engine, index: str) -> None:
    query: Query = Bool(
        should=(MANY, Match("caption", "a red bus")),
        filter=(HasToken("dog", "m"),),
        must_not=(Tokens.of({"x": 1.0, "y": 1.0}, "m"),),
    )
    values = {"stair": [{"t1999": 1, "dog": 1}], "stair_model": "m"}
    assert engine.bulk(index, [Document("one", values)])[0].ok
    engine.refresh(index)
    with pytest.raises(UsageError, match="clauses"):
        engine.search(index, query)
    fits, dropped = fitted(query)
    # beside the model: three words, two clauses of the rule, three of what excludes
    assert dropped == 2000 - (1024 - 1 - 3 - 2 - 3)
    assert [hit.id for hit in engine.search(index, fits).hits] == ["one"]


def test_rules_alone_can_be_too_many(engine: Engine, index: str) -> None:
    rules = tuple(HasToken(f"t{n}", "m") for n in range(600))
    fits, dropped = fitted(Bool(should=(MANY,), filter=rules))
    assert dropped == 1999
    with pytest.raises(UsageError, match="1202 clauses"):
        engine.search(index, fits)


def test_a_policy_that_forbids_too_much_is_named(engine: Engine, index: str) -> None:
    words: dict[str, float | None] = {f"t{n}": None for n in range(1100)}
    kids = QueryPolicy("kids", forbid=words, held_in=(TokenField("m"),))
    with pytest.raises(UsageError, match=r"forbid fewer tokens in policy kids.*`ingest --policy`"):
        engine.search(index, kids.apply(All()))
    with pytest.raises(UsageError, match=r"ask with fewer words$"):
        engine.search(index, MANY)

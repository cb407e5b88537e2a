"""A query made small enough for every engine, instead of refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stair_search.engines.checks import MOST_CLAUSES, clauses
from stair_search.queries import Query
from stair_search.queries.pruning import Pruned, pruned, token_count


def fitted(query: Query, types: Mapping[str, Mapping[str, Any]] | None = None) -> Pruned:
    """The query with the strongest of its tokens, so many that no engine refuses their number.

    types: field -> its mapping, where that is known (a list of dates counts for more). Rules and
    words of text are never left out: with too many of those it is refused all the same.

    >>> from stair_search.queries import Tokens
    >>> query = Tokens.of({f"t{n}": 1 + n / 2000 for n in range(2000)}, "m")
    >>> len(fitted(query).query.weights), fitted(query).dropped
    (1023, 977)
    """
    asked, every = token_count(query), sum(clauses(query, types or {}))
    return pruned(query, max(MOST_CLAUSES - (every - asked), 0))

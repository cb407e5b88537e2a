"""A policy that an application lays over every query, whatever was asked.

    kids = QueryPolicy("kids", forbid={"gun": None, "blood": 0.3}, bias={"toy": 1.5},
                       rules=(Term("rating", "safe"),))
    engine.search("photos", kids.apply(query))

It works on the tree, behind the encoder and the grammar, so no text can switch it off. It speaks of
tokens: words of text fields (`Match`) are none. See `policy_file` for its form as a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, overload

from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.queries.fusion import Hybrid
from stair_search.queries.pruning import pruned
from stair_search.queries.rewrite import looking_among, rewritten
from stair_search.queries.search import Search
from stair_search.queries.tree import (
    _LEAST,
    All,
    BestPhoto,
    Bool,
    Exists,
    HasToken,
    Match,
    Node,
    Query,
    Range,
    Term,
    Terms,
    Tokens,
    _positive,
    make_tuples,
)


class TokenField(NamedTuple):
    """Where documents hold tokens of a model. path: the nested field, where `field` is one of
    several photos' ("photos.stair").
    """

    model: str
    field: str = "stair"
    path: str | None = None

    @property
    def strongest(self) -> str:
        """The keyword field of the strongest of them."""
        return Fields(token=self.field).strongest


_USUAL = (TokenField(""), TokenField("", Fields().in_photos().token, Fields().photos))


@dataclass(frozen=True)
class QueryPolicy:
    """name: how it is called where it shut something out.

    only: the tokens that may be asked for, None for all. forbid: tokens that may not be, and the
    least weight from which a document that holds one is no hit, None for any. bias: factors of
    tokens. most_tokens: of a question, the strongest stay. most_weight: of a token, after its bias.
    rules: what each hit must match besides.
    held_in: where documents hold tokens, beside the fields that a query asks. A query without
    tokens (of text, of values alone) is held to `forbid` by it.
    """

    name: str
    only: frozenset[str] | None = None
    forbid: Mapping[str, float | None] = field(default_factory=dict)
    bias: Mapping[str, float] = field(default_factory=dict)
    most_tokens: int | None = None
    most_weight: float | None = None
    rules: tuple[Query, ...] = ()
    held_in: tuple[TokenField, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.only, str) or not self.name:
            raise UsageError("a policy has a name, and `only` is a set of tokens")
        kept = {"forbid": dict(self.forbid), "bias": dict(self.bias)}  # a caller's may change
        kept |= {} if self.only is None else {"only": frozenset(self.only)}
        for name, value in kept.items():
            object.__setattr__(self, name, value)
        make_tuples(self, "rules", of=Node)
        make_tuples(self, "held_in", of=TokenField)
        numbers = {f"the least weight of {token!r}": n for token, n in self.forbid.items()}
        numbers |= {f"the bias of {token!r}": factor for token, factor in self.bias.items()}
        for what, number in {**numbers, "most_weight": self.most_weight}.items():
            if number is not None:
                _positive(f"policy {self.name}: {what}", number)
        if self.most_tokens is not None and self.most_tokens < 1:
            raise UsageError(f"policy {self.name}: most_tokens is 1 or more")

    def __hash__(self) -> int:
        return hash((self.name, self.only, self.most_tokens, self.most_weight, self.rules))

    @classmethod
    def load(cls, file: str | Path) -> QueryPolicy:
        """Reads a file, see `policy_file`. Raises UsageError."""
        from stair_search.queries.policy_file import read_query_policy

        return read_query_policy(Path(file))

    @property
    def tokens(self) -> list[str]:
        """All that it names, each once; an application holds them against its vocabulary."""
        return list(dict.fromkeys([*sorted(self.only or ()), *self.forbid, *self.bias]))

    def allows(self, token: str) -> bool:
        """Whether it may be asked for."""
        return token not in self.forbid and (self.only is None or token in self.only)

    @overload
    def apply(self, query: Search) -> Search: ...

    @overload
    def apply(self, query: Hybrid) -> Hybrid: ...

    @overload
    def apply(self, query: Query) -> Governed: ...

    def apply(self, query: Query | Search | Hybrid) -> Query | Search | Hybrid:
        """The query as it may be asked. Applied to its own answer it changes nothing.

        Sums lose the tokens that may not be asked for; a rule that demands one matches nothing, by
        `HasToken` or in the keyword field of the strongest tokens; what excludes or demotes stays.
        Documents with a forbidden token are no hits, in any of the fields that the query asks or
        that `held_in` names; of several photos none may hold it.
        Of a `Search` it is the query, of a `Hybrid` each part, held to the fields of all of them.
        Raises UsageError where tokens are forbidden and neither names a field.

        >>> kids = QueryPolicy("kids", forbid={"gun": 0.2}, bias={"toy": 2.0})
        >>> asked = kids.apply(Tokens.of({"gun": 1.5, "toy": 1.0}, "m"))
        >>> asked.must[0].weights, asked.must_not[0].token
        ((('toy', 2.0),), 'gun')
        """
        match query:
            case Search():
                return replace(query, query=self.apply(query.query))
            case Hybrid(parts, rules=rules):
                asked = [field for one in query.queries for field in _token_fields(one)]
                return replace(
                    query,
                    parts=tuple((name, self._governed(one, asked)) for name, one in parts),
                    rules=tuple(self._allowed(rule, asked) for rule in rules),
                )
            case Node():
                return self._governed(query, _token_fields(query))
        raise UsageError(f"policy {self.name} is laid over a query, not over {query!r:.60}")

    def _governed(self, query: Query, asked: list[TokenField]) -> Governed:
        biased = rewritten(query, self._biased, skip=self._governs)
        allowed = self._allowed(biased, asked)
        if self.most_tokens is not None:
            allowed = pruned(allowed, self.most_tokens).query
        excluding = tuple(self._excluding(asked))
        allowed = looking_among(allowed, (*self.rules, Bool(must_not=excluding)))
        flat = type(allowed) is Bool or self._governs(allowed)
        root = allowed if flat and isinstance(allowed, Bool) else Bool(must=(allowed,))
        return Governed(
            root.must,
            root.should,
            (*root.filter, *(rule for rule in self.rules if rule not in root.filter)),
            (*root.must_not, *(rule for rule in excluding if rule not in root.must_not)),
            root.minimum,
            policy=self,
            added=(*self.rules, *excluding),
        )

    def _governs(self, query: Query) -> bool:
        return isinstance(query, Governed) and query.policy == self

    def _biased(self, leaf: Query, asked: bool, path: str | None) -> Query:
        if not (asked and self.bias and isinstance(leaf, Tokens)):
            return leaf
        weights = ((token, weight * self.bias.get(token, 1)) for token, weight in leaf.weights)
        return replace(leaf, weights=tuple(pair for pair in weights if abs(pair[1]) >= _LEAST))

    def _allowed(self, query: Query, asked: Iterable[TokenField]) -> Query:
        """asked: the fields of tokens, beside those that the policy knows."""
        most = math.inf if self.most_weight is None else self.most_weight
        strongest = {one.strongest for one in (*_USUAL, *self.held_in, *asked)}

        def change(leaf: Query, asked: bool, path: str | None) -> Query:
            demanded: tuple[str, ...] = ()
            match leaf:
                case _ if not asked:
                    pass
                case Tokens(weights):
                    kept = ((t, min(weight, most)) for t, weight in weights if self.allows(t))
                    return replace(leaf, weights=tuple(kept))
                case HasToken(token):
                    demanded = (token,)
                case Term(field, token) if field in strongest:
                    demanded = (token,)
                case Terms(field, tokens) if field in strongest:
                    demanded = tokens
                case Range(field) | Exists(field) | Match(field) if field in strongest:
                    if self.forbid or self.only is not None:  # whose tokens are not told
                        return Refused(must_not=(All(),), policy=self.name, token=field)
            for token in demanded:
                if not self.allows(token):
                    return Refused(must_not=(All(),), policy=self.name, token=token)
            return leaf

        return rewritten(query, change, skip=lambda one: one in self.rules)

    def _excluding(self, asked: Iterable[TokenField]) -> Iterator[Query]:
        """What no hit may match."""
        if not self.forbid:
            return
        if not (asked or self.held_in):
            raise UsageError(
                f"policy {self.name} forbids tokens, and the query asks for none: `held_in` tells "
                "in which field documents hold them, and of which model"
            )
        anyhow = {token: 1.0 for token, least in self.forbid.items() if least is None}
        for model, name, path in dict.fromkeys([*asked, *self.held_in]):
            # one clause for them all: engines count a clause a token, and of HasToken two
            holds: list[Query] = [Tokens.of(anyhow, model, name, "forbidden")] if anyhow else []
            for token, least in self.forbid.items():
                if least is not None:
                    holds.append(HasToken(token, model, least, name))
            yield from (BestPhoto(one, path) if path else one for one in holds)


def _token_fields(query: Query) -> list[TokenField]:
    """Those that the query names."""
    fields: list[TokenField] = []

    def see(leaf: Query, _: bool, path: str | None) -> Query:
        if isinstance(leaf, Tokens | HasToken):
            fields.append(TokenField(leaf.model, leaf.field, path))
        return leaf

    rewritten(query, see)
    return fields


@dataclass(frozen=True, slots=True)
class Governed(Bool):
    """What a policy made of a query. added: the rules and exclusions that it put there."""

    policy: QueryPolicy | None = None
    added: tuple[Query, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused(Bool):
    """Stands where a token was demanded that may not be asked for; matches nothing."""

    policy: str = ""
    token: str = ""

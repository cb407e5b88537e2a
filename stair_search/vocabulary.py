"""The vocabulary: token id <-> token <-> name that is safe inside a field.

Does not split text into tokens; that is the encoder's part.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from stair_search.errors import UsageError
from stair_search.tokens import TokenWeights


def escape(token: str) -> str:
    """A token as the key of a `rank_features` object.

    Engines split a field's path at its dots: a key with one is refused, or never found. No token of
    BERT holds two underscores in a row, so they stand for the dot (a single one would collide with
    the token "_").

    >>> escape("..."), escape("##."), escape("_")
    ('______', '##__', '_')
    """
    return token.replace(".", "__")


def unescape(name: str) -> str:
    """The token behind a key.

    >>> unescape("##__")
    '##.'
    """
    return name.replace("__", ".")


class Vocabulary:
    """An ordered list of tokens; the place of a token is its id.

    Raises ValueError where a token stands twice or could not be stored and read back.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tuple(tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            twice = next(t for i, t in enumerate(self.tokens) if self._ids[t] != i)
            raise ValueError(f"token {twice!r} stands twice in the vocabulary")
        for token in self.tokens:
            if not token or unescape(escape(token)) != token:
                raise ValueError(f"token {token!r} cannot be the name of a feature")

    @classmethod
    def from_file(cls, path: str | Path) -> Vocabulary:
        """Reads BERT's `vocab.txt`: one token a line, UTF-8, the line's number is the id."""
        return cls(Path(path).read_text("utf-8").removesuffix("\n").split("\n"))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def token(self, id: int) -> str:
        return self.tokens[id]

    def id(self, token: str) -> int:
        """Raises KeyError for a token that is not there; see `similar`."""
        return self._ids[token]

    @cached_property
    def fingerprint(self) -> str:
        """12 hex digits that change with any token or its place."""
        return hashlib.sha256("\n".join(self.tokens).encode()).hexdigest()[:12]

    def similar(self, token: str, n: int = 3) -> list[str]:
        """Tokens spelled like this one, nearest first.

        >>> Vocabulary(["dog", "dogs", "cat"]).similar("dogg")
        ['dog', 'dogs']
        """
        return difflib.get_close_matches(token, self.tokens, n)

    def to_dict(self, tokens: TokenWeights) -> dict[str, float]:
        """Token -> weight, strongest first.

        >>> Vocabulary(["cat", "dog"]).to_dict(TokenWeights([0, 1], [0.5, 2]))
        {'dog': 2.0, 'cat': 0.5}
        """
        return self._named(self.tokens, tokens)

    def to_features(self, tokens: TokenWeights) -> dict[str, float]:
        """The same as the object of a `rank_features` field, see `escape`."""
        return self._named(self._features, tokens)

    @cached_property
    def _features(self) -> tuple[str, ...]:
        return tuple(map(escape, self.tokens))

    @staticmethod
    def _named(names: tuple[str, ...], tokens: TokenWeights) -> dict[str, float]:
        order = tokens.order()
        chosen = map(names.__getitem__, tokens.ids[order].tolist())
        return dict(zip(chosen, tokens.weights[order].tolist(), strict=True))

    def from_dict(self, weights: Mapping[str, float]) -> TokenWeights:
        """The way back. Raises KeyError for an unknown token, ValueError for a bad weight."""
        pairs = sorted((self._ids[token], weight) for token, weight in weights.items())
        ids = np.array([i for i, _ in pairs], np.int32)
        return TokenWeights(ids, np.array([w for _, w in pairs], np.float64))


def check_known(tokens: Iterable[str], vocabulary: Vocabulary, where: str) -> None:
    """Raises UsageError for what is no token of the vocabulary. where: they were named."""
    for token in tokens:
        if token not in vocabulary:
            near = vocabulary.similar(token)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UsageError(f"{where}: {token!r} is no token of the model{hint}")

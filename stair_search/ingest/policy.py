"""Which tokens may enter an index, and how much they weigh there: a file, applied while indexing.

    # policy.toml
    only = ["dog", "beach"]      # these alone; left out, all

    [forbid]                     # never in the index; each with its reason
    gun = "house rule 12: no weapons in suggestions"

    [bias]                       # factors
    beach = 1.5

A token that is forbidden is in no document, so no question finds a photo by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import UsageError
from stair_search.tokens import TokenWeights
from stair_search.toml import is_texts, read_toml
from stair_search.vocabulary import Vocabulary, check_known

KEPT_AS = "policy.toml"
"""In a job's folder: what is in force there."""

KEYS = ("only", "forbid", "bias")
LEAST = np.finfo(np.float32).tiny
"""Weights below it an inverted index refuses."""


@dataclass(frozen=True)
class Policy:
    """factors: float32 [V], by token id, 0 for what may not be; None changes nothing.

    fingerprint: changes with what the policy does; "" where nothing.
    """

    factors: NDArray[np.float32] | None = None
    fingerprint: str = ""

    def apply(self, tokens: TokenWeights) -> TokenWeights:
        """A photo's tokens as they may be stored."""
        if self.factors is None:
            return tokens
        weights = tokens.weights * self.factors[tokens.ids]
        kept = weights >= LEAST
        return TokenWeights(tokens.ids[kept], weights[kept])


def read_policy(file: Path, vocabulary: Vocabulary) -> Policy:
    """Raises UsageError for what cannot be read, and for a token that the model does not have."""
    only, forbid, bias = _read(file)
    if only is None and not forbid and not bias:
        return Policy()
    factors = np.full(len(vocabulary), 1 if only is None else 0, np.float32)
    if only is not None:
        factors[_ids(file, only, vocabulary)] = 1
    factors[_ids(file, bias, vocabulary)] *= np.array(list(bias.values()), np.float32)
    factors[_ids(file, forbid, vocabulary)] = 0
    what = json.dumps([only, sorted(forbid), bias], sort_keys=True)
    return Policy(factors, hashlib.sha256(what.encode()).hexdigest()[:16])


def forbidden(file: Path) -> dict[str, str]:
    """The tokens that a policy forbids, each with its reason. Raises UsageError."""
    return _read(file)[1]


def _read(file: Path) -> tuple[list[str] | None, dict[str, str], dict[str, float]]:
    told = read_toml(file)
    unknown = sorted(set(told) - set(KEYS))
    if unknown:
        raise UsageError(f"{file}: unknown key {unknown[0]!r}; known: {', '.join(KEYS)}")
    only, forbid, bias = told.get("only"), told.get("forbid", {}), told.get("bias", {})
    _check(file, only, forbid, bias)
    return only, forbid, bias


def _check(file: Path, only: Any, forbid: Any, bias: Any) -> None:
    if only is not None and not is_texts(only):
        raise UsageError(f"{file}: only is a list of tokens")
    if not isinstance(forbid, dict) or not all(isinstance(r, str) and r for r in forbid.values()):
        raise UsageError(f'{file}: [forbid] says for each token why: gun = "house rule 12"')
    if not isinstance(bias, dict):
        raise UsageError(f"{file}: [bias] is a table of tokens and factors")
    for token, factor in bias.items():
        number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not number or not 0 < factor < 1e6:
            raise UsageError(
                f"{file}: bias {token} = {factor!r} is no positive factor (what is to be nowhere "
                "stands in [forbid])"
            )


def _ids(file: Path, tokens: Iterable[str], vocabulary: Vocabulary) -> list[int]:
    check_known(tokens, vocabulary, str(file))
    return [vocabulary.id(token) for token in tokens]

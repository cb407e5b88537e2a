from __future__ import annotations

import pytest

from stair_search.cli import clauses
from stair_search.errors import UsageError
from stair_search.queries import Match

VOCABULARY = {"dog", "person", ":", ".", "^", "3"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("dog", ("dog", None)),
        ("Dogs", ("dogs", None)),
        ("person:0.3", ("person", 0.3)),
        ("person:1e-3", ("person", 0.001)),
        (":", (":", None)),
        ("::0.5", (":", 0.5)),
        (".", (".", None)),
        (".:2", (".", 2.0)),
        ("^", ("^", None)),
        ("3:5", ("3", 5.0)),
        ("a:b", ("a:b", None)),
        ("golden retriever", ("golden retriever", None)),
    ],
)
def test_without(text: str, parts: tuple[str, float | None]) -> None:
    assert clauses.without(text, VOCABULARY) == parts


@pytest.mark.parametrize("text", ["dog:", "dog:much", "dog:0", "dog:-1", "dog:nan", "dog:inf"])
def test_a_threshold_that_is_none_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(UsageError, match=text):
        clauses.without(text, VOCABULARY)


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("caption:red bus", Match("caption", "red bus", 1.0)),
        ("caption:red bus^2.5", Match("caption", "red bus", 2.5)),
        ("caption:x^y", Match("caption", "x^y", 1.0)),
        ("caption:2^3", Match("caption", "2", 3.0)),
        ("caption:12:30 train", Match("caption", "12:30 train", 1.0)),
    ],
)
def test_match(text: str, clause: Match) -> None:
    assert clauses.match(text) == clause


@pytest.mark.parametrize(
    "text", ["caption", "caption:", ":bus", "caption: ^2", "caption:bus^0", "caption:bus^-1"]
)
def test_a_match_that_is_none_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(UsageError, match=r"--match"):
        clauses.match(text)


def test_a_filter_splits_at_the_first_equals_sign() -> None:
    assert clauses.value("url=a=b") == ("url", "a=b")
    assert clauses.value("licence=") == ("licence", "")


@pytest.mark.parametrize("text", ["licence", "=cc0"])
def test_a_filter_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="FIELD=VALUE"):
        clauses.value(text)

from __future__ import annotations

import json
from typing import Any

import pytest

from stair_search.cli import explain
from stair_search.engines.embedded import SqliteEngine
from stair_search.engines.explain import Explanation

from .conftest import Cli


def explained(cli: Cli, *args: str) -> dict[str, Any]:
    result = cli("explain", *args, "--format", "json")
    assert result.exit_code == 0, result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    assert list(told) == ["matched", "score", "why", "lacks", "excluded_by"]
    return told


def test_a_hit_has_the_score_and_reasons_of_the_search(cli: Cli, collection: list[str]) -> None:
    told = explained(cli, "dog", "beach", "bus", "--id", "people", *collection)
    found = json.loads(cli("search", "dog beach bus", *collection, "--format", "json").stdout)
    (hit,) = [hit for hit in found["hits"] if hit["id"] == "people"]
    assert told["matched"] is True
    assert told["score"] == hit["score"]
    assert told["why"] == hit["why"]
    assert (told["lacks"], told["excluded_by"]) == (["bus"], [])


def test_every_rule_that_shuts_a_document_out_is_named(cli: Cli, collection: list[str]) -> None:
    rules = ["--without", "person:0.1", "--require", "bus", "--filter", "licence=cc0"]
    told = explained(cli, "dog", *rules, "--without", "cat", "--id", "people", *collection)
    assert (told["matched"], told["score"], told["why"]) == (False, 0, [])
    without, require, filtered = sorted(told["excluded_by"], key=lambda rule: rule[0] != "w")
    assert without.startswith("without person:0.1 (has 0.")
    assert {require, filtered} == {"require bus", "filter licence=cc0 (has by)"}


def test_what_shares_no_token_is_not_matched_though_nothing_excludes_it(
    cli: Cli, collection: list[str]
) -> None:
    told = explained(cli, "dog", "--id", "bus", *collection)
    assert told == {
        "matched": False,
        "score": 0,
        "why": [],
        "lacks": ["dog"],
        "excluded_by": [],
    }


def test_an_unknown_id_ends_with_2(cli: Cli, sqlite: list[str]) -> None:
    result = cli("explain", "dog", "--id", "nobody", *sqlite)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Error: index 'photos' holds no document 'nobody'\n"


def test_a_table_for_people(cli: Cli, sqlite: list[str]) -> None:
    result = cli("explain", "dog bus", "--id", "beach", *sqlite)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("matched, score 0.")
    assert lines[2].split()[:2] == ["question", "dog"]
    assert lines[-1] == "lacks: bus"


@pytest.mark.parametrize("args", [["--id", "beach"], ["dog"]])
def test_both_a_question_and_an_id_are_needed(cli: Cli, sqlite: list[str], args: list[str]) -> None:
    assert cli("explain", *args, *sqlite).exit_code == 2


def test_tokens_cannot_move_the_cursor() -> None:
    told = Explanation(False, 0.0, [], ["\x1b[2J"], [])
    assert list(explain._lines(told)) == ["not matched", "lacks: \\x1b[2J"]


def test_a_document_that_is_newer_than_the_search(
    cli: Cli, sqlite: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine gives a document as it is, and finds it as it was at the last refresh."""
    found = SqliteEngine.get

    def newer(self: SqliteEngine, index: str, id: str) -> Any:
        return {**(found(self, index, id) or {}), "stair": [{}]}

    monkeypatch.setattr(SqliteEngine, "get", newer)
    told = explained(cli, "dog", "--without", "person", "--id", "people", *sqlite)
    assert told["excluded_by"] == ["without person"]


def test_words_that_a_text_lacks_are_told(cli: Cli, collection: list[str]) -> None:
    told = explained(cli, "--match", "caption:Zebra zebra", "--id", "people", *collection)
    assert (told["matched"], told["lacks"]) == (False, ["caption:zebra"])

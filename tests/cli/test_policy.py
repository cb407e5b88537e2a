"""`search` and `explain` under a policy, and questions of more tokens than an engine takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stair_search.engines import checks, fit
from stair_search.engines.base import Document
from stair_search.engines.connect import connect

from . import test_several_photos
from .conftest import Cli

products = test_several_photos.products


@pytest.fixture
def kids(tmp_path: Path) -> list[str]:
    file = tmp_path / "kids.toml"
    file.write_text('[forbid]\nperson = "house rule 12"\nbus = { why = "13", least = 0.9 }\n')
    return ["--policy", str(file)]


def found(cli: Cli, *args: str) -> list[str]:
    result = cli("search", *args, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return [hit["id"] for hit in json.loads(result.stdout)["hits"]]


def explained(cli: Cli, *args: str) -> dict[str, Any]:
    result = cli("explain", *args, "--format", "json")
    assert result.exit_code == 0, result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_a_policy_holds_whatever_is_asked(cli: Cli, collection: list[str], kids: list[str]) -> None:
    assert found(cli, "dog", *collection) == ["beach", "people"]
    assert found(cli, "dog", *kids, *collection) == ["beach"]
    for asked in ("person", "9:person", "require:person", "dog require:person", "dog - dog"):
        assert found(cli, asked, *kids, *collection) == []
    assert found(cli, "dog person without:sand", *kids, *collection) == []
    # text and values alone, for which no model is asked
    assert found(cli, "--match", "caption:person", *collection) == ["people"]
    assert found(cli, "--match", "caption:person", *kids, *collection) == []
    assert found(cli, "--match", "caption:dog", *kids, *collection) == ["beach"]
    both = ["dog", "--match", "caption:dog", "--fuse", "rrf", *collection]
    assert sorted(found(cli, *both)) == ["beach", "people"]
    assert found(cli, *both, *kids) == ["beach"]
    assert found(cli, "--filter", "licence=by", *kids, *collection) == ["bus", "cat"]
    assert found(cli, "red", *kids, *collection) == ["bus"]  # has less than 0.9 of it


def test_what_is_not_asked_for_is_told(cli: Cli, sqlite: list[str], kids: list[str]) -> None:
    for asked in ("a person with a dog", "dog require:person", "person require:person"):
        result = cli("search", asked, *kids, *sqlite)
        assert result.stderr.count("Warning: policy kids does not let ask for person\n") == 1
    assert cli("search", "a dog", *kids, *sqlite).stderr == ""


def test_explain_names_the_policy(cli: Cli, collection: list[str], kids: list[str]) -> None:
    told = explained(cli, "dog person", *kids, "--id", "people", *collection)
    assert told["matched"] is False and told["lacks"] == []
    (rule,) = told["excluded_by"]
    assert rule.startswith("policy kids: forbids person (has 0.")
    told = explained(cli, "dog", "--without", "person", *kids, "--id", "people", *collection)
    own, policy = told["excluded_by"]
    assert own.startswith("without person (has") and policy.startswith(
        "policy kids: forbids person"
    )
    told = explained(cli, "require:person dog", *kids, "--id", "beach", *collection)
    assert told["excluded_by"] == ["policy kids: does not let ask for person"]
    told = explained(cli, "dog", *kids, "--id", "beach", *collection)
    assert (told["matched"], told["excluded_by"]) == (True, [])


def test_rules_and_least_weights_in_words(cli: Cli, sqlite: list[str], tmp_path: Path) -> None:
    file = tmp_path / "any.toml"
    file.write_text("""
        name = "cc0 only"
        [forbid]
        street = { why = "x", least = 0.2 }
        [filter]
        licence = ["cc0", "pd"]
    """)
    told = explained(cli, "bus", "--policy", str(file), "--id", "bus", *sqlite)
    assert told["excluded_by"] == [
        "policy cc0 only: filter licence=cc0 or pd (has by)",
        "policy cc0 only: forbids street:0.2 (has 0.5762)",
    ]


def test_of_several_photos_none_may_hold_it(cli: Cli, products: list[str], kids: list[str]) -> None:
    assert found(cli, "dog", *kids, *products) == ["home"]
    assert found(cli, "--filter", "shop=w", *kids, *products) == []
    assert found(cli, "--match", "caption:bus", *kids, *products) == []
    (rule,) = explained(cli, "dog", *kids, "--id", "walk", *products)["excluded_by"]
    assert rule.startswith("policy kids: forbids person (has 0.")
    told = explained(cli, "dog", "--require", "person", *kids, "--id", "home", *products)
    assert told["excluded_by"] == ["policy kids: does not let ask for person"]


def test_photos_of_another_model_are_held_to_it_too(
    cli: Cli, sqlite: list[str], kids: list[str]
) -> None:
    engine = connect(sqlite[1])
    old = {"stair": [{"person": 1.0}], "stair_model": "old", "caption": "a dog", "licence": "old"}
    assert engine.bulk("photos", [Document("old", old)])[0].ok
    engine.refresh("photos")
    engine.close()
    assert found(cli, "--filter", "licence=old", *sqlite) == ["old"]
    assert found(cli, "--filter", "licence=old", *kids, *sqlite) == []


def test_only_bias_and_caps(cli: Cli, sqlite: list[str], tmp_path: Path) -> None:
    file = tmp_path / "toys.toml"
    file.write_text('only = ["dog", "bus"]\n[bias]\nbus = 5\n[caps]\ntokens = 1\nweight = 1\n')
    result = cli("search", "dog bus cat", "--policy", str(file), *sqlite, "--format", "json")
    (hit,) = json.loads(result.stdout)["hits"]
    assert (hit["id"], [(why["token"], why["query"]) for why in hit["why"]]) == (
        "bus",
        [("bus", 1)],
    )


@pytest.fixture
def only(tmp_path: Path) -> list[str]:
    file = tmp_path / "only.toml"
    file.write_text('only = ["dog", "bus"]\n')
    return ["--policy", str(file)]


def test_no_filter_asks_for_what_is_not_allowed(
    cli: Cli, collection: list[str], only: list[str]
) -> None:
    person, dog = "filter:stair_tokens=person", "filter:stair_tokens=dog"
    assert found(cli, person, *collection) == ["people"]
    assert found(cli, person, *only, *collection) == []
    assert found(cli, dog, *only, *collection) == found(cli, dog, *collection) != []


def test_facets_name_what_is_allowed_alone(cli: Cli, sqlite: list[str], only: list[str]) -> None:
    asked = ["dog", "--facet", "stair_tokens:50", "--facet", "licence", *sqlite, "--format", "json"]
    free, told = (json.loads(cli("search", *asked, *more).stdout) for more in ([], only))
    assert {"dog", "person"} <= {one["value"] for one in free["facets"]["stair_tokens"]}
    assert {one["value"] for one in told["facets"]["stair_tokens"]} == {"dog"}
    assert told["facets"]["licence"] == free["facets"]["licence"]


def test_nor_of_several_photos(cli: Cli, products: list[str], only: list[str]) -> None:
    person = ["--filter", "views.stair_tokens=person", *products]
    assert found(cli, *person) != []
    assert found(cli, *person, *only) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[forbid]\nperso = "x"', "'perso' is no token of the model; did you mean person?"),
        ('only = ["Dog"]', "'Dog' is no token of the model; did you mean dog?"),
        ("[forbidden]", "unknown key 'forbidden'"),
    ],
)
def test_a_policy_that_would_not_do_what_it_says(
    cli: Cli, sqlite: list[str], tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    for command in (["search"], ["explain", "--id", "beach"]):
        result = cli(*command, "--filter", "licence=cc0", "--policy", str(file), *sqlite)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr


def test_a_policy_from_the_settings(cli: Cli, sqlite: list[str], kids: list[str]) -> None:
    Path("stair-search.toml").write_text(f"[search]\npolicy = {json.dumps(kids[1])}\n")
    assert found(cli, "dog", *sqlite) == ["beach"]


def test_a_question_of_too_many_tokens_is_asked_with_the_strongest(
    cli: Cli, sqlite: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (checks, fit):
        monkeypatch.setattr(module, "MOST_CLAUSES", 4)
    result = cli("search", "3:bus red street 0.1:dog 0.1:beach", *sqlite, "--format", "json")
    assert result.exit_code == 0
    assert "of 5 tokens that are asked for the 2 weakest are left out" in result.stderr
    assert [hit["id"] for hit in json.loads(result.stdout)["hits"]] == ["bus"]
    told = cli("search", "--match", "caption:a b c d e", *sqlite)
    assert told.exit_code == 2 and "ask with fewer words" in told.stderr

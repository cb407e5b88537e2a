from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Cli


def test_create_prints_the_body_and_show_the_mapping(
    cli: Cli, engine_url: str, index_name: str
) -> None:
    at = ["--url", engine_url, "--index", index_name, "--format", "json"]
    flags = ["--token-field", "look", "--column", "taken=integer", "--replicas", "0"]
    made = cli("index", "create", *flags, *at)
    assert made.exit_code == 0, made.stderr
    body = json.loads(made.stdout)
    assert body["mappings"]["properties"]["look"] == {"type": "rank_features"}
    assert body["settings"]["index"]["number_of_replicas"] == 0
    assert f"made index {index_name!r}" in made.stderr
    shown = cli("index", "show", *at)
    assert shown.exit_code == 0
    mapping = json.loads(shown.stdout)["mappings"]
    assert {"look", "look_model", "taken", "image"} <= set(mapping["properties"])
    assert mapping["_meta"] == body["mappings"]["_meta"]


def test_an_index_that_is_there_is_never_touched(cli: Cli, collection: list[str]) -> None:
    at = collection[:4]
    result = cli("index", "create", *at)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "nothing was changed" in result.stderr
    assert cli("index", "create", "--dry-run", *at).exit_code == 0
    assert "4 documents" in cli("index", "show", *at).stdout


def test_a_dry_run_makes_nothing(cli: Cli, engine_url: str, index_name: str) -> None:
    at = ["--url", engine_url, "--index", index_name]
    assert cli("index", "create", "--dry-run", *at).exit_code == 0
    result = cli("index", "show", *at)
    assert result.exit_code == 3
    assert f"no index {index_name!r}" in result.stderr


def test_a_column_that_cannot_be_is_refused(cli: Cli) -> None:
    for column in ("taken", "taken=", "=integer", "taken=colour"):
        result = cli("index", "create", "--column", column)
        assert (result.exit_code, result.stdout) == (2, "")
    assert "there are: keyword" in result.stderr


def test_names_of_fields_must_differ(cli: Cli) -> None:
    result = cli("index", "create", "--caption-field", "image")
    assert result.exit_code == 2
    assert "must differ" in result.stderr


@pytest.mark.parametrize(
    "column", ["stair=keyword", "width=text", "a.b=text", "_id=text", "year=long"]
)
def test_a_column_with_a_taken_or_odd_name_is_refused(
    cli: Cli, tmp_path: Path, column: str
) -> None:
    url = f"sqlite:{tmp_path / 'x.db'}"
    result = cli("index", "create", "--column", "year=integer", "--column", column, "--url", url)
    assert result.exit_code == 2
    assert repr(column.partition("=")[0]) in result.stderr
    assert not (tmp_path / "x.db").exists()


def test_a_field_for_vectors(cli: Cli, engine_url: str, index_name: str) -> None:
    at = ["--url", engine_url, "--index", index_name, "--dry-run", "--format", "json"]
    body = json.loads(cli("index", "create", *at, "--vector", "clip=512").stdout)
    made = body["mappings"]["properties"]["clip"]
    assert made["type"] in ("dense_vector", "knn_vector")
    assert 512 in made.values()
    for wrong, why in [
        (["--vector", "clip"], "NAME=NUMBERS"),
        (["--vector", "clip=0"], "1 to 4,096"),
        (["--vector", "stair=3"], "cannot be a further field"),
        (["--column", "a=keyword", "--vector", "a=3"], "given twice"),
        (["--column", "a=5"], "cannot have the type"),
    ]:
        result = cli("index", "create", *at, *wrong)
        assert result.exit_code == 2, wrong
        assert why in result.stderr

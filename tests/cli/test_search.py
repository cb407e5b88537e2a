from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from stair_search.engines import Document, connect

from .conftest import Cli, fill


def ids(cli: Cli, *args: str) -> list[str]:
    result = cli("search", *args, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return [hit["id"] for hit in json.loads(result.stdout)["hits"]]


def test_hits_have_the_shape_of_the_contract_and_their_reasons_add_up(
    cli: Cli, collection: list[str]
) -> None:
    result = cli(
        "search",
        "a",
        "dog on the beach",
        "--match",
        "caption:sand^2",
        *collection,
        "--format",
        "json",
    )
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert list(found) == ["total", "total_relation", "took_ms", "hits"]
    assert (found["total"], found["total_relation"]) == (2, "eq")
    first = found["hits"][0]
    assert first["id"] == "beach"
    assert list(first) == ["id", "score", "source", "why"]
    assert first["source"]["caption"] == "a dog on the beach, sand"
    assert [list(reason) for reason in first["why"]] == [
        ["part", "token", "query", "image", "score"]
    ] * 3
    assert {r["token"] for r in first["why"]} == {"dog", "beach", "sand"}
    assert np.isclose(sum(r["score"] for r in first["why"]), first["score"], rtol=1e-5)


def test_rules(cli: Cli, collection: list[str]) -> None:
    dogs = ["search", "dog", *collection]
    assert ids(cli, *dogs[1:]) == ["beach", "people"]
    assert ids(cli, *dogs[1:], "--without", "person") == ["beach"]
    assert ids(cli, *dogs[1:], "--without", "person:0.01") == ["beach"]
    assert ids(cli, *dogs[1:], "--without", "person:9") == ["beach", "people"]
    assert ids(cli, *dogs[1:], "--require", "Person") == ["people"]
    assert ids(cli, *dogs[1:], "--filter", "licence=by") == ["people"]
    assert ids(cli, *dogs[1:], "--size", "1") == ["beach"]
    assert ids(cli, "--require", "bus", *collection) == ["bus"]
    assert ids(cli, "--match", "caption:couch", *collection) == ["cat"]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("dog without:person", ["beach"]),
        ("dog without:person:9", ["beach", "people"]),
        ("dog Require:Person", ["people"]),
        ("dog filter:licence=by", ["people"]),
        ("dog filter:licence!=by", ["beach"]),
        ("dog filter:licence>=c", ["beach"]),
        ("caption:couch", ["cat"]),
        ("caption:(couch OR nothing)^2 + caption:zebra", ["cat"]),
        ("caption:(dog AND sand)", ["beach"]),
        ("dog - dog", []),
        ("dog without:person without:person:9", ["beach"]),
        ("tour ./deutschland dog", ["beach", "people"]),
        ("dog " + "- a " * 300, ["beach", "people"]),
        ("0.5:dog + 3:bus", ["bus", "beach", "people"]),
        ("3:dog + 0.1:bus", ["beach", "people", "bus"]),
        ("dog 16:9 foo:bar (", ["beach", "people"]),
        ("-", []),
    ],
)
def test_a_question_in_its_grammar(
    cli: Cli, collection: list[str], question: str, found: list[str]
) -> None:
    assert ids(cli, question, *collection) == found


def test_a_photo_within_a_question(cli: Cli, sqlite: list[str]) -> None:
    missing = cli("search", "dog ./nowhere.jpg", *sqlite)
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "./nowhere.jpg: no such file" in missing.stderr
    there = cli("search", "https://example.org/a.jpg", *sqlite)
    assert there.exit_code == 2 and "save it first" in there.stderr


def test_a_field_that_cannot_be_typed_hinders_no_question(
    cli: Cli, sqlite: list[str], tmp_path: Path
) -> None:
    engine = connect(sqlite[1])
    odd = {"@timestamp": "a", "2x": "b", "filter": "c"}
    assert engine.bulk("photos", [Document("odd", odd)])[0].ok
    engine.close()
    assert ids(cli, "dog filter:licence=cc0", *sqlite) == ["beach"]
    assert ids(cli, "--filter", "@timestamp=a", *sqlite) == ["odd"]


def test_a_strict_question_points_at_its_mistake(cli: Cli, sqlite: list[str]) -> None:
    result = cli("search", "--strict", "dog captoin:couch", *sqlite)
    assert result.exit_code == 2
    assert "there is no 'captoin' here; near it: caption" in result.stderr
    assert result.stderr.endswith("\n  dog captoin:couch\n      ^\n")


def test_words_that_say_nothing_find_nothing_and_say_so(cli: Cli, collection: list[str]) -> None:
    for words in ("the of", "xylophone", "!!", "xylophone --filter licence=by"):
        result = cli("search", *words.split(), *collection)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "says nothing to the model" in result.stderr
        assert "no hits" in result.stderr
    assert ids(cli, "xylophone", "--match", "caption:couch", *collection) == ["cat"]


def test_ten_thousand_words(cli: Cli, sqlite: list[str]) -> None:
    assert ids(cli, " ".join(f"dog{i} beach" for i in range(5000)), *sqlite) == ["beach", "people"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--without", "dogg"], "no such token, so it leaves nothing out; near it: dog"),
        (["--require", "beaches"], "no such token, so nothing can match; near it: beach"),
        (["--require", "red bus"], "near it: red, bus"),
        (["--without", "running"], "near it: ##ning, run"),
    ],
)
def test_a_token_that_is_none_brings_a_warning_that_names_near_ones(
    cli: Cli, sqlite: list[str], flags: list[str], told: str
) -> None:
    result = cli("search", "dog", *flags, *sqlite)
    assert result.exit_code == 0
    assert told in result.stderr


def test_a_token_that_is_none_is_refused_where_it_is_to_be_strict(
    cli: Cli, sqlite: list[str]
) -> None:
    result = cli("search", "dog without:dogg", "--strict", *sqlite)
    assert result.exit_code == 2
    assert "without dogg: the model has no such token" in result.stderr


def test_numbers_compared_as_text_bring_a_warning(cli: Cli, sqlite: list[str]) -> None:
    result = cli("search", "dog filter:licence>=100", *sqlite)
    assert "licence is kept as text, so that 9 is more than 10" in result.stderr


def test_fused_from_a_place_on(cli: Cli, collection: list[str]) -> None:
    asked = ["dog", "--match", "caption:couch", "--fuse", "rrf", *collection]
    every = ids(cli, *asked)
    assert len(every) == 3
    assert ids(cli, *asked, "--from", "1") == every[1:]
    result = cli("search", *asked, "--facet", "licence", "--min-score", "1")
    assert result.exit_code == 2
    assert "leave out --min-score, --facet" in result.stderr


def test_a_token_that_no_photo_holds_brings_a_warning(cli: Cli, sqlite: list[str]) -> None:
    result = cli("search", "dog", "--without", ":", *sqlite)
    assert "no photo in 'photos' holds it" in result.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "nothing is asked"),
        ([""], "nothing is asked"),
        (["  "], "nothing is asked"),
        (["dog", "--match", "title:dog"], "no field 'title'; it has caption"),
        (["dog", "--filter", "licens=cc0"], "no field 'licens'; it has caption"),
        (["dog", "--match", "licence:cc0"], "licence"),
        (["dog", "--match", "caption"], "FIELD:TEXT"),
        (["dog", "--filter", "licence"], "FIELD=VALUE"),
        (["dog", "--without", "dog:x"], "TOKEN:MIN"),
        (["dog", "--match", "caption:" + " ".join(map(str, range(2000)))], "engines take 1024"),
        (["dog", "--size", "0"], "--size"),
        (["--image", "/nowhere/x.jpg"], "/nowhere/x.jpg: no such file"),
        (["--image", __file__], "not a photo"),
    ],
)
def test_what_cannot_be_asked_ends_with_2_and_one_line(
    cli: Cli, sqlite: list[str], args: list[str], told: str
) -> None:
    result = cli("search", *args, *sqlite)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1 or "Usage:" in result.stderr


def test_an_index_that_is_not_there_ends_with_3_and_makes_no_file(
    cli: Cli, sqlite: list[str], tmp_path: Path
) -> None:
    result = cli("search", "dog", *sqlite, "--index", "nope")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no index 'nope'" in result.stderr
    result = cli("search", "dog", *sqlite, "--url", f"sqlite:{tmp_path}/none.db")
    assert result.exit_code == 3
    assert not (tmp_path / "none.db").exists()


def test_an_index_of_another_model_ends_with_4(
    cli: Cli, sqlite: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in tiny_model.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "model.json").write_text((tiny_model / "model.json").read_text().replace('"1"', '"2"'))
    result = cli("search", "dog", *sqlite, "--model", str(other))
    assert (result.exit_code, result.stdout) == (4, "")
    assert "tiny-1-" in result.stderr
    assert "tiny-2-" in result.stderr


def test_a_model_that_is_not_there_ends_with_4(cli: Cli, sqlite: list[str]) -> None:
    result = cli("search", "dog", *sqlite, "--model", "startr")
    assert result.exit_code == 4
    assert "starter" in result.stderr


def test_a_table_for_people_obeys_nothing_that_a_caption_holds(
    cli: Cli, sqlite: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stair_search import connect
    from stair_search.engines import Document

    engine = connect(sqlite[1])
    evil = "\x1b]0;owned\x07\x1b[2Jdog\r\n\u202e" + "wide 狗" * 40
    engine.bulk("photos", [Document("beach", {"caption": evil, "image": "http://x/\x1b[31m.jpg"})])
    monkeypatch.setenv("COLUMNS", "60")
    result = cli("search", "dog beach sand", *sqlite)
    assert result.exit_code == 0
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(result.stdout)
    assert r"\x1b[31m" in result.stdout
    caption = result.stdout.splitlines()[1]
    assert caption.endswith("…")
    assert len(caption) <= 60
    assert "sand 0." in result.stdout


def test_the_query_that_is_shown_works_when_sent(cli: Cli, collection: list[str]) -> None:
    asked = ["dog", "--without", "person", "--match", "caption:beach^2", *collection]
    result = cli("search", *asked, "--show-query")
    assert result.exit_code == 0
    body = json.loads(result.stdout)
    url, index = collection[1], collection[3]
    if url.startswith("sqlite:"):
        assert "OpenSearch" in result.stderr
        return
    address = f"{url}/{index}/_search"
    assert address in result.stderr
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        sent = {hit["_id"]: hit["_score"] for hit in json.load(answer)["hits"]["hits"]}
    found = json.loads(cli("search", *asked, "--format", "json").stdout)["hits"]
    assert sent == {hit["id"]: pytest.approx(hit["score"]) for hit in found}
    assert list(sent) == ["beach"]


def test_ndjson_is_a_line_a_hit(cli: Cli, sqlite: list[str]) -> None:
    result = cli("search", "dog", *sqlite, "--format", "ndjson")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["beach", "people"]


def test_an_empty_index_has_no_hits(cli: Cli, tmp_path: Path, tiny_model: Path) -> None:
    at = ["--url", f"sqlite:{tmp_path / 'empty.db'}"]
    assert cli("index", "create", *at).exit_code == 0
    result = cli("search", "dog", *at, "--model", tiny_model)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no hits" in result.stderr


def test_an_alias_of_the_default_url_needs_no_option(
    cli: Cli, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("sqlite:stair.db", "photos", tiny_model)
    monkeypatch.setenv("STAIR_SEARCH_MODEL", str(tiny_model))
    assert ids(cli, "bus") == ["bus"]


def test_facets_a_later_page_and_marked_words(cli: Cli, collection: list[str]) -> None:
    asked = ["search", "dog", "--match", "caption:dog", *collection]
    more = ["--from", "1", "--facet", "licence:1", "--highlight", "caption"]
    found = json.loads(cli(*asked, *more, "--format", "json").stdout)
    assert found["total"] == 2
    assert [hit["id"] for hit in found["hits"]] == ["people"]
    assert "<em>dog</em>" in found["hits"][0]["highlights"]["caption"][0]
    assert list(found["facets"]) == ["licence"]
    assert [one["count"] for one in found["facets"]["licence"]] == [1]
    shown = cli(*asked, *more).stdout.splitlines()
    assert shown[0].startswith(" 2  ")
    assert shown[-1] == "2 to 2 of 2 hits"
    assert any(line.startswith("licence: ") for line in shown)
    assert not json.loads(cli(*asked, "--min-score", "99", "--format", "json").stdout)["hits"]
    for wrong, why in [
        (["--facet", "caption"], "cannot be counted"),
        (["--facet", "licence:x"], "FIELD:N"),
        (["--facet", "licence:0"], "1 to"),
        (["--highlight", "nothing"], "no field"),
        (["--from", "9999"], "from 9999 on"),
        (["--min-score", "nan"], "finite"),
    ]:
        result = cli(*asked, *wrong)
        assert result.exit_code == 2
        assert why in result.stderr


def test_words_and_text_fused_by_rank(cli: Cli, collection: list[str]) -> None:
    asked = ["search", "dog", "--match", "caption:sand", "--filter", "licence=cc0", *collection]
    for fuse in ("rrf", "min_max", "l2"):
        found = json.loads(cli(*asked, "--fuse", fuse, "--format", "json").stdout)
        assert [hit["id"] for hit in found["hits"]] == ["beach"]
        why = found["hits"][0]["why"]
        assert {reason["part"] for reason in why} == {"question", "caption"}
        assert np.isclose(sum(r["score"] for r in why), found["hits"][0]["score"])
    assert found["hits"][0]["score"] == pytest.approx(1)
    result = cli(*asked, "--fuse", "rrf", "--facet", "licence")
    assert result.exit_code == 2
    assert "hits alone" in result.stderr
    result = cli("search", "--filter", "licence=cc0", "--fuse", "rrf", *collection)
    assert result.exit_code == 2
    assert "nothing scores" in result.stderr


def test_more_like_a_document(cli: Cli, collection: list[str]) -> None:
    assert ids(cli, "--like", "beach", *collection)[0] == "people"
    assert "beach" not in ids(cli, "dog", "--like", "beach", *collection)
    assert ids(cli, "--like", "beach", "--filter", "licence=cc0", *collection) == []
    result = cli("search", "--like", "nobody", *collection)
    assert result.exit_code == 2
    assert "holds no document 'nobody'" in result.stderr

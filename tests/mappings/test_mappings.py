from __future__ import annotations

import json
from importlib.resources import files

import pytest

from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.mappings import differences, fields_of, index_body, photos_in, types_of


@pytest.mark.parametrize("product", ["opensearch", "elasticsearch"])
@pytest.mark.parametrize("several", [False, True])
def test_the_file_for_curl_is_what_the_code_sends(product: str, several: bool) -> None:
    name = f"{product}-photos.json" if several else f"{product}.json"
    text = files("stair_search.mappings").joinpath(name).read_text("utf-8")
    assert json.loads(text) == index_body(product, several=several)


def test_photos_in_a_nested_field_have_the_fields_of_one() -> None:
    fields = Fields("look", "uri", "text", "w", "h", "views")
    one = index_body("opensearch", fields)["mappings"]
    mappings = index_body("opensearch", fields, {"price": "float"}, several=True)["mappings"]
    assert mappings["properties"] == {
        "views": {"type": "nested", "properties": one["properties"]}, "price": {"type": "float"}
    }  # fmt: skip
    assert fields_of(mappings) == fields
    assert (photos_in(mappings), photos_in(one), photos_in({})) == ("views", None, None)
    assert fields.in_photos().strongest == "views.look_tokens"


def test_an_index_body() -> None:
    body = index_body(
        "opensearch", Fields("look", "uri", "text", "w", "h"), {"price": "float"}, 3, 1
    )
    assert body["settings"] == {"index": {"number_of_shards": 3, "number_of_replicas": 1}}
    mappings = body["mappings"]
    types = {name: mapping["type"] for name, mapping in mappings["properties"].items()}
    assert types == {
        "look": "rank_features", "look_tokens": "keyword", "look_model": "keyword",
        "look_hash": "keyword", "uri": "keyword", "text": "text", "w": "integer", "h": "integer",
        "price": "float",
    }  # fmt: skip
    assert mappings["date_detection"] is False
    assert "_source" not in mappings  # an update would lose what is left out
    assert mappings["_meta"]["stair_search"]["version"] == 1
    assert fields_of(mappings) == Fields("look", "uri", "text", "w", "h")


def test_each_body_is_its_own() -> None:
    index_body("opensearch")["mappings"]["properties"].clear()
    assert "stair" in index_body("opensearch")["mappings"]["properties"]


def test_keywords_never_fail_a_document() -> None:
    """Lucene's limit is 32,766 bytes; a character has at most 4, of two UTF-16 units then."""
    mappings = index_body("elasticsearch", columns={"note": "keyword"})["mappings"]
    (dynamic,) = mappings["dynamic_templates"]
    for mapping in (*mappings["properties"].values(), *(d["mapping"] for d in dynamic.values())):
        assert mapping["type"] != "keyword" or mapping["ignore_above"] * 4 <= 32_766


def test_a_column_does_not_replace_a_field() -> None:
    body = index_body("opensearch", columns={"caption": "keyword"})
    assert body["mappings"]["properties"]["caption"] == {"type": "text"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"product": "solr"}, "no mapping for 'solr'"),
        (
            {"product": "opensearch", "columns": {"a": "geo"}},
            "'a' cannot have the type 'geo'.*text",
        ),
        ({"product": "opensearch", "shards": 0}, "shards must be 1 or more, not 0"),
        ({"product": "opensearch", "replicas": -1}, "replicas must be 0 or more, not -1"),
        ({"product": "opensearch", "fields": Fields(image="stair_hash")}, "must differ"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        index_body(**given)  # type: ignore[arg-type]


def test_an_index_that_does_not_say_has_the_default_names() -> None:
    assert fields_of({}) == fields_of({"_meta": {"owner": "us"}}) == Fields()


# --- differences ----------------------------------------------------------------------------------


def test_our_own_index_fits() -> None:
    body = index_body("opensearch")
    held = json.loads(json.dumps(body["mappings"]))
    held["properties"]["split"] = {"type": "keyword"}
    held["properties"]["image"] = {"type": "text"}  # holds an URI as well
    held["properties"]["width"] = {"type": "long"}
    del held["properties"]["caption"]  # comes by itself
    assert differences(held, body) == []


def test_what_does_not_fit_is_told_with_the_remedy() -> None:
    body = index_body("opensearch")
    held = json.loads(json.dumps(body["mappings"]))
    held["properties"]["stair"] = {"properties": {"dog": {"type": "float"}}}
    held["properties"]["stair_model"] = {"type": "text"}
    held["properties"]["width"] = {"type": "text"}
    held["_source"] = {"excludes": ["stair"]}
    lines = differences(held, body)
    assert len(lines) == 4
    assert "'stair' is 'object', not 'rank_features'" in lines[0]
    assert "another name for it or a new index" in lines[0]
    assert "'stair_model' is 'text', not 'keyword'" in lines[1]
    assert "'width' is 'text', not 'integer'" in lines[2]
    assert "_source" in lines[3]


def test_missing_fields_can_be_added_with_the_printed_body() -> None:
    body = index_body("opensearch", Fields(token="look"))
    (line, *more) = differences({"properties": {"title": {"type": "text"}}}, body)
    assert "PUT /INDEX/_mapping" in line
    added = json.loads(line[line.index("{") :])["properties"]
    assert {"look", "look_model", "look_hash", "look_tokens"} <= set(added)
    assert differences({"properties": added}, body) == []
    assert len(more) == 3


def test_what_does_not_fit_several_photos() -> None:
    body = index_body("opensearch", several=True)
    held = json.loads(json.dumps(body["mappings"]))
    assert differences(held, body) == []
    (line,) = differences(held, index_body("opensearch"))
    assert "holds several photos a document, not one photo" in line
    (line,) = differences(index_body("opensearch")["mappings"], body)
    assert "holds one photo a document, not several photos" in line

    (line,) = differences({"properties": {"title": {"type": "text"}}}, body)
    added = json.loads(line[line.index("{") :])["properties"]
    assert differences({"properties": added}, body) == []

    photos = held["properties"]["photos"]["properties"]
    del photos["stair_hash"], photos["width"]
    photos["stair_model"] = {"type": "text"}
    changed, missing = differences(held, body)
    assert "field 'photos.stair_model' is 'text', not 'keyword'" in changed
    added = json.loads(missing[missing.index("{") :])["properties"]["photos"]
    assert added["type"] == "nested" and "stair_hash" in added["properties"]

    theirs = {"photos": {"type": "nested", "properties": {"their": {"type": "keyword"}}}}
    (line,) = differences({"properties": theirs}, body)
    assert "a list of the index's own" in line and "--photos-field" in line
    theirs["photos"]["type"] = "object"
    (line,) = differences({"properties": theirs}, body)
    assert "'photos' is 'object', not 'nested'" in line
    (line,) = differences(body["mappings"] | {"_source": {"excludes": ["photos"]}}, body)
    assert "keeps no 'photos.stair' in _source" in line


def test_types_of_objects_and_sub_fields() -> None:
    properties = {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "camera": {"properties": {"make": {"type": "keyword"}}},
        "photos": {"type": "nested", "properties": {"uri": {"type": "keyword"}}},
    }
    assert {name: one["type"] for name, one in types_of(properties).items()} == {
        "title": "text", "title.raw": "keyword", "camera.make": "keyword",
        "photos": "nested", "photos.uri": "keyword",
    }  # fmt: skip

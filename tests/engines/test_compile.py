"""The compiler of queries: trees in, bodies out, nothing sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stair_search.engines.lucene.compile import compiled, number, search_body
from stair_search.engines.lucene.target import Target
from stair_search.queries import (
    All,
    BestPhoto,
    Bool,
    Constant,
    HasToken,
    Ids,
    Match,
    Query,
    Range,
    Search,
    Term,
    Terms,
    Tokens,
    question,
)

MODEL = {"term": {"stair_model": "m"}}


def feature(token: str, boost: float | None = None) -> dict[str, Any]:
    rest = {} if boost is None else {"boost": boost}
    return {"rank_feature": {"field": f"stair.{token}", "linear": {}, **rest}}


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (
            Tokens.of({"dog": 2.5, "...": 0.1}, "m"),
            {"bool": {
                "filter": [MODEL],
                "should": [feature("dog", 2.5), feature("______", 0.1)],
                "minimum_should_match": 1,
            }},
        ),
        (
            Tokens.of({"dog": 1.0}, "m", "look"),
            {"bool": {
                "filter": [{"term": {"look_model": "m"}}],
                "should": [{"rank_feature": {"field": "look.dog", "linear": {}}}],
                "minimum_should_match": 1,
            }},
        ),
        (Match("caption", "a dog", 3.3), {"match": {"caption": {"query": "a dog", "boost": 1.5}}}),
        (All(), {"bool": {"filter": [{"match_all": {}}]}}),
        (Bool(), {"bool": {"filter": [{"match_all": {}}]}}),
        (Ids(("1", "2")), {"bool": {"filter": [{"ids": {"values": ["1", "2"]}}]}}),
        (
            Bool(must_not=(Term("split", "test"),)),
            {"bool": {
                "filter": [{"match_all": {}}], "must_not": [{"term": {"split": "test"}}]
            }},
        ),
        (
            Bool(must=(All(),), should=(Constant(All(), 1 / 3),)),
            {"bool": {
                "must": [{"bool": {"filter": [{"match_all": {}}]}}],
                "should": [{"constant_score": {"filter": {"match_all": {}}, "boost": 0.33333334}}],
                "minimum_should_match": 1,
            }},
        ),
        (
            Bool(should=(Match("caption", "dog"),), filter=(HasToken("dog", "m"),)),
            {"bool": {
                "should": [{"match": {"caption": {"query": "dog", "boost": 0.45454547}}}],
                "minimum_should_match": 1,
                "filter": [{"bool": {"filter": [MODEL, feature("dog")]}}],
            }},
        ),
        (
            Bool(must_not=(HasToken("dog", "m", 0.2),)),
            {"bool": {
                "filter": [{"match_all": {}}],
                "must_not": [{"bool": {"filter": [
                    MODEL, {"function_score": {"query": feature("dog"), "min_score": 0.2}}
                ]}}],
            }},
        ),
        (
            # what stands in a filter is never scored, so its own parts need no care
            Bool(filter=(Constant(Bool(should=(Term("a", "b"),)), 9.0),)),
            {"bool": {"filter": [{"bool": {
                "should": [{"bool": {"filter": [{"term": {"a": "b"}}]}}],
                "minimum_should_match": 1,
            }}]}},
        ),
    ],
)  # fmt: skip
def test_compiled(query: Query, body: dict[str, Any]) -> None:
    assert compiled(query, Target(legacy_bm25=True)) == body
    assert json.loads(json.dumps(body)) == body


def test_the_best_photo() -> None:
    tokens = Tokens.of({"dog": 1.0}, "m", "photos.stair")
    inner = {
        "bool": {
            "filter": [{"term": {"photos.stair_model": "m"}}],
            "should": [{"rank_feature": {"field": "photos.stair.dog", "linear": {}}}],
            "minimum_should_match": 1,
        }
    }
    nested = {"path": "photos", "query": inner, "score_mode": "max"}
    assert compiled(BestPhoto(tokens)) == {"nested": nested}
    body = search_body(Search(Bool(should=(BestPhoto(tokens),), must_not=(BestPhoto(tokens),))))
    asked = body["query"]["bool"]
    shown = {"inner_hits": {"name": "part 0", "size": 1}}
    assert asked["should"] == [{"nested": nested | shown}]
    assert asked["must_not"] == [{"nested": nested | {"score_mode": "none"}}]
    # of all photos no tokens are sent: those of the best one come with it
    assert body["_source"] == {"excludes": ["photos.stair"]}
    assert "inner_hits" not in json.dumps(search_body(Search(BestPhoto(tokens), why=False)))
    text = search_body(Search(BestPhoto(Match("photos.caption", "dog"))))
    assert "explain" not in text
    assert text["query"]["nested"]["inner_hits"]["explain"] is True


def test_numbers_are_the_float32_that_is_meant() -> None:
    assert number(0.1) == 0.1
    assert number(1 / 3) == 0.33333334
    assert number(16_777_217) == 16_777_216  # 2^24 + 1 is no float32
    assert number(1e-40) > 0


def test_the_token_field_comes_back_only_for_reasons() -> None:
    tokens = question({"dog": 1.0}, model="m")
    rule = Bool(filter=(HasToken("dog", "m"),))
    assert "_source" not in search_body(Search(tokens))
    assert search_body(Search(tokens, why=False))["_source"] == {"excludes": ["stair"]}
    assert search_body(Search(rule))["_source"] == {"excludes": ["stair"]}
    assert search_body(Search(All()), hidden=["stair"])["_source"] == {"excludes": ["stair"]}


def test_explain_is_asked_only_where_there_is_text() -> None:
    text = question({"dog": 1.0}, model="m", match=[Match("caption", "dog")])
    assert search_body(Search(text))["explain"] is True
    assert "explain" not in search_body(Search(text, why=False))
    assert "explain" not in search_body(Search(question({"dog": 1.0}, model="m")))


def test_only_parts_that_may_miss_are_named() -> None:
    inner = Bool(should=(Constant(All(), 1.0),))
    body = search_body(Search(Bool(should=(inner, Tokens.of({"dog": 1.0}, "m")))))
    text = json.dumps(body)
    assert text.count("_name") == 2
    assert "_name" not in json.dumps(search_body(Search(question({"dog": 1.0}, model="m"))))
    assert "_name" not in json.dumps(search_body(Search(Bool(should=(inner,)), why=False)))


def test_dates_are_sent_as_they_are_meant() -> None:
    day = {"gte": 1_795_305_600_000, "lte": 1_795_391_999_999, "format": "epoch_millis"}
    usual = Target(types={"taken": {"type": "date"}})
    assert compiled(Constant(Term("taken", "2026-11-22")), usual) == {
        "constant_score": {"filter": {"range": {"taken": day}}, "boost": 1.0}
    }
    # what it means in a format of its own is the engine's to say
    own = Target(types={"taken": {"type": "date", "format": "basic_date"}})
    assert compiled(Range("taken", gte="20261122"), own) == {
        "bool": {"filter": [{"range": {"taken": {"gte": "20261122"}}}]}
    }
    assert compiled(Terms("taken", ()), usual) == {"bool": {"filter": [{"match_none": {}}]}}


def test_a_least_weight_that_is_a_whole_number() -> None:
    (_, least) = compiled(HasToken("dog", "m", 1))["bool"]["filter"][0]["bool"]["filter"]
    assert least["function_score"]["min_score"] == 1


def test_tokens_in_a_sparse_vector() -> None:
    target = Target(types={"stair": {"type": "sparse_vector"}})
    asked = {"field": "stair", "query_vector": {"dog": 1.5, "__": 0.5}, "prune": False}
    tokens = Tokens.of({"dog": 1.5, ".": 0.5, "cat": -1.0}, "m")
    assert compiled(tokens, target)["bool"]["should"] == [{"sparse_vector": asked}]
    assert compiled(Tokens.of({"cat": -1.0}, "m"), target) == {"match_none": {}}

"""Search and explain over documents that hold several photos each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stair_search import connect, load_encoder
from stair_search.engines import Document
from stair_search.fields import Fields
from stair_search.mappings import index_body
from stair_search.vocabulary import escape

from .conftest import Cli

PRODUCTS = {
    "walk": ["a dog on the beach", "a person with a dog"],
    "ride": ["a red bus", "a person in the street"],
    "home": ["a cat on a couch", "a dog on a couch", "a red couch"],
}


@pytest.fixture
def products(engine_url: str, index_name: str, tiny_model: Path) -> list[str]:
    """Options that lead to an index of PRODUCTS, each photo holding the tokens of its caption."""
    encoder, fields = load_encoder(str(tiny_model)), Fields(photos="views")
    engine = connect(engine_url)
    body = index_body(engine.info.product, fields, {"shop": "keyword"}, several=True)
    engine.create(index_name, body)
    documents = []
    for name, captions in PRODUCTS.items():
        photos: list[dict[str, Any]] = []
        for n, caption in enumerate(captions):
            tokens = encoder.vocabulary.to_dict(encoder.encode_text(caption))
            photos.append({
                fields.token: [{escape(token): weight for token, weight in tokens.items()}],
                fields.strongest: list(tokens),
                fields.model: encoder.fingerprint,
                fields.image: f"file:///photos/{name}-{n}.jpg",
                fields.caption: caption,
                fields.width: 100 * (n + 1),
            })  # fmt: skip
        documents.append(Document(name, {"views": photos, "shop": name[0]}))
    assert all(outcome.ok for outcome in engine.bulk(index_name, documents))
    engine.refresh(index_name)
    engine.close()
    return ["--url", engine_url, "--index", index_name, "--model", str(tiny_model)]


def hits(cli: Cli, *args: str) -> list[dict[str, Any]]:
    result = cli("search", *args, "--format", "json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)["hits"]
    for hit in found:
        assert list(hit)[:4] == ["id", "score", "source", "why"]
        assert np.isclose(sum(r["score"] for r in hit["why"]), hit["score"], rtol=1e-5)
    return found


def ids(cli: Cli, *args: str) -> list[str]:
    return [hit["id"] for hit in hits(cli, *args)]


def test_a_hit_shows_its_best_photo(cli: Cli, products: list[str]) -> None:
    first, second = hits(cli, "dog", "beach", *products)
    assert (first["id"], first["photo"]["image"]) == ("walk", "file:///photos/walk-0.jpg")
    assert (second["id"], second["photo"]["image"]) == ("home", "file:///photos/home-1.jpg")
    assert "stair" not in first["photo"] and "stair" not in first["source"]["views"][0]
    said = cli("search", "dog", "beach", *products).stdout
    assert "walk  /photos/walk-0.jpg\n    a dog on the beach\n" in said


def test_rules(cli: Cli, products: list[str]) -> None:
    assert ids(cli, "dog", "--without", "person", *products) == ["home"]
    assert ids(cli, "dog", "--without", "person:9", *products) == ["walk", "home"]
    (hit,) = hits(cli, "dog", "--require", "couch", *products)
    assert hit["photo"]["caption"] == "a dog on a couch"
    assert ids(cli, "dog", "--require", "red", *products) == []
    assert ids(cli, "dog", "--filter", "shop=h", *products) == ["home"]
    assert ids(cli, "red", "--filter", "width=300", *products) == ["home"]
    assert ids(cli, "--match", "caption:beach", *products) == ["walk"]
    assert ids(cli, "--filter", "views.width=300", *products) == ["home"]


def test_a_rule_that_nothing_holds_is_told(cli: Cli, products: list[str]) -> None:
    result = cli("search", "dog", "--without", "sand", "--require", "running", *products)
    assert "without sand: no photo in" in result.stderr
    assert "require running: the model has no such token" in result.stderr


def test_explain(cli: Cli, products: list[str]) -> None:
    def told(*args: str) -> dict[str, Any]:
        result = cli("explain", *args, *products, "--format", "json")
        assert result.exit_code == 0, result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    (hit,) = hits(cli, "dog beach red", "--filter", "shop=w", *products)
    found = told("dog beach red", "--id", "walk")
    assert (found["matched"], found["score"], found["why"]) == (True, hit["score"], hit["why"])
    assert (found["lacks"], found["excluded_by"]) == (["red"], [])

    rules = ["--without", "person:0.1", "--require", "couch", "--require", "bus"]
    found = told("dog", *rules, "--filter", "shop=r", "--match", "caption:a sofa", "--id", "home")
    assert found["lacks"] == ["views.caption:sofa"]
    assert found["excluded_by"] == [
        "require couch and require bus in one photo",
        "filter shop=r (has h)",
    ]
    found = told("dog", "--without", "person:0.1", "--filter", "width=300", "--id", "walk")
    width, without = found["excluded_by"]
    assert width == "filter views.width=300 (has 100, 200)"
    assert without.startswith("without person:0.1 (has 0.")

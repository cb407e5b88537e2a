"""Several photos a document: the best one scores, on each of the three engines alike."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stair_search.engines import Document, Engine, Hits, connect
from stair_search.errors import DestinationError, ModelError, UsageError
from stair_search.mappings import index_body
from stair_search.queries import (
    BestPhoto,
    Bool,
    Constant,
    HasToken,
    Ids,
    Match,
    Query,
    Reason,
    Term,
    Tokens,
    at_least,
    filtered,
    no_photo_with,
    photo_without,
    question,
)
from tests.conftest import Engines
from tests.engines.test_same_answers import check_same, check_sum

TOKEN = "photos.stair"
COLUMNS = {"title": "text", "shop": "keyword"}


def photo(image: str, tokens: dict[str, float], **more: Any) -> dict[str, Any]:
    return {"image": image, "stair": [tokens], "stair_model": "m", **more}


PRODUCTS: dict[str, dict[str, Any]] = {
    "shoe": {
        "title": "a red shoe",
        "photos": [
            photo("shoe-1", {"shoe": 1.2, "red": 0.7}, caption="a shoe"),
            photo("shoe-2", {"shoe": 2.0, "person": 0.4}, caption="a person, a shoe", width=300),
        ],
    },
    "boot": {"title": "a boot", "photos": [photo("boot-1", {"shoe": 1.0, "red": 2.0})]},
    "hat": {"title": "a red hat", "photos": [photo("hat-1", {"person": 1.0, "red": 0.5})]},
    "none": {"title": "nothing to see"},
}


@pytest.fixture
def index(engine: Engine, index_name: str) -> str:
    body = index_body(engine.info.product, columns=COLUMNS, shards=1, replicas=0, several=True)
    engine.create(index_name, body)
    put(engine, index_name, PRODUCTS)
    return index_name


def put(engine: Engine, index: str, documents: dict[str, dict[str, Any]]) -> None:
    outcomes = engine.bulk(index, [Document(*item) for item in documents.items()])
    assert all(outcome.ok for outcome in outcomes), outcomes
    engine.refresh(index)


def ids(hits: Hits) -> list[str]:
    return [hit.id for hit in hits.hits]


def best(tokens: dict[str, float]) -> BestPhoto:
    return BestPhoto(Tokens.of(tokens, "m", TOKEN))


def test_a_hit_has_the_score_and_the_reasons_of_its_best_photo(engine: Engine, index: str) -> None:
    first, second, _ = engine.search(index, best({"shoe": 1.5, "red": 1.0})).hits
    assert (first.id, first.score) == ("boot", 3.5)
    assert (second.id, second.score) == ("shoe", 3.0)
    assert second.why == [Reason("question", "shoe", 1.5, 2.0, 3.0)]
    assert second.photo == {
        "image": "shoe-2", "stair_model": "m", "caption": "a person, a shoe", "width": 300
    }  # fmt: skip
    assert [one["image"] for one in second.source["photos"]] == ["shoe-1", "shoe-2"]
    assert "rank" not in str(second) and "'stair'" not in str(second.source)
    bare, *_ = engine.search(index, best({"shoe": 1.5, "red": 1.0}), why=False).hits
    assert (bare.score, bare.why, bare.photo) == (3.5, [], None)


def test_of_equal_photos_the_first_is_the_best(engine: Engine, index: str) -> None:
    twins = [photo("one", {"dog": 1.0}), photo("two", {"dog": 1.0})]
    put(engine, index, {"twins": {"photos": twins}})
    (hit,) = engine.search(index, best({"dog": 1.0})).hits
    assert hit.photo is not None and hit.photo["image"] == "one"


def test_a_deleted_document_takes_its_photos_with_it(engine: Engine, index: str) -> None:
    """On SQLite the last document takes its number, and keeps its own photos."""
    red = best({"red": 1.0})
    put(engine, index, {"last": {"photos": [photo("last", {"red": 9.0}), photo("x", {"y": 1.0})]}})
    assert [o.status for o in engine.delete(index, ["shoe", "missing"])] == [200, 404]
    engine.refresh(index)
    assert ids(engine.search(index, red)) == ["last", "boot", "hat"]
    assert engine.models(index, TOKEN) == {"m": 4}  # photos
    put(engine, index, {"shoe": PRODUCTS["shoe"], "boot": {"photos": []}})
    found = engine.search(index, red).hits
    assert [(hit.id, hit.photo and hit.photo["image"]) for hit in found] == [
        ("last", "last"), ("shoe", "shoe-1"), ("hat", "hat-1")
    ]  # fmt: skip
    engine.delete(index, ["last", "hat", "shoe", "boot", "none"])
    engine.refresh(index)
    assert engine.count(index) == 0
    assert engine.search(index, red).total == 0


def test_both_negations(engine: Engine, index: str) -> None:
    person = HasToken("person", "m", None, TOKEN)
    for query, wanted in (
        (photo_without(person), {"shoe", "boot"}),
        (no_photo_with(person), {"boot", "none"}),
        (photo_without(HasToken("person", "m", 0.5, TOKEN)), {"shoe", "boot"}),
        (no_photo_with(HasToken("person", "m", 0.5, TOKEN)), {"shoe", "boot", "none"}),
    ):
        assert set(ids(engine.search(index, Bool(filter=(query,))))) == wanted, query
        assert engine.matches(index, "shoe", [query]) == ["shoe" in wanted]


def test_a_question_of_photos(engine: Engine, index: str) -> None:
    def asked(**more: Any) -> Hits:
        query = question({"shoe": 1.0}, model="m", photos="photos", **more)
        hits = engine.search(index, query)
        check_sum(hits, str(query))
        return hits

    assert ids(asked()) == ["shoe", "boot"]
    assert ids(asked(without={"person": None})) == ["boot"]
    assert ids(asked(without={"person": 0.5})) == ["shoe", "boot"]
    # one photo holds all that is required, and it is the one that scores
    (hit,) = asked(require=["red"], filters=[("title", "shoe")]).hits
    assert hit.id == "shoe" and hit.photo is not None and hit.photo["image"] == "shoe-1"
    assert ids(asked(require=["red", "person"])) == []
    assert ids(asked(filters=[("photos.width", "300")])) == ["shoe"]
    # a rule on photos holds for what the text of the document finds, too
    by_title = {"match": [Match("title", "red")]}
    assert set(ids(asked(**by_title))) == {"shoe", "boot", "hat"}
    assert ids(asked(**by_title, require=["person"])) == ["shoe", "hat"]
    by_caption = asked(match=[Match("photos.caption", "person", 3.0)])
    assert by_caption.hits[0].photo is not None
    assert {reason.part for reason in by_caption.hits[0].why} == {"question", "photos.caption"}


def test_several_best_photos_in_one_query(engine: Engine, index: str) -> None:
    red = BestPhoto(Bool(should=(Constant(HasToken("red", "m", None, TOKEN), 0.25, "red"),)))
    query = Bool(should=(best({"shoe": 1.0}), red, red, Constant(best({"person": 1.0}), 0.5)))
    hits = engine.search(index, query)
    check_sum(hits, "several")
    assert [(hit.id, hit.score) for hit in hits.hits] == [
        ("shoe", 3.0), ("boot", 1.5), ("hat", 1.0)
    ]  # fmt: skip
    assert hits.hits[0].photo is not None and hits.hits[0].photo["image"] == "shoe-2"


def test_the_best_photo_is_one_that_made_the_score(engine: Engine, index: str) -> None:
    """A part that a hit does not match as a whole has no say, though its photo matches alone."""
    neither = at_least(2, best({"person": 9.0}), Term("shop", "nowhere"))
    hit, *_ = engine.search(index, filtered(best({"red": 1.0}) | neither, Ids(("shoe",)))).hits
    assert [reason.token for reason in hit.why] == ["red"]
    assert hit.photo is not None and hit.photo["image"] == "shoe-1"


def test_a_list_is_replaced_as_a_whole(engine: Engine, index: str) -> None:
    def images(tokens: dict[str, float]) -> dict[str, Any]:
        hits = engine.search(index, Bool(should=(best(tokens),))).hits
        return {hit.id: hit.photo and hit.photo["image"] for hit in hits}

    for photos in (
        [photo("new-1", {"dog": 1.0})],
        [photo("new-1", {"cat": 1.0}), photo("new-2", {"dog": 0.5}), photo("new-3", {"dog": 2.0})],
        [],
        [photo("new-4", {"dog": 1.0}), photo("new-5", {"dog": 3.0}, caption="late")],
    ):
        put(engine, index, {"shoe": {"photos": photos}})
        assert images({"shoe": 1.0}) == {"boot": "boot-1"}
        bare = engine.search(index, photo_without(HasToken("red", "m", None, TOKEN)))
        assert ids(bare) == (["shoe"] if photos else [])
        dogs = [
            (one["stair"][0]["dog"], one["image"]) for one in photos if "dog" in one["stair"][0]
        ]
        assert images({"dog": 1.0}) == ({"shoe": max(dogs)[1]} if dogs else {})
    source = engine.get(index, "shoe")
    assert source is not None and source["title"] == "a red shoe"
    assert ids(engine.search(index, BestPhoto(Match("photos.caption", "late")))) == ["shoe"]
    assert engine.count(index) == 4
    assert engine.models(index, TOKEN) == {"m": 4}
    found = dict(engine.scan(index, ["photos.image", "title"]))
    assert found["boot"] == {"photos": [{"image": "boot-1"}], "title": "a boot"}
    assert found["none"] == {"title": "nothing to see"}


@pytest.mark.parametrize("photos", ["a.jpg", [1], [photo("x", {"dog": 0.0})]])
def test_a_refused_photo_refuses_the_document(engine: Engine, index: str, photos: Any) -> None:
    (outcome,) = engine.bulk(index, [Document("hat", {"photos": photos})])
    assert outcome.status == 400 and outcome.error
    engine.refresh(index)
    assert set(ids(engine.search(index, best({"person": 1.0})))) == {"shoe", "hat"}


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        (Tokens.of({"dog": 1.0}, "m", TOKEN), UsageError, "is one of photos in 'photos', and was"),
        (BestPhoto(Match("title", "red")), UsageError, "is one of documents, and was asked of ph"),
        (BestPhoto(Ids(("shoe",))), UsageError, "have no ids of their own"),
        (BestPhoto(best({"dog": 1.0})), UsageError, "cannot be asked of a photo"),
        (BestPhoto(Match("title", "red"), "title"), UsageError, "'title' is text, and the best"),
        (Term("photos", "x"), UsageError, "holds photos: name a field of theirs"),
        (Tokens.of({"dog": 1.0}, "m"), ModelError, "'stair' is not there"),
        (BestPhoto(Tokens.of({"dog": 1.0}, "x", TOKEN)), ModelError, "holds tokens of model 'm'"),
    ],
)
def test_what_cannot_be_asked(
    engine: Engine, index: str, query: Query, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        engine.search(index, query)


# --- the same answers everywhere ------------------------------------------------------------------

WORDS = [f"t{n}" for n in range(24)]
SAYINGS = ["a red shoe", "two shoes, one red", "an old hat", "a boot and a hat", "red red red"]
SIZES = (10, 50)


class Products:
    """Products of one to seven photos with random tokens, and questions to them."""

    def __init__(self, number: int, seed: int = 5) -> None:
        self.chance = random.Random(seed)
        self.documents = [
            Document(f"p{n}", {
                "title": self.chance.choice(SAYINGS), "shop": f"s{n % 4}",
                "photos": [self.photo() for _ in range(self.chance.randint(1, 7))],
            })
            for n in range(number)
        ]  # fmt: skip

    def tokens(self, most: int) -> dict[str, float]:
        words = self.chance.sample(WORDS, self.chance.randint(1, most))
        return {word: self.chance.uniform(0.01, 3) for word in words}

    def photo(self) -> dict[str, Any]:
        model = {"stair_model": self.chance.choice("mmmn")}
        words = {"caption": self.chance.choice(SAYINGS)} if self.chance.random() < 0.7 else {}
        image = f"file:///{self.chance.randint(0, 9)}.jpg"
        return photo(image, self.tokens(9)) | model | words

    def token(self) -> str:
        return self.chance.choice(WORDS)

    def plain(self) -> Query:
        return question(self.tokens(5), model="m", photos="photos")

    def rules(self) -> Query:
        return question(
            self.tokens(5), model="m", photos="photos", image_tokens=self.tokens(9),
            require=[self.token()], without={self.token(): self.chance.uniform(0.1, 3)},
            filters=[("shop", "s1")] * self.chance.randint(0, 1),
        )  # fmt: skip

    def negated(self) -> Query:
        rule = HasToken(self.token(), "m", self.chance.uniform(0.1, 2), TOKEN)
        negation = self.chance.choice([photo_without, no_photo_with])
        return Bool(should=(best(self.tokens(5)),), filter=(negation(rule),))

    def constants(self) -> Query:
        inner = Bool(
            should=(
                Tokens.of(self.tokens(5), "m", TOKEN),
                Constant(Term("photos.image", "file:///3.jpg"), 0.6, "third"),
                Constant(HasToken(self.token(), "n", None, TOKEN), 0.7, "other"),
            ),
            must_not=(HasToken(self.token(), "m", 2.5, TOKEN),),
        )
        return Bool(
            should=(BestPhoto(inner), best(self.tokens(3)), Constant(Term("shop", "s2"), 0.2))
        )

    def text(self) -> Query:
        return question(
            self.tokens(5), model="m", photos="photos",
            match=[
                Match("photos.caption", self.chance.choice(SAYINGS), 0.8), Match("title", "red")
            ],
        )  # fmt: skip


@pytest.fixture(scope="module")
def filled(
    engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Engine, str]]]:
    index = f"stair-test-several-{os.getpid()}"
    urls = {
        "sqlite": f"sqlite:{tmp_path_factory.mktemp('several') / 'stair.db'}",
        "opensearch2": engines.url("opensearch2"),
        "opensearch": engines.url("opensearch"),
        "elasticsearch7": engines.url("elasticsearch7"),
    }
    documents = Products(400).documents
    ready: dict[str, tuple[Engine, str]] = {}
    for name, url in urls.items():
        engine = connect(url)
        for shards in (1, 3) if name != "sqlite" else (1,):
            place = f"{index}-{shards}"
            body = index_body(
                engine.info.product, columns=COLUMNS, shards=shards, replicas=0, several=True
            )
            engine.create(place, body)
            assert all(outcome.ok for outcome in engine.bulk(place, documents))
            engine.refresh(place)
            assert engine.count(place) == 400
            ready[name if shards == 1 else f"{name}, {shards} shards"] = engine, place
    yield ready
    engines.wipe(index)
    for engine, _ in ready.values():
        engine.close()


@pytest.mark.engines
def test_the_same_best_photos_everywhere(filled: dict[str, tuple[Engine, str]]) -> None:
    products = Products(0)
    makers: list[Callable[[], Query]] = [
        products.plain, products.rules, products.negated, products.constants, products.text,
    ]  # fmt: skip
    compared, worst = 0, 0.0
    for maker in makers:
        for _ in range(30):
            query = maker()
            for size in SIZES:
                engine, index = filled["sqlite"]
                wanted = engine.search(index, query, size)
                check_sum(wanted, f"sqlite, {query}")
                for name, (engine, index) in filled.items():
                    if name == "sqlite" or (maker == products.text and "shards" in name):
                        continue
                    got = engine.search(index, query, size)
                    check_sum(got, f"{name}, {query}")
                    worst = max(worst, check_same(wanted, got, f"{name}, {size} hits, {query}"))
                    theirs = {hit.id: hit.photo for hit in got.hits}
                    compared += sum(theirs.get(hit.id) == hit.photo for hit in wanted.hits)
    print(f"\n{compared} hits with the same best photo; largest difference {worst:.2g}")
    assert compared > 5_000


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM photos WHERE number = 0",
        "UPDATE photos SET document = 99",
        "UPDATE photos SET document = 'x'",
        "UPDATE documents SET source = '{}'",
        "UPDATE documents SET source = '{\"photos\": [1, 2]}'",
        "UPDATE documents SET source = '{\"photos\": 3}'",
    ],
)
def test_damage_is_told_and_nothing_else(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "stair.db"
    engine = connect(f"sqlite:{path}")
    engine.create("photos", index_body("sqlite", columns=COLUMNS, several=True))
    put(engine, "photos", PRODUCTS)
    engine.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(damage).rowcount
        db.commit()
    with pytest.raises(DestinationError, match="the file is damaged"):
        connect(f"sqlite:{path}").search("photos", best({"shoe": 1.0}))


def test_the_file_holds_what_one_write_would_leave(tmp_path: Path) -> None:
    """Rewritten lists leave the postings of a fresh file, but for numbers that stay reserved."""
    found = []
    for rounds in (3, 1):
        engine = connect(f"sqlite:{tmp_path / f'{rounds}.db'}")
        engine.create("photos", index_body("sqlite", columns=COLUMNS, several=True))
        for seed in reversed(range(rounds)):
            products = Products(30, seed=seed)
            put(engine, "photos", {one.id: one.fields for one in products.documents})
        asked = Products(0, seed=8)
        hits = [engine.search("photos", asked.text(), 30) for _ in range(30)]
        found.append([[(hit.id, hit.score, hit.photo) for hit in one.hits] for one in hits])
        assert engine.models("photos", TOKEN).keys() == {"m", "n"}
        engine.close()
    assert found[0] == found[1]
    assert any(found[0])

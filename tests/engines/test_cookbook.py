"""docs/cookbook.md: every recipe as it stands there, on real nodes, over photos of products.

What it finds is held against the documents themselves, and against what SQLite finds.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from stair_search.engines import Document, Engine, Hit, Hits, connect
from stair_search.mappings import index_body
from stair_search.queries import All, HasToken, Match, Search, Term, Tokens
from stair_search.queries.reasons import stored_weights
from stair_search.tokens import truncate
from tests.conftest import EVERYWHERE, SHARED_DATA, Engines, token_type
from tests.engines.products import COLUMNS, NUMBERS, photos_of_products, products, without_vector
from tests.engines.test_same_answers import check_same, check_sum

PAGE = Path(__file__).parents[2] / "docs" / "cookbook.md"
PLACE = f"stair-test-cookbook-{os.getpid()}"
MUNICH = 48.137, 11.575
TWICE = "Is it there twice"
"""By vectors, which Elasticsearch 7 does not find."""

_TEXT = PAGE.read_text("utf-8")
_BLOCK = r"```python\n(.*?)```"
BEGIN = "".join(re.findall(_BLOCK, _TEXT.partition("\n## ")[0], re.DOTALL))
RECIPES = {
    part.partition("\n")[0]: "".join(re.findall(_BLOCK, part, re.DOTALL))
    for part in re.split(r"^### ", _TEXT, flags=re.MULTILINE)[1:]
}


class Place(NamedTuple):
    """An engine with the indices of the page. held: photos and products by id."""

    engine: Engine
    url: str
    held: dict[str, dict[str, Any]]

    def cooked(self, recipe: str, chosen: str) -> dict[str, Any]:
        """The names that a recipe leaves."""
        names: dict[str, Any] = {}
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("STAIR_SEARCH_URL", self.url)
            exec(compile(BEGIN, f"{PAGE}, its begin", "exec"), names)
        names |= {"index": f"{PLACE}-photos", "products": f"{PLACE}-products", "chosen": chosen}
        try:
            exec(compile(RECIPES[recipe], f"{PAGE}, {recipe}", "exec"), names)
        finally:
            names["engine"].close()
        return names

    def holds(self, hit: Hit | str, token: str) -> float:
        """The token's weight in a photo, as engines hold it."""
        fields = self.held[hit if isinstance(hit, str) else hit.id]
        return _weight(fields, token)


def _weight(photo: dict[str, Any], token: str) -> float:
    return float(truncate(stored_weights(photo["stair"]).get(token, 0.0)))


Check = Callable[[Place, dict[str, Any], Hits], None]
CHECKS: dict[str, Check] = {}


def of(recipe: str) -> Callable[[Check], Check]:
    def kept(check: Check) -> Check:
        CHECKS[recipe] = check
        return check

    return kept


# --- what each recipe is to find ----------------------------------------------------------------


@of("What sells, in stock, within the budget")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    for hit in hits.hits:
        fields = place.held[hit.id]
        assert fields["stock"] > 0
        assert fields["price"] <= 50
        tokens = sum(reason.score for reason in hit.why if reason.part == "question")
        assert hit.score == pytest.approx(tokens * math.log(fields["likes"] + 2), rel=1e-4)
    sold = [one for one in place.held.values() if one.get("stock") and one["price"] <= 50]
    assert len(hits.hits) == 20 < hits.total <= len(sold)


@of("Like this photo, but in red")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    plain = place.engine.search(names["index"], names["photo"]("reference.jpg"))
    assert _mean(place, hits, "red") > _mean(place, plain, "red")
    asked = dict(names["query"].weights)
    assert asked["red"] > 1.5
    assert asked.get("blue", 0) < 0


@of("Never in the children's shop")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    def shown(id: str) -> bool:
        return all(place.holds(id, token) < 0.1 for token in ("bikini", "naked", "smoking"))

    assert len(hits.hits) == 50
    assert all(shown(hit.id) for hit in hits.hits)
    query, children = names["words"]("summer at the beach"), names["children"]
    free = place.engine.search(names["index"], query, 1_000)
    assert not all(shown(hit.id) for hit in free.hits[:50])
    assert hits.total <= sum(shown(hit.id) for hit in free.hits)  # found by a bikini alone
    for other in (query + names["words"]("naked"), Match("title", "bikini"), All()):
        found = place.engine.search(names["index"], children.apply(other), 1_000)
        assert all(shown(hit.id) for hit in found.hits)
    demanded = children.apply(Term("stair_tokens", "bikini") | HasToken("naked", names["model"]))
    assert not place.engine.search(names["index"], demanded).hits


@of("The title and the photo in one score")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    assert {reason.part for hit in hits.hits for reason in hit.why} == {"question", "title"}
    for hit in hits.hits:
        marked = re.findall(r"<em>(\w+)</em>", str(hit.highlights).lower())
        assert set(marked) <= {"black", "dress"}
        assert bool(marked) == any(reason.part == "title" for reason in hit.why)


@of("The title and the photo without tuning")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    assert all(place.held[hit.id]["stock"] > 0 for hit in hits.hits)
    ranks = [
        [hit.id for hit in found.hits]
        for found in place.engine.search_many(
            names["index"], [Search(query, 100) for query in names["hybrid"].queries]
        )
    ]
    for hit in hits.hits:
        shares = [
            weight / (61 + rank.index(hit.id))
            for rank, weight in zip(ranks, (1, 0.5), strict=True)
            if hit.id in rank
        ]
        assert hit.score == pytest.approx(sum(shares))
    assert {reason.part for hit in hits.hits for reason in hit.why} == {"photo", "title"}


@of("A sidebar of filters, and the second page")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    whole = place.engine.search(names["index"], names["page"].query, 24)
    assert [hit.id for hit in hits.hits] == [hit.id for hit in whole.hits[12:]]
    assert len(hits.hits) == 12
    assert hits.facets is not None
    assert sum(one.count for one in hits.facets["licence"]) == hits.total
    categories = {one.value: one.count for one in names["others"].facets["category"]}
    assert categories["dress"] == hits.total
    assert set(categories) == {"dress", "shirt", "shoes", "bag"}
    assert sum(categories.values()) == names["others"].total


@of("The photo without a model")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    def worn(photo: dict[str, Any]) -> bool:
        return max(_weight(photo, "man"), _weight(photo, "woman")) >= 0.1

    beside = 0
    for hit in hits.hits:
        photos = place.held[hit.id]["photos"]
        assert hit.photo is not None
        (shown,) = [one for one in photos if one["image"] == hit.photo["image"]][:1]
        assert not worn(shown)
        beside += any(map(worn, photos))
    assert beside  # products that have both kinds are found
    unworn = names["unworn"]
    assert unworn.hits
    assert not any(worn(one) for hit in unworn.hits for one in place.held[hit.id]["photos"])
    assert unworn.total < hits.total


@of("A home page in one request")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    dresses, beach, loved = names["home"].values()
    assert all(len(shelf.hits) == 6 for shelf in (dresses, beach, loved))
    assert (
        dresses.hits
        == place.engine.search(names["index"], names["words"]("dress"), 6, why=False).hits
    )
    assert all(place.held[hit.id]["stock"] > 0 for hit in beach.hits)
    likes = sorted((one["likes"] for one in place.held.values() if "likes" in one), reverse=True)
    assert [hit.score for hit in loved.hits] == likes[:6]


@of("Fresh, from near the place")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    for hit in hits.hits:
        fields = place.held[hit.id]
        assert _metres(fields["place"]) <= 20_000
        assert "2026-11-01" <= fields["taken"] <= "2026-11-19"
        tokens = sum(reason.score for reason in hit.why if reason.part == "question")
        age = 20 - int(fields["taken"][-2:])
        assert hit.score == pytest.approx(tokens * 0.5 ** (age / 3), rel=1e-4)
    near = [one for one in place.held.values() if "place" in one and _metres(one["place"]) <= 2e4]
    assert hits.total < len([one for one in near if one["taken"] >= "2026-11"])


@of("Two of these three, and not that")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    def fits(id: str) -> bool:
        people = sum(place.holds(id, who) >= 0.05 for who in ("man", "woman", "child"))
        return people >= 2 and place.holds(id, "dog") < 0.1

    free = place.engine.search(names["index"], names["words"]("people together"), 1_000)
    assert {hit.id for hit in free.hits if fits(hit.id)} >= {hit.id for hit in hits.hits}
    assert 0 < hits.total == sum(fits(hit.id) for hit in free.hits) < free.total


@of("Everything to be reviewed, the clearest first")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    ids, scores = zip(*names["queue"], strict=True)
    assert list(scores) == sorted(scores, reverse=True)
    assert scores == pytest.approx([place.holds(one, "smoking") for one in ids])
    photos = {name: one for name, one in place.held.items() if "stair" in one}
    assert sorted(ids) == sorted(
        name
        for name, one in photos.items()
        if place.holds(name, "smoking") >= 0.05 and not one["reviewed"]
    )
    assert len(ids) > 10  # more than a page


@of("Which rule does it break")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    for name, broken in names["verdicts"].items():
        assert {token for token in names["severity"] if place.holds(name, token) >= 0.1} == {
            *broken
        }
    for hit in hits.hits:
        assert hit.score == sum(names["severity"][part] for part in names["verdicts"][hit.id])
    assert len({hit.score for hit in hits.hits}) > 1


@of("Last rather than never")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    plain, whole = place.engine.search_many(
        names["index"], [Search(names["query"].query, 1_000), Search(names["query"], 1_000)]
    )
    before = {hit.id: hit.score for hit in plain.hits}
    demoted = 0
    for hit in whole.hits:
        held = place.holds(hit, "bikini") >= 0.1
        assert hit.score == pytest.approx(before[hit.id] * (0.2 if held else 1), rel=1e-5)
        assert held == any(reason.part == "when" for reason in hit.why)
        demoted += held
    assert demoted
    assert hits.total == whole.total == plain.total
    assert hits.hits == whole.hits[: len(hits.hits)]


@of("More like this one that we may print")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    assert hits.hits[0].id == f"cc0-{names['chosen']}"
    assert all(place.held[hit.id]["licence"] in ("cc0", "cc-by") for hit in hits.hits)
    assert names["chosen"] not in {hit.id for hit in hits.hits}


@of("Several photos as one question")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    def score(asked: Tokens, id: str) -> float:
        return sum(weight * place.holds(id, token) for token, weight in asked.asked)

    one, other, common = names["one"], names["other"], names["common"]
    for hit in hits.hits:
        assert hit.score == pytest.approx(max(score(one, hit.id), score(other, hit.id)), rel=1e-4)
    for hit in common.hits:
        assert hit.score == pytest.approx(score(one, hit.id) + score(other, hit.id), rel=1e-4)
    best = {hit.id for hit in hits.hits[:4]}  # each reference brings its own photo, and that again
    assert sum(score(one, name) > score(other, name) for name in best) in (1, 2, 3)


@of(TWICE)
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    assert [hit.id for hit in hits.hits][:1] == [f"cc0-{names['chosen']}"]
    asked = np.array(place.held[names["chosen"]]["clip"])
    for hit in hits.hits:
        other = np.array(place.held[hit.id]["clip"])
        cosine = asked @ other / np.linalg.norm(asked) / np.linalg.norm(other)
        assert hit.score == pytest.approx((1 + cosine) / 2, rel=1e-3)
        assert hit.score >= 0.98
        assert place.held[hit.id]["licence"] == "cc0"


@of("A question in an address")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    whole = place.engine.search(names["index"], names["query"], 1_000)
    assert hits.hits == whole.hits[:10]
    for hit in whole.hits:
        assert place.held[hit.id]["price"] <= 40
        assert not place.holds(hit, "naked")
    assert "red" in {reason.token for hit in hits.hits for reason in hit.why}
    assert "title" in {reason.part for hit in hits.hits for reason in hit.why}
    read = names["parse_qs"](names["urlsplit"](names["link"]).query)["q"][0]
    assert names["parse"](read, names["grammar"], strict=True) == names["asked"]


@of("Why was it not found")
def _(place: Place, names: dict[str, Any], hits: Hits) -> None:
    fields = place.held[names["chosen"]]
    said = " / ".join(names["missed"])
    assert (f"filter stock>0 (has {fields['stock']})" in said) == (not fields["stock"])
    assert ("filter price<=50 (has" in said) == (fields["price"] > 50)
    assert ("without bikini:0.1 (has" in said) == (place.holds(names["chosen"], "bikini") >= 0.1)
    assert said
    assert ("dress" in names["lacks"]) == (not place.holds(names["chosen"], "dress"))


def _mean(place: Place, hits: Hits, token: str) -> float:
    return sum(place.holds(hit, token) for hit in hits.hits) / len(hits.hits)


def _metres(point: dict[str, float]) -> float:
    lat, lon, here, there = map(math.radians, (*point.values(), *MUNICH))
    across = math.sin((lon - there) / 2) ** 2 * math.cos(lat) * math.cos(here)
    return 2 * 6_371_000 * math.asin(math.sqrt(math.sin((lat - here) / 2) ** 2 + across))


# --- where it is found --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(package_photos: list[Path], pytestconfig: pytest.Config) -> list[Document]:
    cache = pytestconfig.cache
    assert cache is not None
    data = SHARED_DATA / "products"
    if not data.is_dir():
        return photos_of_products(None, package_photos, cache.mkdir("stair-search-tokens"))
    return photos_of_products(data, package_photos, cache.mkdir("stair-search-products"))


@pytest.fixture(scope="module")
def chosen(photos: list[Document]) -> str:
    """A photo that is there more than once, and sold out."""
    twice = {one.id.removeprefix("cc0-") for one in photos if one.id.startswith("cc0-")}
    return next(one.id for one in photos if one.id in twice and not one.fields["stock"])


@pytest.fixture(scope="module")
def places(
    engines: Engines, photos: list[Document], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Place]]:
    """Each engine, when a test first asks for it, with the photos and the products."""
    found = _Places(engines, photos, tmp_path_factory.mktemp("cookbook") / "stair.db")
    yield found
    for place in found.values():
        place.engine.close()
    engines.wipe(PLACE)


class _Places(dict[str, Place]):
    def __init__(self, engines: Engines, photos: list[Document], file: Path) -> None:
        self._engines, self._photos, self._file = engines, photos, file

    def __missing__(self, name: str) -> Place:
        url = f"sqlite:{self._file}" if name == "sqlite" else self._engines.url(name)
        engine = connect(url)
        held: dict[str, dict[str, Any]] = {}
        kept = token_type(name)
        photos, vectors = self._photos, {"clip": NUMBERS}
        if name == "elasticsearch7":
            photos, vectors = [without_vector(photo) for photo in photos], {}
        for what, documents in [("photos", photos), ("products", products(photos))]:
            several = what == "products"
            columns = {"category": "keyword"} if several else COLUMNS
            body = index_body(engine.info.product, None, columns, 1, 0, several, kept, vectors)
            index = f"{PLACE}-{what}"
            engine.create(index, body)
            assert all(outcome.ok for outcome in engine.bulk(index, documents))
            engine.refresh(index)
            held |= {one.id: one.fields for one in documents}
        self[name] = Place(engine, url, held)
        return self[name]


@pytest.fixture
def references(package_photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The photos that recipes name, in the folder where they are cooked."""
    for name, photo in zip(("reference.jpg", "other.jpg"), package_photos[::9], strict=False):
        shutil.copy(photo, tmp_path / name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.engines
@pytest.mark.usefixtures("references")
@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (one, name)
        for one in RECIPES
        for name in EVERYWHERE
        if (one, name) != (TWICE, "elasticsearch7")
    ],
)
def test_a_recipe(recipe: str, name: str, places: dict[str, Place], chosen: str) -> None:
    names = places[name].cooked(recipe, chosen)
    hits = names.get("hits", Hits(0, "eq", 0.0, []))
    assert "hits" not in names or hits.hits
    scores = [hit.score for hit in hits.hits]
    assert scores == sorted(scores, reverse=True)
    check_sum(hits, f"{name}, {recipe}")
    CHECKS[recipe](places[name], names, hits)
    if name == "sqlite":
        return
    wanted = places["sqlite"].cooked(recipe, chosen).get("hits", hits)
    if recipe == TWICE:  # engines do not round a cosine alike
        assert [hit.id for hit in hits.hits] == [hit.id for hit in wanted.hits]
    else:
        check_same(wanted, hits, f"{name}, {recipe}")


def test_each_recipe_is_short_and_has_its_check() -> None:
    assert len(RECIPES) >= 12
    assert set(RECIPES) == set(CHECKS)
    for recipe, code in RECIPES.items():
        lines = [line for line in code.splitlines() if line.strip()]
        assert 1 <= len(lines) <= 10, recipe
        assert not any(re.match(r"\s*(import|from) ", line) for line in lines), recipe
        assert "; " not in code, recipe
        assert max(map(len, lines)) <= 100, recipe

"""The same question has the same answer on SQLite, OpenSearch 2 and 3 and Elasticsearch 7, 8 and 9.

Ids and scores agree within 1e-5 of the sum of the parts; scores nearer than that are ties, also
where the list is cut. Text agrees on one shard without deletions, all else on any number of shards.

More than 2,000 trees over 2,000 photos, of each of the three kinds of trees 350 over one photo a
document and 350 over several, in some 20 minutes:

    STAIR_TEST_TREES=350 pytest tests/engines/test_same_answers.py -s --timeout=7200
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from stair_search.engines import Engine, Hit, Hits, connect
from stair_search.mappings import index_body
from stair_search.queries import Query, Reason
from tests.conftest import SHARED_DATA, Engines, token_type
from tests.engines.corpus import COLUMNS, Corpus, corpus, grouped
from tests.engines.generated import TEXT, generated, of_several

pytestmark = pytest.mark.engines
SHARE = 1e-5
SIZES = (10, 30)  # in turn


@pytest.fixture(scope="module")
def photos(package_photos: list[Path], pytestconfig: pytest.Config) -> Corpus:
    cache = pytestconfig.cache
    assert cache is not None
    data = SHARED_DATA if SHARED_DATA.is_dir() else None
    return corpus(data, package_photos, cache.mkdir("stair-search-tokens"))


@pytest.fixture(scope="module")
def products(photos: Corpus) -> Corpus:
    return grouped(photos)


Places = dict[str, tuple[Engine, str]]
"""Name -> engine and index that holds the documents, written once, without a deletion."""


@pytest.fixture(scope="module")
def filled(
    engines: Engines, photos: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Places]:
    with filled_with(photos, engines, tmp_path_factory.mktemp("same"), several=False) as ready:
        yield ready


@pytest.fixture(scope="module")
def filled_with_several(
    engines: Engines, products: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Places]:
    with filled_with(products, engines, tmp_path_factory.mktemp("same"), several=True) as ready:
        yield ready


@contextmanager
def filled_with(corpus: Corpus, engines: Engines, folder: Path, several: bool) -> Iterator[Places]:
    index = f"stair-test-same-{'several' if several else 'one'}-{os.getpid()}"
    urls = {
        "sqlite": f"sqlite:{folder / 'stair.db'}",
        "opensearch2": engines.url("opensearch2"),
        "opensearch": engines.url("opensearch"),
        "elasticsearch7": engines.url("elasticsearch7"),
        "elasticsearch8": engines.url("elasticsearch8"),  # these two with sparse_vector fields
        "elasticsearch9": engines.url("elasticsearch9"),
    }
    ready: Places = {}
    for name, url in urls.items():
        engine = connect(url)
        for shards in (1, 3) if name != "sqlite" else (1,):
            place = f"{index}-{shards}"
            engine.create(place, made_for(name, engine, shards, several))
            for start in range(0, len(corpus.documents), 300):
                outcomes = engine.bulk(place, corpus.documents[start : start + 300])
                assert all(outcome.ok for outcome in outcomes), outcomes
            engine.refresh(place)
            assert engine.count(place) == len(corpus.documents) >= 700
            ready[name if shards == 1 else f"{name}, {shards} shards"] = engine, place
    yield ready
    engines.wipe(index)
    for engine, _ in ready.values():
        engine.close()


def made_for(name: str, engine: Engine, shards: int, several: bool) -> dict[str, Any]:
    """The body of an index; of several photos, each has the columns, too."""
    text = {"caption": "text", "width": "integer"} if several else {}
    body = index_body(
        engine.info.product,
        columns=COLUMNS | text,
        shards=shards,
        replicas=0,
        several=several,
        token_type=token_type(name),
    )
    if several:
        fields = body["mappings"]["properties"]
        fields["photos"]["properties"] |= {column: fields[column] for column in COLUMNS}
    return body


def test_the_same_answers_everywhere(filled: Places, photos: Corpus) -> None:
    queries = list(generated(photos))
    assert len(queries) >= 200
    compare(queries, filled, photos)


def test_the_same_answers_of_several_photos(
    filled_with_several: Places, products: Corpus, photos: Corpus
) -> None:
    compare(list(of_several(products, photos)), filled_with_several, products)


def compare(queries: Sequence[tuple[str, Query]], filled: Places, corpus: Corpus) -> None:
    """Asks all of them, prints what was compared and holds it to what the design allows."""
    compared: Counter[str] = Counter()
    worst: dict[str, float] = {}
    for (kind, query), size in zip(queries, cycle(SIZES), strict=False):
        wanted = answer(filled["sqlite"], query, size)
        check_sum(wanted, f"sqlite, {kind}")
        for name, place in filled.items():
            if name == "sqlite" or (kind in TEXT and "shards" in name):
                continue
            where = f"{name}, {kind}, {size} hits, {query}"
            got = answer(place, query, size)
            check_sum(got, where)
            worst[name] = max(worst.get(name, 0), check_same(wanted, got, where))
            compared[name] += len(got.hits)
    print(f"\n{len(queries)} queries over {corpus.what}; hits compared: {dict(compared)}")
    print(f"largest difference, as a share of the sum of the parts: {worst}")
    # questions that find nothing prove nothing
    assert min(compared.values()) > 4 * len(queries)


def answer(place: tuple[Engine, str], query: Query, size: int) -> Hits:
    engine, index = place
    return engine.search(index, query, size)


def check_sum(hits: Hits, where: str) -> None:
    for hit in hits.hits:
        parts = [reason.score for reason in hit.why]
        assert abs(sum(parts) - hit.score) <= SHARE * sum(map(abs, parts)), (where, hit)


def check_same(wanted: Hits, got: Hits, where: str) -> float:
    """The largest difference of two scores, as a share of the sum of the parts."""
    assert got.total == wanted.total, where
    assert len(got.hits) == len(wanted.hits), where
    worst = 0.0
    for place, (one, other) in enumerate(zip(wanted.hits, got.hits, strict=True)):
        assert abs(one.score - other.score) <= slack(one), (where, place, one, other)
    ours, theirs = by_id(wanted), by_id(got)
    for hit in [*wanted.hits, *got.hits]:
        if hit.id in ours and hit.id in theirs:
            one, other = ours[hit.id], theirs[hit.id]
            assert abs(one.score - other.score) <= slack(one), (where, one, other)
            assert same_reasons(one, other), (where, one, other)
            assert one.photo == other.photo, (where, one, other)
            worst = max(worst, abs(one.score - other.score) / (one.score or 1))
        else:  # only a tie at the cut may be in one list alone
            assert hit.score - wanted.hits[-1].score <= slack(hit), (where, hit)
    return worst


def same_reasons(one: Hit, other: Hit) -> bool:
    near = slack(one)
    return len(one.why) == len(other.why) and all(
        (a.part, a.token) == (b.part, b.token)
        and abs(a.score - b.score) <= near
        and abs(a.query - b.query) <= SHARE * a.query
        and a.image == b.image
        for a, b in zip(sorted(one.why, key=by_name), sorted(other.why, key=by_name), strict=True)
    )


def by_name(reason: Reason) -> tuple[str, str, float]:
    return reason.part, reason.token, reason.score


def by_id(hits: Hits) -> dict[str, Hit]:
    return {hit.id: hit for hit in hits.hits}


def slack(hit: Hit) -> float:
    return SHARE * sum(abs(reason.score) for reason in hit.why)

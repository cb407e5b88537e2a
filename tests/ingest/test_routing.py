"""Documents that a column routes to their shards, and names that are not simply an index."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stair_search.engines import Document, connect
from stair_search.errors import DestinationError, ModelError
from stair_search.ingest import failures, verify
from stair_search.mappings import index_body
from tests.conftest import Engines
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.test_shards import packed

pytestmark = pytest.mark.engines


@pytest.fixture(params=["opensearch", "elasticsearch7"])
def place(request: pytest.FixtureRequest, engines: Engines) -> str:
    return engines.url(request.param)


@pytest.fixture
def listed(photos: Path, tmp_path: Path) -> Path:
    """Five photos of two tenants and one of none."""
    rows = ["0.jpg,north", "1.jpg,south", "2.jpg,north", "below/0.jpg,", "below/1.png,south"]
    (photos / "list.csv").write_text("\n".join(["image,tenant", *rows]))
    return photos / "list.csv"


@pytest.fixture
def columns(tmp_path: Path) -> Path:
    (tmp_path / "columns.toml").write_text('routing = "tenant"')
    return tmp_path / "columns.toml"


@pytest.fixture
def job(
    place: str, listed: Path, columns: Path, make_job: MakeJob, index_name: str
) -> Iterator[Job]:
    """Into an index of seven shards that takes nothing without a routing."""
    job = make_job(listed, url=place, index=index_name, columns=columns)
    job.engine = connect(place)
    body = index_body(job.engine.info.product, shards=7, replicas=0)
    body["mappings"]["_routing"] = {"required": True}
    job.engine.create(index_name, body)
    yield job
    job.engine.close()


def ask(job: Job, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data, kind = json.dumps(body).encode() if body else None, {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{job.settings.url}{path}", data, kind, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def routed(job: Job) -> dict[str, str]:
    """The routing of each document, by the photo's name."""
    found = ask(job, "POST", f"/{job.settings.index}/_search?size=100")["hits"]["hits"]
    assert len({hit["_id"] for hit in found}) == len(found)  # no document is there twice
    return {hit["_id"].rpartition("/photos/")[2]: hit.get("_routing") for hit in found}


def test_a_column_routes_documents_and_their_updates(job: Job, photos: Path) -> None:
    assert counts(job()) == (4, 0, 1)
    (failure,) = failures(job.settings.home)
    assert failure.uri.endswith("below/0.jpg")
    assert failure.reason == "nothing stands in 'tenant', which routes it"
    there = {"0.jpg": "north", "1.jpg": "south", "2.jpg": "north", "below/1.png": "south"}
    assert routed(job) == there

    make_photo(photos / "0.jpg", "pink")
    assert counts(job()) == (1, 3, 1)
    assert routed(job) == there
    assert verify(job.settings.home, job.engine) == (4, 4, [], [])
    for name, source in job.documents("tenant").items():
        found = job.engine.get(job.settings.index, name)  # by its id alone
        assert found is not None and found["tenant"] == source["tenant"]


def test_a_routing_that_changes_would_make_a_second_document(job: Job, listed: Path) -> None:
    job()
    told = listed.read_text()
    listed.write_text(told.replace("1.jpg,south", "1.jpg,north"))
    assert counts(job()) == (0, 3, 2)
    (reason,) = [one.reason for one in failures(job.settings.home) if "1.jpg" in one.uri]
    assert reason.startswith("it was routed by 'south' and is routed by 'north' now")
    assert routed(job)["1.jpg"] == "south"

    (name,) = [name for name in job.documents() if name.endswith("/1.jpg")]
    quoted = urllib.request.quote(name, safe="")  # type: ignore[attr-defined]
    ask(job, "DELETE", f"/{job.settings.index}/_doc/{quoted}?routing=south&refresh=true")
    assert verify(job.settings.home, job.engine).missing == [name]
    assert counts(job()) == (1, 3, 1)
    job.engine.refresh(job.settings.index)
    assert routed(job)["1.jpg"] == "north"


def test_an_index_that_wants_a_routing_refuses_a_job_without_one_at_once(job: Job) -> None:
    with pytest.raises(ModelError, match="wants a routing with each document") as raised:
        job(columns=None)
    assert raised.value.exit_code == 4
    assert job.encoder.encoded() == 0


def test_rows_of_one_photo_must_agree(job: Job, listed: Path) -> None:
    listed.write_text("image,tenant\n0.jpg,north\n0.jpg,\n1.jpg,north\n1.jpg,south\n")
    assert counts(job()) == (1, 0, 1)
    (failure,) = failures(job.settings.home)
    assert failure.reason.endswith("line 5: its rows name two routings, 'north' and 'south'")


def test_a_shard_and_captions_name_routings_too(job: Job, photos: Path, listed: Path) -> None:
    red = (photos / "0.jpg").read_bytes()
    packed(photos / "a.tar", {"x.jpg": red, "x.json": b'{"tenant": "east"}', "y.jpg": red})
    assert counts(job(sources=(str(photos),), captions=listed)) == (5, 0, 3)
    found = routed(job)
    assert found["a.tar#x.jpg"] == "east"
    assert found["0.jpg"] == "north"


def test_an_empty_routing_is_refused(job: Job) -> None:
    (outcome,) = job.engine.bulk(job.settings.index, [Document("a", {}, "")])
    assert (outcome.status, outcome.error) == (400, "the routing is empty")


# --- names that are no index --------------------------------------------------------------------


def test_aliases(job: Job, index_name: str) -> None:
    alias, first, second = index_name, f"{index_name}-1", f"{index_name}-2"
    ask(job, "DELETE", f"/{index_name}")
    for name in (first, second):
        job.engine.create(name, index_body(job.engine.info.product, replicas=0))
    add = {"index": first, "alias": alias}
    ask(job, "POST", "/_aliases", {"actions": [{"add": add}]})
    assert counts(job()) == (4, 0, 1)
    assert job.engine.count(first) == 4

    ask(job, "POST", "/_aliases", {"actions": [{"add": {"index": second, "alias": alias}}]})
    with pytest.raises(DestinationError, match=f"alias without a write index.*{first}, {second}"):
        job()
    one = {"add": {"index": first, "alias": alias, "is_write_index": True}}
    ask(job, "POST", "/_aliases", {"actions": [one]})
    job()
    assert any(f"written to {first!r}" in notice for notice in job.notices)
    job.engine.refresh(alias)
    assert (job.engine.count(first), job.engine.count(second)) == (4, 0)
    (name, *_) = job.documents()
    assert job.engine.get(alias, name) is not None  # no engine gets from several


def test_a_data_stream_is_refused(
    opensearch_url: str, photos: Path, make_job: MakeJob, index_name: str
) -> None:
    job = make_job(photos, url=opensearch_url, index=index_name)
    job.engine = connect(opensearch_url)
    template = {"index_patterns": [index_name], "data_stream": {}}
    ask(job, "PUT", f"/_index_template/{index_name}", template)
    ask(job, "PUT", f"/_data_stream/{index_name}")
    try:
        with pytest.raises(DestinationError, match="data stream"):
            job()
        assert job.encoder.encoded() == 0
    finally:
        ask(job, "DELETE", f"/_data_stream/{index_name}")
        ask(job, "DELETE", f"/_index_template/{index_name}")
        job.engine.close()

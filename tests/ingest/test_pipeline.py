"""Ingest pipelines of a cluster: the one that a job names, and those that an index has itself."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stair_search.engines import Document, RequestError, connect
from stair_search.errors import DestinationError, UsageError
from stair_search.ingest import failures, verify
from stair_search.mappings import index_body
from tests.conftest import Engines
from tests.ingest.conftest import Job, MakeJob, counts, make_photo

MARK = {"set": {"field": "marked", "value": "yes"}}


@pytest.fixture(params=["opensearch", "elasticsearch7"])
def place(request: pytest.FixtureRequest, engines: Engines) -> str:
    return engines.url(request.param)


@pytest.fixture
def job(place: str, photos: Path, make_job: MakeJob, index_name: str) -> Iterator[Job]:
    job = make_job(photos, url=place, index=index_name)
    job.engine = connect(place)
    yield job
    job.engine.close()


Make = Callable[..., str]


@pytest.fixture
def pipeline(place: str, index_name: str) -> Iterator[Make]:
    """Makes a pipeline of these processors; answers its name."""
    made: list[str] = []

    def make(*processors: dict[str, Any]) -> str:
        made.append(f"{index_name}-{len(made)}")
        _send(place, "PUT", made[-1], {"processors": list(processors)})
        return made[-1]

    yield make
    for name in made:
        with suppress(OSError):  # a test may have deleted it
            _send(place, "DELETE", name)


def _send(place: str, method: str, name: str, body: dict[str, Any] | None = None) -> None:
    url, kind = f"{place}/_ingest/pipeline/{name}", {"Content-Type": "application/json"}
    data = json.dumps(body).encode() if body else None
    urllib.request.urlopen(urllib.request.Request(url, data, kind, method=method)).close()


@pytest.mark.engines
def test_every_document_goes_through_it_the_new_and_the_known(
    job: Job, photos: Path, pipeline: Make
) -> None:
    name = pipeline(MARK, {"set": {"field": "caption", "value": "by the pipeline"}})
    captions = photos / "c.csv"
    captions.write_text("image,caption\n0.jpg,as it was told\n")
    assert counts(job(pipeline=name, captions=captions)) == (6, 0, 0)
    found = job.documents("marked", "caption")
    assert [*found.values()] == [{"marked": "yes", "caption": "by the pipeline"}] * 6

    (known,) = [name for name in found if name.endswith("photos/0.jpg")]
    job.engine.bulk(job.settings.index, [Document(known, {"marked": "no", "price": 7})])
    make_photo(photos / "0.jpg", "pink")
    assert counts(job(pipeline=name, captions=captions)) == (1, 5, 0)
    written = job.engine.get(job.settings.index, known)
    assert written is not None
    assert written["price"] == 7  # in place, with what others have put there
    assert (written["marked"], written["caption"]) == ("yes", "by the pipeline")
    assert verify(job.settings.home, job.engine).equal


@pytest.mark.engines
def test_another_pipeline_writes_all_documents_again(job: Job, pipeline: Make) -> None:
    assert counts(job()) == (6, 0, 0)
    name = pipeline(MARK)
    assert counts(job(pipeline=name)) == (6, 0, 0)
    assert counts(job(pipeline=name)) == (0, 6, 0)
    assert all(found == {"marked": "yes"} for found in job.documents("marked").values())


@pytest.mark.engines
@pytest.mark.parametrize(
    ("processor", "reason"),
    [
        ({"drop": {}}, "dropped by pipeline"),
        ({"set": {"field": "_id", "value": "other"}}, "sets _id to 'other'"),
        ({"set": {"field": "_index", "value": "elsewhere"}}, "sets _index to 'elsewhere'"),
        ({"set": {"field": "_routing", "value": "r"}}, "sets _routing to 'r'"),
        ({"set": {"field": "width.unit", "value": "px"}}, "illegal_argument_exception"),
    ],
)
def test_what_a_pipeline_drops_moves_or_breaks_is_told_and_not_written(
    job: Job, pipeline: Make, processor: dict[str, Any], reason: str
) -> None:
    name = pipeline(processor)
    assert counts(job(pipeline=name)) == (0, 0, 6)
    told = [failure.reason for failure in failures(job.settings.home)]
    assert all(reason in one and name in one for one in told)
    assert job.documents() == {}
    assert not job.engine.exists("elsewhere")


@pytest.mark.engines
def test_a_missing_one_is_refused_before_anything_is_done(job: Job) -> None:
    with pytest.raises(DestinationError, match="no ingest pipeline 'nobody-made-it'"):
        job(pipeline="nobody-made-it")
    assert not job.engine.exists(job.settings.index)
    assert job.encoder.encoded() == 0


@pytest.mark.engines
def test_one_that_goes_in_mid_run_ends_the_run(job: Job, pipeline: Make, place: str) -> None:
    name = pipeline(MARK)
    job.engine.create(job.settings.index, index_body(job.engine.info.product))
    _send(place, "DELETE", name)
    with pytest.raises(DestinationError, match=name) as raised:
        job.engine.bulk(job.settings.index, [Document("a", {})], name)
    assert not isinstance(raised.value, RequestError)  # which would be tried on each half


@pytest.mark.engines
@pytest.mark.parametrize("setting", ["default_pipeline", "final_pipeline"])
def test_an_index_with_pipelines_of_its_own(
    job: Job, pipeline: Make, photos: Path, setting: str
) -> None:
    body = index_body(job.engine.info.product)
    body["settings"]["index"][setting] = mark = pipeline(MARK)
    job.engine.create(job.settings.index, body)
    assert counts(job()) == (6, 0, 0)
    assert any(f"{setting} {mark!r}" in notice for notice in job.notices)
    assert [*job.documents("marked").values()] == [{"marked": "yes"}] * 6

    job.engine.change_settings(job.settings.index, {setting: pipeline({"drop": {}})})
    make_photo(photos / "0.jpg", "pink")
    make_photo(photos / "new.jpg", "brown")
    assert counts(job()) == (0, 5, 2)
    reasons = {failure.reason for failure in failures(job.settings.home)}
    assert reasons == {f"{job.engine.info.product}: dropped by an ingest pipeline of the index"}


def test_a_file_has_no_pipelines(photos: Path, make_job: MakeJob) -> None:
    job = make_job(photos)
    with pytest.raises(UsageError, match=r"'mark'.*is a file") as raised:
        job(pipeline="mark")
    assert raised.value.exit_code == 2
    with pytest.raises(UsageError):
        job.engine.bulk("photos", [], "mark")

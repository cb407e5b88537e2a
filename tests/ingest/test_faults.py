"""Nothing is lost and nothing written twice, whatever stands between us and a real engine."""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stair_search.engines import connect
from stair_search.errors import DestinationError
from stair_search.ingest import bulk, failures, verify
from stair_search.ingest.load import LOADING
from stair_search.mappings import index_body
from tests.conftest import Engines
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.proxy import MIXED, Fault, Proxy, proxy_to

pytestmark = pytest.mark.engines


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for n in range(40):
        make_photo(tmp_path / "many" / f"{n:02}.png", f"rgb({n * 6}, {255 - n * 6}, {n})")
    return tmp_path / "many"


@pytest.fixture(params=["opensearch", "elasticsearch7"])
def proxy(request: pytest.FixtureRequest, engines: Engines) -> Iterator[Proxy]:
    with proxy_to(engines.url(request.param)) as proxy:
        yield proxy


@pytest.fixture
def job(proxy: Proxy, many: Path, make_job: MakeJob, index_name: str) -> Iterator[Job]:
    job = make_job(
        many, url=proxy.url, index=index_name, bulk_documents=10, encode_batch=4, retry_seconds=20.0
    )
    job.engine = connect(proxy.url, timeout=2)
    yield job
    job.engine.close()


@pytest.mark.parametrize(
    "faults",
    [
        [429, 503, 502, 504, 429],
        ["cut before", "cut after", "cut before"],
        ["item 429", "item 429", 429, "item 429"],
        ["stall", 429],
    ],
)
def test_it_goes_on_where_it_was_refused(job: Job, proxy: Proxy, faults: list[Fault]) -> None:
    proxy.faults.extend(faults)
    assert counts(job()) == (40, 0, 0)
    assert not proxy.faults
    assert verify(job.settings.home, job.engine) == (40, 40, [], [])
    assert job.encoder.encoded() == 40


@pytest.mark.slow
def test_all_faults_mixed_with_several_requests_at_once(job: Job, proxy: Proxy, many: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    for n in range(40, 400):
        make_photo(many / f"{n}.png", f"rgb({n % 256}, {n // 256}, 99)")
    with proxy_to(proxy.upstream) as straight:
        job.engine.create(job.settings.index, index_body(job.engine.info.product))
        before = settings(straight, job)
        proxy.dice, proxy.largest, proxy.stall_seconds = random.Random(seed), 5000, 2.5
        assert counts(job(bulk_requests=4, load_settings=True, retry_seconds=120.0)) == (400, 0, 0)
        assert settings(straight, job) == before
    assert proxy.thrown == {*MIXED}
    assert proxy.requests and max(length for length, _ in proxy.requests) <= 5000
    proxy.dice = None
    proxy.faults.clear()
    assert verify(job.settings.home, job.engine) == (400, 400, [], [])
    assert job.engine.count(job.settings.index) == 400
    assert job.encoder.encoded() == 400


def settings(proxy: Proxy, job: Job) -> dict[str, object]:
    engine = connect(proxy.url)
    found = engine.settings(job.settings.index)
    engine.close()
    return {name: found.get(name) for name in LOADING}


def test_too_large_requests_are_halved(job: Job, proxy: Proxy) -> None:
    proxy.largest = 3000
    assert counts(job()) == (40, 0, 0)
    assert proxy.refused > 0
    assert max(length for length, _ in proxy.requests) <= 3000
    assert verify(job.settings.home, job.engine).equal


def test_a_document_that_is_too_large_fails_alone(job: Job, proxy: Proxy, many: Path) -> None:
    csv = many / "c.csv"
    csv.write_text(f"image,caption\n07.png,{'long ' * 2000}\n")
    proxy.largest = 8000
    assert counts(job(captions=csv)) == (39, 0, 1)
    (failure,) = failures(job.settings.home)
    assert failure.id.endswith("07.png")
    assert "413" in failure.reason


def test_requests_are_bounded_in_bytes_and_number(job: Job, proxy: Proxy) -> None:
    job(bulk_bytes=4000, bulk_documents=1000)
    assert max(length for length, _ in proxy.requests) <= 4000
    assert min(number for _, number in proxy.requests[:-1]) > 1
    proxy.requests.clear()


def test_a_document_fails_with_the_words_of_the_engine(job: Job, many: Path) -> None:
    body = index_body(job.engine.info.product, job.settings.fields, {"taken": "integer"})
    job.engine.create(job.settings.index, body)
    csv = many / "c.csv"
    csv.write_text("image,taken\n03.png,1999\n04.png,long ago\n05.png,2001\n")
    assert counts(job(captions=csv)) == (39, 0, 1)
    (failure,) = failures(job.settings.home)
    assert failure.id.endswith("04.png")
    assert "taken" in failure.reason
    assert "mapper_parsing_exception" in failure.reason
    csv.write_text("image,taken\n03.png,1999\n04.png,1998\n05.png,2001\n")
    assert counts(job(captions=csv)) == (1, 39, 0)


def test_every_other_document_is_refused_for_good(job: Job, proxy: Proxy) -> None:
    proxy.faults.append("item 400")
    assert counts(job()) == (35, 0, 5)
    assert {f.reason.partition(": ")[2] for f in failures(job.settings.home)} == {
        "told_so: told to say 400"
    }
    assert counts(job()) == (5, 35, 0)


def test_an_engine_that_takes_nothing_ends_the_run_and_keeps_the_rest(
    job: Job, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.faults.extend([429] * 2)
    assert counts(job(retry_seconds=20.0)) == (40, 0, 0)
    for n in range(40):
        make_photo(Path(job.settings.sources[0]) / f"{n:02}.png", f"rgb(9, {n * 6}, 9)")
    proxy.faults.extend(["item 429", *[503] * 10_000])
    monkeypatch.setattr(bulk, "SILENT_SECONDS", 1)
    with pytest.raises(DestinationError, match="took no documents for 3 s") as raised:
        job(retry_seconds=3.0)
    assert raised.value.exit_code == 3
    told = [line for line in job.notices if line.startswith("waiting for http")]
    assert len(told) == 1
    assert "3 s at most" in told[0]
    proxy.faults.clear()
    report = job()
    assert report.indexed < 40  # what was taken of the first request is kept
    assert report.indexed + report.unchanged == 40
    assert verify(job.settings.home, job.engine).equal


def test_a_read_only_index_ends_the_run_with_its_reason(job: Job, proxy: Proxy, many: Path) -> None:
    job()
    _put(f"{proxy.upstream}/{job.settings.index}/_settings", {"index.blocks.write": True})
    make_photo(many / "new.png")
    with pytest.raises(DestinationError, match="block"):
        job()
    _put(f"{proxy.upstream}/{job.settings.index}/_settings", {"index.blocks.write": None})
    assert counts(job()) == (1, 40, 0)


def test_an_index_deleted_in_mid_run_is_not_made_anew_by_writing(
    job: Job, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = job.engine.bulk

    def delete_first(*args: object) -> object:
        monkeypatch.setattr(job.engine, "bulk", written)
        url = f"{proxy.upstream}/{job.settings.index}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()
        return written(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(job.engine, "bulk", delete_first)
    with pytest.raises(DestinationError):
        job()
    assert counts(job()) == (40, 0, 0)
    assert verify(job.settings.home, job.engine).equal


def _put(url: str, body: dict[str, object]) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT"
    )
    urllib.request.urlopen(request).close()

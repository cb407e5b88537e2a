"""Photos at web addresses, from a list into an index."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from stair_search.ingest import failures, verify
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.reading.conftest import Request, Server, serving

SECRET = "X-Amz-Signature=1f3a"


@pytest.fixture
def server() -> Any:
    with serving() as server:
        yield server


@pytest.fixture
def listed(server: Server, tmp_path: Path) -> Path:
    """A list of six photos at signed addresses of this machine."""
    for n in range(6):
        data = make_photo(tmp_path / "made" / f"{n}.jpg", f"rgb({n * 40}, 9, 9)").read_bytes()
        server.paths[f"/{n}.jpg"] = tagged(data, f'"v{n}"')
    rows = [{"image": f"{server.url}/{n}.jpg?{SECRET}", "caption": f"{n}"} for n in range(6)]
    file = tmp_path / "list.ndjson"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def tagged(data: bytes, tag: str) -> Callable[[Request], object]:
    def answer(request: Request) -> None:
        known = request.headers.get("If-None-Match") == tag
        request.answer(304 if known else 200, b"" if known else data, ETag=tag)

    return answer


@pytest.fixture
def job(listed: Path, make_job: MakeJob) -> Job:
    return make_job(listed, allow_private=True)


def test_they_are_downloaded_once(job: Job, server: Server, tmp_path: Path) -> None:
    assert counts(job()) == (6, 0, 0)
    assert len(server.requests) == 6
    assert counts(job()) == (0, 6, 0)
    assert all("if-none-match" in headers for headers in server.headers[6:])
    server.paths["/3.jpg"] = tagged(make_photo(tmp_path / "new.jpg", "pink").read_bytes(), '"w"')
    assert counts(job()) == (1, 5, 0)
    assert job.encoder.encoded() == 7
    assert verify(job.settings.home, job.engine) == (6, 6, [], [])


def test_a_new_tag_on_the_same_bytes_is_no_new_photo(job: Job, server: Server) -> None:
    job()
    data = (job.settings.home.parent / "made" / "2.jpg").read_bytes()
    server.paths["/2.jpg"] = tagged(data, '"another"')
    assert counts(job()) == (0, 6, 0)
    assert job.encoder.encoded() == 6
    requests = len(server.requests)
    assert counts(job()) == (0, 6, 0)
    asked = [headers["if-none-match"] for headers in server.headers[requests:]]
    assert '"another"' in asked


def test_a_changed_caption_is_written_though_the_photo_is_the_same(job: Job, listed: Path) -> None:
    job()
    listed.write_text(listed.read_text().replace('"caption": "4"', '"caption": "four"'))
    assert counts(job()) == (1, 5, 0)
    assert {d["caption"] for d in job.documents("caption").values()} >= {"four"}


def test_a_photo_that_failed_and_comes_back_unchanged(job: Job, server: Server) -> None:
    job()
    good = server.paths["/1.jpg"]
    server.paths["/1.jpg"] = lambda request: request.answer(404, b"")
    assert counts(job()) == (0, 5, 1)
    server.paths["/1.jpg"] = good
    assert counts(job()) == (0, 6, 0)
    assert verify(job.settings.home, job.engine).equal


def test_without_a_tag_the_date_and_the_size_tell(job: Job, server: Server) -> None:
    date = formatdate(1_700_000_000, usegmt=True)
    data = (job.settings.home.parent / "made" / "0.jpg").read_bytes()
    server.paths["/0.jpg"] = lambda request: request.answer(200, data, Last_Modified=date)
    job()
    assert counts(job()) == (0, 6, 0)
    assert any(headers.get("if-modified-since") == date for headers in server.headers[6:])


def test_private_addresses_are_refused_unless_allowed_in_words(job: Job, server: Server) -> None:
    assert counts(job(allow_private=False)) == (0, 0, 6)
    assert server.connections == 0
    told = {failure.reason for failure in failures(job.settings.home)}
    assert all("--allow-private-addresses" in reason for reason in told)
    assert counts(job(allow_hosts=("*.example.org",))) == (0, 0, 6)
    assert server.connections == 0


def test_no_signature_is_kept_anywhere(
    job: Job, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.paths["/5.jpg"] = lambda request: request.answer(403, b"")
    assert counts(job()) == (5, 0, 1)
    kept = [file.read_bytes() for file in job.settings.home.parent.rglob("*") if file.is_file()]
    lists = [one for one in kept if SECRET.encode() in one]
    assert len(lists) == 1  # the user's own
    assert SECRET not in caplog.text + "".join(job.notices)
    assert {d["image"] for d in job.documents("image").values()} == {
        f"{server.url}/{n}.jpg" for n in range(5)
    }

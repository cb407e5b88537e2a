"""Photos at web addresses, from a list into an index."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.ingest import failures, verify
from stair_search.ingest.photo import PhotoError
from stair_search.ingest.reading.addresses import Allowed
from stair_search.ingest.reading.reader import Reader
from stair_search.ingest.sources import Sources
from stair_search.tokens import TokenWeights
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.reading.conftest import Request, Server, serving
from tests.ingest.standin import ColourEncoder
from tests.ingest.test_shards import packed

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


def served(data: bytes, tag: str = '"v"') -> Callable[[Request], object]:
    """A file as most servers give it: whole, or a part of it."""

    def answer(request: Request) -> None:
        part = request.headers.get("Range")
        if not part:
            request.answer(200, data, ETag=tag)
            return
        first, last = map(int, part.removeprefix("bytes=").split("-"))
        said = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
        request.answer(206, data[first : last + 1], ETag=tag, Content_Range=said)

    return answer


class TestSources:
    """Lists, tar files and photos at addresses that are named themselves."""

    def test_a_list(self, server: Server, listed: Path, make_job: MakeJob) -> None:
        rows = (
            "image,caption\n0.jpg,beside it\n/1.jpg,\nfile:///etc/passwd,\n//other/2.jpg,\n"
            f"{server.url}/3.jpg?{SECRET},whole\n../up/4.jpg,\na b.jpg,\ns3://bucket/5.jpg,\n"
        )
        server.paths["/lists/a.csv"] = lambda request: request.answer(200, rows.encode())
        for path in ("/lists/0.jpg", "/up/4.jpg", "/lists/a%20b.jpg"):
            server.paths[path] = server.paths["/0.jpg"]
        job = make_job(f"{server.url}/lists/a.csv?{SECRET}", allow_private=True)
        report = job()
        assert counts(report) == (4, 0, 4)
        assert {d["image"] for d in job.documents("image").values()} == {
            f"{server.url}{path}"
            for path in ("/lists/0.jpg", "/3.jpg", "/up/4.jpg", "/lists/a%20b.jpg")
        }
        told = [failure.reason for failure in failures(job.settings.home)]
        assert sum("names no files of this machine" in reason for reason in told) == 3
        assert sum("--allow-host s3://bucket allows it" in reason for reason in told) == 1
        kept = [file.read_bytes() for file in job.settings.home.rglob("*") if file.is_file()]
        assert SECRET.encode() not in b"".join(kept)
        again = make_job(f"{server.url}/lists/a.csv?X-Amz-Signature=2", allow_private=True)
        assert again.settings.home == job.settings.home

    @pytest.mark.parametrize("ending", ["csv", "ndjson", "tar", "jpg"])
    def test_a_private_address_is_refused(
        self, server: Server, make_job: MakeJob, ending: str
    ) -> None:
        with pytest.raises(UsageError, match="--allow-private-addresses"):
            make_job(f"{server.url}/a.{ending}")()
        assert not server.requests

    def test_a_list_that_is_not_there(self, server: Server, make_job: MakeJob) -> None:
        server.paths["/a.csv"] = lambda request: request.answer(404, b"")
        with pytest.raises(UsageError, match=r"/a\.csv: 127\.0\.0\.1 answers 404") as raised:
            make_job(f"{server.url}/a.csv?{SECRET}", allow_private=True)()
        assert SECRET not in str(raised.value)

    def test_a_list_is_bounded(
        self, server: Server, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.paths["/a.csv"] = lambda request: request.answer(200, b"image\n" + b"x\n" * 10_000)
        monkeypatch.setattr("stair_search.ingest.reading.reader.MOST_LIST", 10_000)
        with pytest.raises(UsageError, match="too large"):
            make_job(f"{server.url}/a.csv", allow_private=True)()

    def test_a_tar_file(self, server: Server, make_job: MakeJob, tmp_path: Path) -> None:
        members = {f"{n}.jpg": make_photo(tmp_path / f"{n}.jpg").read_bytes() for n in range(3)}
        data = packed(tmp_path / "a.tar", members).read_bytes()
        server.paths["/a.tar"] = served(data)
        job = make_job(f"{server.url}/a.tar?{SECRET}", allow_private=True)
        assert counts(job()) == (3, 0, 0)
        assert set(job.documents()) == {f"{server.url}/a.tar#{n}.jpg" for n in range(3)}
        assert counts(job()) == (0, 3, 0)
        server.paths["/a.tar"] = served(data, '"w"')
        assert counts(job()) == (0, 3, 0)
        assert job.encoder.encoded() == 3

    def test_a_tar_file_that_changes_while_it_is_read(self, server: Server, tmp_path: Path) -> None:
        jpeg = make_photo(tmp_path / "0.jpg").read_bytes()
        data = packed(tmp_path / "a.tar", {"0.jpg": jpeg}).read_bytes()
        server.paths["/a.tar"] = served(data)
        reader = Reader(Allowed(private=True))
        (photo,) = Sources([f"{server.url}/a.tar"], None, Fields(), reader=reader)
        server.paths["/a.tar"] = served(data, '"w"')
        with pytest.raises(PhotoError, match="changed while it was read"):
            reader.read(photo.place)

    def test_a_tar_file_that_changes_while_it_is_looked_into(
        self, server: Server, tmp_path: Path
    ) -> None:
        data = packed(tmp_path / "a.tar", {"0.bin": b"x" * 2**20, "1.jpg": b"x"}).read_bytes()
        answers = iter([served(data), served(data)])

        def answer(request: Request) -> None:
            next(answers, served(data, '"w"'))(request)

        server.paths["/a.tar"] = answer
        reader = Reader(Allowed(private=True))
        (bad,) = Sources([f"{server.url}/a.tar"], None, Fields(), reader=reader)
        assert bad.problem is not None and "changed while it was read" in bad.problem

    def test_a_server_that_gives_no_parts(self, server: Server) -> None:
        reader = Reader(Allowed(private=True))
        (bad,) = Sources([f"{server.url}/a.tar"], None, Fields(), reader=reader)
        assert bad.problem == "127.0.0.1 gives no parts of files: fetch the file, and ingest that"

    def test_a_photo(self, server: Server, listed: Path, make_job: MakeJob) -> None:
        job = make_job(f"{server.url}/0.jpg?{SECRET}", allow_private=True)
        assert counts(job()) == (1, 0, 0)
        assert set(job.documents()) == {f"{server.url}/0.jpg"}


def test_a_slow_photo_holds_up_no_other(server: Server, tmp_path: Path, make_job: MakeJob) -> None:
    jpeg = make_photo(tmp_path / "0.jpg").read_bytes()
    others = threading.Event()

    def slow(request: Request) -> None:
        assert others.wait(60)
        request.answer(200, jpeg)

    server.paths |= {f"/{n}.jpg": lambda request: request.answer(200, jpeg) for n in range(1, 40)}
    server.paths["/0.jpg"] = slow
    file = tmp_path / "list.ndjson"
    file.write_text("".join(f'{{"image": "{server.url}/{n}.jpg"}}\n' for n in range(40)))
    job = make_job(file, allow_private=True, bulk_documents=1, encode_batch=1)

    class Watched(ColourEncoder):
        seen = 0

        def encode_images(self, pixels: NDArray[np.uint8]) -> list[TokenWeights]:
            Watched.seen += 1
            if Watched.seen == 20:
                others.set()
            return super().encode_images(pixels)

    assert counts(job(Watched())) == (40, 0, 0)

"""Photos in buckets: listed a page at a time, recognised by the listing, read by ranges."""

from __future__ import annotations

import io
import json
import re
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.ingest import failures, verify
from stair_search.ingest.photo import Photo, PhotoError, Place
from stair_search.ingest.reading import stores
from stair_search.ingest.reading.addresses import Allowed
from stair_search.ingest.reading.reader import Reader
from stair_search.ingest.sources import Sources
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.stores import GCS, S3

Put = Callable[[str, bytes], object]
SECRET = "wJalrXUtnFEMI"


class Bucket:
    """A bucket of either store. put: by its protocol; put_in: behind its back, for many. asked:
    requests that came since it was filled.
    """

    def __init__(self, address: str, put: Put, put_in: Put, asked: list[str]) -> None:
        self.address, self.put, self.put_in, self.asked = address, put, put_in, asked

    def __truediv__(self, key: str) -> str:
        return f"{self.address}/{key}"

    def fill(self, photos: Path) -> None:
        for file in sorted(photos.rglob("*.*")):
            self.put(f"photos/{file.relative_to(photos)}", file.read_bytes())
        self.asked.clear()

    def read_bytes(self) -> int:
        """That parts of objects were asked for."""
        parts = re.findall(r"bytes=(\d+)-(\d+)", " ".join(self.asked))
        return sum(int(last) - int(first) + 1 for first, last in parts)

    def requests(self) -> tuple[int, int]:
        """Listings, and others."""
        lists = [one for one in self.asked if "list-type=2" in one or "/o?" in one]
        return len(lists), len(self.asked) - len(lists)


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    name = f"photos-{uuid.uuid4().hex[:12]}"
    if request.param == "gs":
        gcs: GCS = request.getfixturevalue("gcs")
        gcs.buckets[name] = {}

        def put_in(key: str, data: bytes) -> None:
            gcs.put(name, key, data)

        return Bucket(f"gs://{name}", put_in, put_in, gcs.requests)
    s3: S3 = request.getfixturevalue("s3")
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    return Bucket(
        f"s3://{name}",
        lambda key, data: client.put_object(Bucket=name, Key=key, Body=data),
        lambda key, data: s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(name, key, data),
        s3.requests,
    )


@pytest.fixture
def job(bucket: Bucket, photos: Path, make_job: MakeJob) -> Job:
    bucket.fill(photos)
    return make_job(bucket / "photos")


def found(*names: str, **settings: Any) -> list[Photo]:
    buckets = tuple("/".join(name.split("/")[:3]) for name in names)
    reader = Reader(Allowed(buckets=buckets))
    return list(Sources(names, None, Fields(), reader=reader, **settings))


def test_a_prefix_is_walked_like_a_folder(bucket: Bucket, photos: Path) -> None:
    bucket.fill(photos)
    for key in ("photos/notes.txt", "photos/.hidden/0.jpg", "photos/folder/", "photos-2/0.jpg"):
        bucket.put(key, b"x")
    for source in ("photos", "photos/"):
        assert [photo.id for photo in found(bucket / source)] == [
            bucket / f"photos/{name}"
            for name in ("0.jpg", "1.jpg", "2.jpg", "below/0.jpg", "below/1.png", "below/2.webp")
        ]
    assert len(found(bucket.address)) == 7
    assert [photo.uri for photo in found(bucket / "photos/notes.txt")] == [
        bucket / "photos/notes.txt"
    ]


def test_they_are_downloaded_once_and_known_by_the_listing(job: Job, bucket: Bucket) -> None:
    assert counts(job()) == (6, 0, 0)
    assert {d["image"] for d in job.documents("image").values()} >= {bucket / "photos/0.jpg"}
    assert verify(job.settings.home, job.engine) == (6, 6, [], [])
    bucket.asked.clear()
    assert counts(job()) == (0, 6, 0)
    listings, others = bucket.requests()
    assert others <= 1  # whether the source is an object; nothing for a photo
    assert listings <= 3  # whether there is any, the photos, and beside them their number
    assert job.encoder.encoded() == 6


def test_a_photo_that_was_replaced_is_noticed(job: Job, bucket: Bucket, tmp_path: Path) -> None:
    job()
    bucket.put("photos/1.jpg", make_photo(tmp_path / "a.jpg", "pink").read_bytes())
    assert counts(job()) == (1, 5, 0)
    assert job.encoder.encoded() == 7


def test_odd_keys_are_keys(bucket: Bucket, photos: Path) -> None:
    data = (photos / "0.jpg").read_bytes()
    names = ["a//b.jpg", "a/./c.jpg", "a/b c#?%41.jpg", "é/ü.jpg", "x&<y>.jpg"]
    for name in names:
        bucket.put(f"odd/{name}", data)
    reader = Reader(Allowed(buckets=(bucket.address,)))
    told = found(bucket / "odd")
    # of what starts with a dot nothing is taken, as in folders
    assert sorted(photo.uri for photo in told) == sorted(
        bucket / f"odd/{name}" for name in names if "/." not in name
    )
    for photo in told:
        content = reader.read(photo.place)
        assert content is not None and content.data == data


@pytest.mark.slow
def test_a_listing_comes_in_pages(bucket: Bucket, gcs: GCS) -> None:
    for n in range(2500):
        bucket.put_in(f"many/{n:05}.jpg", b"x" * 10)
    bucket.asked.clear()
    pages = []
    for n, _ in enumerate(stores.store(bucket.address).objects("many/")):
        if n in (0, 999, 1000, 2499):
            pages.append(bucket.requests()[0])
    assert pages == [1, 1, 2, 3]  # none is asked for before it is needed


class TestShards:
    @pytest.fixture
    def shard(self, photos: Path) -> bytes:
        return packed({f"{n}.jpg": (photos / f"{n}.jpg").read_bytes() for n in range(3)})

    def test_members_are_read_where_they_lie(
        self, bucket: Bucket, shard: bytes, make_job: MakeJob
    ) -> None:
        bucket.put("shards/0.tar", shard)
        job = make_job(bucket / "shards")
        assert counts(job()) == (3, 0, 0)
        assert set(job.documents()) == {bucket / f"shards/0.tar#{n}.jpg" for n in range(3)}
        assert counts(job()) == (0, 3, 0)
        assert verify(job.settings.home, job.engine) == (3, 3, [], [])

    def test_a_shard_that_is_replaced_while_it_is_read(self, bucket: Bucket, shard: bytes) -> None:
        bucket.put("a.tar", shard)
        photos = found(bucket / "a.tar")
        bucket.put("a.tar", packed({f"{n}.jpg": b"\xff\xd8\xff" * 400 for n in range(3)}))
        reader = Reader(Allowed(buckets=(bucket.address,)))
        with pytest.raises(PhotoError, match="changed while it was read"):
            reader.read(photos[1].place)

    def test_large_members_are_passed_over(
        self, bucket: Bucket, photos: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jpeg = (photos / "0.jpg").read_bytes()
        bucket.put("a.tar", packed({"a.bin": b"x" * 2**23, "0.jpg": jpeg}))
        got = 0
        read = type(stores.store(bucket.address)).read

        def counted(*args: Any, **told: Any) -> Any:
            nonlocal got
            content = read(*args, **told)
            got += len(content.data) if content else 0
            return content

        monkeypatch.setattr(type(stores.store(bucket.address)), "read", counted)
        assert len(found(bucket / "a.tar")) == 1
        assert got < 2**20

    def test_a_shard_that_is_cut_is_good_up_to_there(self, bucket: Bucket, shard: bytes) -> None:
        bucket.put("a.tar", shard[:2500])
        *good, bad = found(bucket / "a.tar")
        assert len(good) == 1
        assert bad.problem is not None and "it ends in the middle of 1.jpg" in bad.problem


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=2)
    return file.getvalue()


@pytest.mark.slow
def test_parquet_files(bucket: Bucket, photos: Path, make_job: MakeJob) -> None:
    bucket.fill(photos)
    jpegs = [(photos / f"{n}.jpg").read_bytes() for n in range(3)]
    filling = bytes(range(256)) * 4096  # so that the photos are worth passing over
    rows: list[dict[str, Any]] = [{"image": jpeg + filling, "caption": "c"} for jpeg in jpegs]
    bucket.put("tables/0.parquet", parquet(rows))
    bucket.put("tables/1.parquet", parquet([{"image": "../photos/below/0.jpg", "caption": "d"}]))
    job = make_job(bucket / "tables")
    assert counts(job()) == (4, 0, 0)
    documents = job.documents("caption")
    assert documents.pop(bucket / "photos/below/0.jpg") == {"caption": "d"}
    assert set(documents) == {bucket / f"tables/0.parquet#row={n}" for n in range(3)}
    bucket.asked.clear()
    assert counts(job()) == (0, 4, 0)
    whole = len(parquet(rows))
    assert 0 < bucket.read_bytes() < whole / 2  # what is not photos
    bucket.put("tables/0.parquet", parquet([rows[0] | {"image": jpegs[1]}, *rows[1:]]))
    assert counts(job()) == (1, 3, 0)
    bucket.put("tables/0.parquet", b"no Parquet file")
    assert counts(job()) == (0, 1, 1)


class TestLists:
    @pytest.fixture
    def listed(self, bucket: Bucket, photos: Path, tmp_path: Path) -> Path:
        bucket.fill(photos)
        rows = [{"image": bucket / f"photos/{n}.jpg", "caption": str(n)} for n in range(3)]
        file = tmp_path / "list.ndjson"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    def test_buckets_that_a_list_names_must_be_allowed(
        self, bucket: Bucket, listed: Path, make_job: MakeJob
    ) -> None:
        job = make_job(listed)
        assert counts(job()) == (0, 0, 3)
        assert bucket.requests() == (0, 0)
        reasons = {failure.reason for failure in failures(job.settings.home)}
        assert all(f"--allow-host {bucket.address} allows it" in reason for reason in reasons)
        assert counts(job(allow_hosts=(bucket.address,))) == (3, 0, 0)
        bucket.asked.clear()
        assert counts(job(allow_hosts=(bucket.address,))) == (0, 3, 0)
        assert bucket.requests() == (0, 3)
        assert job.encoder.encoded() == 3

    def test_a_list_in_a_bucket(self, bucket: Bucket, photos: Path) -> None:
        bucket.fill(photos)
        rows = (
            b"image,caption\nphotos/0.jpg,a\n./photos/1.jpg,b\n/etc/passwd,c\nfile:///etc/passwd,\n"
        )
        bucket.put("list.csv", rows + b"../../up.jpg,d\n")
        first, second, *bad = found(bucket / "list.csv")
        assert (first.uri, second.uri) == (bucket / "photos/0.jpg", bucket / "photos/1.jpg")
        assert all(photo.problem for photo in bad) and len(bad) == 3
        assert "names no files of this machine" in str(bad[0].problem)
        assert "names no files of this machine" in str(bad[1].problem)
        assert "leads out of its bucket" in str(bad[2].problem)


class TestFailures:
    @pytest.mark.parametrize("name", ["nothing-here-at-all", "nothing-here-at-all/photos"])
    @pytest.mark.parametrize("scheme", ["s3", "gs"])
    def test_a_bucket_that_is_not_there(
        self, s3: S3, gcs: GCS, scheme: str, name: str, make_job: MakeJob
    ) -> None:
        with pytest.raises(
            UsageError, match=rf"source '{scheme}://{name}': {scheme}://nothing.*no such"
        ):
            make_job(f"{scheme}://{name}")()

    def test_a_prefix_that_is_not_there(self, bucket: Bucket) -> None:
        with pytest.raises(UsageError, match="there is no such object, and none below it"):
            found(bucket / "nowhere")

    @pytest.mark.parametrize(
        "name", ["s3://AKIA:secret@bucket/x", "s3://", "gs:///x", "s3://a/x", "ftp://host/x"]
    )
    def test_what_is_no_bucket(self, name: str) -> None:
        with pytest.raises(UsageError, match=r"no name of a bucket|is not read"):
            found(name)

    def test_denied(self, job: Job, bucket: Bucket, s3: S3, gcs: GCS) -> None:
        name = bucket.address.partition("://")[2]
        s3.faults[f"/{name}/photos/1.jpg"] = (403, "AccessDenied")
        gcs.denied.add("photos/1.jpg")
        assert counts(job()) == (5, 0, 1)
        (failure,) = failures(job.settings.home)
        assert failure.id == bucket / "photos/1.jpg"
        assert "may not read it: set " in failure.reason
        s3.faults[f"/{name}"] = (403, "AccessDenied")
        gcs.denied.add(name)
        with pytest.raises(UsageError, match="may not read it: set "):
            job()

    def test_a_listing_that_breaks_off_is_told(self, bucket: Bucket, s3: S3, gcs: GCS) -> None:
        for n in range(1500):
            bucket.put_in(f"many/{n:05}.jpg", b"x" * 10)
        sources = iter(
            Sources(
                [bucket / "many", bucket / "many/00001.jpg"],
                None,
                Fields(),
                reader=Reader(Allowed(buckets=(bucket.address,))),
            )
        )
        next(sources)
        name = bucket.address.partition("://")[2]
        s3.faults[f"/{name}"] = (500, "InternalError")
        gcs.buckets.pop(name, None)
        *good, broken, other = sources
        assert len(good) == 999
        assert broken.uri == bucket / "many/"
        assert "cannot be listed to its end" in str(broken.problem)
        assert other.uri == bucket / "many/00001.jpg"

    def test_without_credentials_a_bucket_is_read_as_the_public_may(
        self, s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        client = boto3.client("s3")
        name = f"photos-{uuid.uuid4().hex[:12]}"
        client.create_bucket(Bucket=name, ACL="public-read")
        client.put_object(Bucket=name, Key="0.jpg", Body=b"x", ACL="public-read")
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("HOME", str(tmp_path))
        s3.headers.clear()
        assert len(found(f"s3://{name}")) == 1
        assert all("authorization" not in headers for headers in s3.headers)
        s3.faults["/"] = (403, "AccessDenied")
        with pytest.raises(UsageError, match="there are no credentials, and the public may not"):
            found(f"s3://{name}")

    def test_a_connection_that_is_cut_is_tried_again(self, s3: S3, photos: Path) -> None:
        client = boto3.client("s3")
        name = f"photos-{uuid.uuid4().hex[:12]}"
        client.create_bucket(Bucket=name)
        client.put_object(Bucket=name, Key="0.jpg", Body=b"x" * 1000)
        app = s3._app
        cut: list[int] = []

        def shorter(environ: dict[str, Any], start: Any) -> Any:
            answer = b"".join(app(environ, start))
            if environ["REQUEST_METHOD"] == "GET" and not cut:
                cut.append(1)
                return [answer[:500]]
            return [answer]

        s3._app = shorter
        try:
            content = Reader(Allowed(buckets=(f"s3://{name}",))).read(Place(f"s3://{name}/0.jpg"))
        finally:
            s3._app = app
        assert content is not None and len(content.data) == 1000 and cut

    def test_no_secret_is_kept_anywhere(self, job: Job, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG", "stair_search")
        job()
        home = job.settings.home
        kept = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
        assert SECRET.encode() not in kept and b"AKIATEST" not in kept
        assert SECRET not in caplog.text + "".join(job.notices)

    def test_what_cannot_be_a_photo_is_not_downloaded(self, bucket: Bucket) -> None:
        bucket.put("photos/empty.jpg", b"")
        (photo,) = found(bucket / "photos")
        assert photo.problem == "empty file"

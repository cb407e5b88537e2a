"""The executor on Ray does what the local one does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray")

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

from stair_search.engines import connect
from stair_search.errors import DestinationError
from stair_search.ingest import failures, verify
from stair_search.ingest.photo import Photo
from stair_search.ingest.sources import Sources
from tests.ingest.conftest import MakeJob, counts, make_photo
from tests.ingest.proxy import proxy_to
from tests.ingest.reading.conftest import serving
from tests.ingest.stores import S3
from tests.ingest.test_shards import packed

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def mixed(tmp_path: Path, package_photos: list[Path]) -> Path:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for photo in package_photos:
        shutil.copy(photo, folder / photo.name)
    for n in range(100):
        make_photo(folder / "more" / f"{n:03}.png", f"rgb({n}, 7, {255 - n})")
    (folder / "text.jpg").write_text("not a photo")
    (folder / "cut.jpg").write_bytes(package_photos[0].read_bytes()[:3000])
    make_photo(folder / os.fsdecode(b"caf\xe9.jpg"))
    return folder


@pytest.mark.timeout(300)
def test_the_same_documents(
    mixed: Path, make_job: MakeJob, engine_url: str, index_name: str, tmp_path: Path
) -> None:
    captions = tmp_path / "c.csv"
    captions.write_text("image,caption,by\nmore/001.png,blue,Ann\nmore/001.png,still blue,Ann\n")
    kept = {}
    for executor in ("local", "ray"):
        job = make_job(
            mixed,
            url=engine_url,
            index=f"{index_name}-{executor}",
            folder=tmp_path / executor,
            captions=captions,
            executor=executor,
        )
        job.engine = connect(engine_url)
        report = job()
        assert report.failed == 2
        assert report.seen == len([p for p in mixed.rglob("*") if p.is_file()])
        assert report.stages["encode"]["items"] == report.indexed
        assert verify(job.settings.home, job.engine).equal
        names = ["stair", "stair_tokens", "stair_model", "stair_hash", "image", "caption", "by"]
        said = {f.uri: f.reason for f in failures(job.settings.home)}
        kept[executor] = (job.documents(*names, "width", "height"), said)
        again = job()
        assert counts(again) == (0, report.indexed, 2)
        job.engine.close()
    assert kept["ray"] == kept["local"]


@pytest.mark.timeout(120)
def test_photos_that_are_found_when_there_is_nothing_left_to_do(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(40):
        make_photo(tmp_path / "slow" / f"{n:02}.png", f"rgb({n}, 9, 9)")
    found = Sources.__iter__

    def slowly(sources: Sources) -> Iterator[Photo]:
        for n, photo in enumerate(found(sources)):
            time.sleep(6 if n == 20 else 0.2)  # long after the actors have started
            yield photo

    monkeypatch.setattr(Sources, "__iter__", slowly)
    report = make_job(tmp_path / "slow", executor="ray")()
    assert counts(report) == (40, 0, 0)


@pytest.mark.timeout(300)
def test_the_same_from_buckets_servers_and_parquet_files(
    s3: S3, photos: Path, make_job: MakeJob, tmp_path: Path
) -> None:
    jpegs = [(photos / f"{n}.jpg").read_bytes() for n in range(3)]
    client = boto3.client("s3")
    client.create_bucket(Bucket="for-ray")
    for n, data in enumerate(jpegs):
        client.put_object(Bucket="for-ray", Key=f"photos/{n}.jpg", Body=data)
    file = packed(tmp_path / "a.tar", {f"{n}.jpg": data for n, data in enumerate(jpegs)})
    client.put_object(Bucket="for-ray", Key="photos/a.tar", Body=file.read_bytes())
    rows = [{"image": data, "caption": f"number {n % 3}"} for n, data in enumerate(jpegs * 10)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=8)
    client.upload_file(str(tmp_path / "a.parquet"), "for-ray", "photos/b.parquet")
    kept = {}
    with serving() as server:
        server.paths["/0.jpg"] = lambda request: request.answer(200, jpegs[0])
        (tmp_path / "list.csv").write_text(f"image\n{server.url}/0.jpg\ns3://for-ray/no.jpg\n")
        for executor in ("local", "ray"):
            job = make_job(
                "s3://for-ray/photos",
                tmp_path / "a.parquet",
                tmp_path / "list.csv",
                url=f"sqlite:{tmp_path / executor}.db",
                folder=tmp_path / executor,
                allow_private=True,
                executor=executor,
            )
            job.engine = connect(job.settings.url)
            assert counts(job()) == (67, 0, 1)
            said = {f.uri: f.reason for f in failures(job.settings.home)}
            kept[executor] = (job.documents("stair", "stair_hash", "image", "caption"), said)
            assert counts(job()) == (0, 67, 1)
            job.engine.close()
    assert kept["ray"] == kept["local"]


@pytest.mark.timeout(300)
def test_groups_are_written_whole(tmp_path: Path, make_job: MakeJob) -> None:
    """Some larger than a block, some with photos that fail."""
    rows = ["product,image,caption"]
    for product, photos in enumerate([1, 50, 2, 40, 3, 3, 3]):
        for n in range(photos):
            make_photo(tmp_path / f"{product}-{n}.png", f"rgb({n}, 7, {255 - n})")
            rows.append(f"p{product},{product}-{n}.png,{n}")
    (tmp_path / "2-1.png").write_text("not a photo")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    (tmp_path / "columns.toml").write_text('group = "product"\n')
    kept = {}
    for executor in ("local", "ray"):
        job = make_job(
            tmp_path / "list.csv",
            columns=tmp_path / "columns.toml",
            index=executor,
            folder=tmp_path / executor,
            executor=executor,
        )
        make_photo(tmp_path / "1-7.png", "red")
        assert counts(job()) == (101, 0, 1)
        before = job.encoder.encoded()
        make_photo(tmp_path / "1-7.png", "blue")
        assert counts(job()) == (1, 100, 1)
        assert job.encoder.encoded() == before + 1
        assert verify(job.settings.home, job.engine) == (7, 7, [], [])
        kept[executor] = job.documents("photos")
    assert kept["ray"] == kept["local"]
    assert [len(kept["ray"][f"p{n}"]["photos"]) for n in range(7)] == [1, 50, 1, 40, 3, 3, 3]


@pytest.mark.engines
@pytest.mark.timeout(300)
def test_an_engine_that_takes_nothing_ends_the_run(
    photos: Path, make_job: MakeJob, opensearch_url: str, index_name: str
) -> None:
    with proxy_to(opensearch_url) as proxy:
        job = make_job(photos, url=proxy.url, index=index_name, executor="ray", retry_seconds=2.0)
        job.engine = connect(proxy.url)
        proxy.faults.extend(["item 429", *[503] * 1000])
        with pytest.raises(DestinationError, match="took no documents for 2 s"):
            job()
        proxy.faults.clear()
        report = job()
        assert (report.indexed, report.unchanged) == (3, 3)
        assert verify(job.settings.home, job.engine) == (6, 6, [], [])


def test_without_ray_the_remedy_is_named() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "import stair_search.ingest\n"
        "from stair_search.errors import UsageError\n"
        "try: import stair_search.ingest.ray\n"
        "except UsageError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'stair-search[ray]'" in said.stdout


def test_ray_is_not_imported_unless_asked_for() -> None:
    code = "import sys, stair_search.ingest; assert not {'ray', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

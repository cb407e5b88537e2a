"""Photos in tar files: the samples of WebDataset, and what a hostile archive may hold."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from stair_search.engines.base import Engine
from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.ingest import failures, verify
from stair_search.ingest.columns import Columns
from stair_search.ingest.photo import Photo, PhotoError, uri_of
from stair_search.ingest.reading.local import read, version
from stair_search.ingest.sources import Sources
from tests.ingest.conftest import Job, MakeJob, counts, make_photo


def packed(path: Path, members: Mapping[str, bytes | str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture
def jpeg(tmp_path: Path) -> bytes:
    return make_photo(tmp_path / "made" / "a.jpg").read_bytes()


def found(source: Path, columns: Columns | None = None) -> list[Photo]:
    return list(Sources([str(source)], None, Fields(), columns))


def test_a_sample_is_a_photo_with_its_caption_and_its_columns(tmp_path: Path, jpeg: bytes) -> None:
    about = json.dumps({"caption": "a red thing", "licence": "cc0", "likes": 7, "exif": {"a": 1}})
    shard = packed(
        tmp_path / "000.tar",
        {"x/1.jpg": jpeg, "x/1.txt": "red", "x/2.json": about, "x/2.jpg": jpeg, "x/3.cls": "3"},
    )
    first, second = found(shard)
    assert first.uri == first.id == f"{uri_of(shard)}#x/1.jpg"
    assert (first.columns, second.columns) == ({"caption": "red"}, {"caption": "a red thing"})
    assert read(second.place).data == jpeg
    columns = Columns(id="likes", types={"licence": "keyword"})
    assert found(shard, columns)[1].columns == {"caption": "a red thing", "licence": "cc0"}
    assert found(shard, columns)[1].id == "7"
    assert found(shard)[1].id == f"{uri_of(shard)}#x/2.jpg"


def test_dots_in_names_make_no_sample(tmp_path: Path, jpeg: bytes) -> None:
    members: dict[str, bytes | str] = {}
    for n in range(100):
        members |= {f"2024.{n:03}.jpg": jpeg, f"2024.{n:03}.txt": f"number {n}"}
    told = [photo.columns["caption"] for photo in found(packed(tmp_path / "a.tar", members))]
    assert told == [f"number {n}" for n in range(100)]


def test_a_sample_is_not_cut_in_two(tmp_path: Path, jpeg: bytes) -> None:
    members: dict[str, bytes | str] = {}
    for n in range(60):
        name = f"2024.{n:03}"
        members |= {f"{name}.jpg": jpeg, f"{name}.cls": "3", f"{name}.txt": f"number {n}"}
    told = [photo.columns.get("caption") for photo in found(packed(tmp_path / "a.tar", members))]
    assert told == [f"number {n}" for n in range(60)]


def test_what_has_the_key_alone_belongs_to_all_of_a_sample(tmp_path: Path, jpeg: bytes) -> None:
    members: dict[str, bytes | str] = {
        "1.left.jpg": jpeg,
        "1.right.jpg": jpeg,
        "1.right.txt": "right",
        "1.txt": "both",
    }
    shard = packed(tmp_path / "a.tar", members)
    assert [photo.columns["caption"] for photo in found(shard)] == ["both", "right"]
    shard = packed(tmp_path / "b.tar", members | {"1.json": '{"sku": "A"}'})
    ids = [photo.id for photo in found(shard, Columns(id="sku"))]
    assert ids == ["A", f"{uri_of(shard)}#1.right.jpg"]


def test_of_two_members_of_one_name_the_second_is_told(
    tmp_path: Path, jpeg: bytes, make_job: MakeJob
) -> None:
    shard = packed(tmp_path / "a.tar", {"1.jpg": jpeg})
    with tarfile.open(shard, "a") as tar:
        tar.add(make_photo(tmp_path / "b.jpg", "green"), "1.jpg")
    job: Job = make_job(shard)
    for expected in ((1, 0, 1), (0, 1, 1)):
        assert counts(job()) == expected
        (failure,) = failures(job.settings.home)
        assert failure.uri.startswith(f"{uri_of(shard)}#1.jpg@")
        assert failure.reason == "a second member of this name; the first, at byte 512, was taken"


@pytest.mark.parametrize(("mode", "kind"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_a_packed_file_of_the_wrong_name_is_told(tmp_path: Path, mode: str, kind: str) -> None:
    with tarfile.open(tmp_path / "a.tar", mode):  # type: ignore[call-overload]
        pass
    (bad,) = found(tmp_path / "a.tar")
    assert bad.problem is not None
    assert bad.problem.startswith(
        f"a tar file compressed by {kind}, whatever its name says: unpack"
    )


def test_captions_join_by_a_members_name_and_add_to_its_own(tmp_path: Path, jpeg: bytes) -> None:
    shard = packed(tmp_path / "a.tar", {"./1.jpg": jpeg, "./1.json": '{"licence": "cc0"}'})
    captions = tmp_path / "c.csv"
    captions.write_text("image,caption\n1.jpg,red\n")
    columns = Columns(types={"licence": "keyword"})
    (photo,) = Sources([str(shard)], captions, Fields(), columns)
    assert photo.columns == {"licence": "cc0", "caption": "red"}
    assert photo.id == photo.uri


def test_a_shard_that_is_changed_while_it_is_read(tmp_path: Path, jpeg: bytes) -> None:
    shard = packed(tmp_path / "a.tar", {"1.jpg": jpeg, "2.jpg": jpeg})
    photo = found(shard)[1]
    os.utime(shard, (1, 1))
    for act in (read, version):
        with pytest.raises(PhotoError, match="changed while it was read"):
            act(photo.place)


def test_a_header_that_is_damaged_is_told(tmp_path: Path, jpeg: bytes) -> None:
    shard = packed(tmp_path / "a.tar", {f"{n}.jpg": jpeg for n in range(4)})
    start = found(shard)[2].place.offset - 512
    data = bytearray(shard.read_bytes())
    data[start : start + 100] = b"#" * 100
    shard.write_bytes(data)
    *good, bad = found(shard)
    assert len(good) == 2 and bad.problem is not None
    assert f"no header of a member at byte {start:,}" in bad.problem


def test_a_sparse_member_costs_itself_alone(tmp_path: Path, jpeg: bytes) -> None:
    with (tmp_path / "s.jpg").open("wb") as file:
        file.write(jpeg)
        file.truncate(50_000_000)
    (tmp_path / "t.jpg").write_bytes(jpeg)
    shard = tmp_path / "sparse.tar"
    command = ["tar", "--sparse", "-cf", str(shard), "-C", str(tmp_path), "s.jpg", "t.jpg"]
    subprocess.run(command, check=True)
    assert [photo.problem for photo in found(shard)] == ["a sparse member of a tar file", None]


def test_a_pipe_with_a_shards_name_does_not_hang(photos: Path) -> None:
    os.mkfifo(photos / "x.tar")
    assert len(found(photos)) == 6
    with pytest.raises(PhotoError, match="a named pipe"):
        version(found(photos / "x.tar")[0].place)


def test_shards_of_a_folder_become_documents(
    photos: Path, jpeg: bytes, make_job: MakeJob, engine: Engine
) -> None:
    shard = packed(photos / "000.tar", {"1.jpg": jpeg, "2.jpg": b"no photo", "3.png": jpeg})
    job: Job = make_job(photos)
    assert counts(job()) == (8, 0, 1)
    assert f"{uri_of(shard)}#3.png" in job.documents()
    assert verify(job.settings.home, engine).missing == []
    assert counts(job()) == (0, 8, 1)
    packed(shard, {"1.jpg": jpeg, "4.jpg": jpeg})
    assert counts(job()) == (1, 7, 0)  # the same photo elsewhere in the file is the same photo


def test_a_damaged_shard_is_good_up_to_there(tmp_path: Path, jpeg: bytes) -> None:
    shard = packed(tmp_path / "cut.tar", {f"{n}.jpg": jpeg for n in range(4)})
    whole = shard.read_bytes()
    start = found(shard)[2].place.offset
    shard.write_bytes(whole[: start + 20])
    *good, bad = found(shard)
    assert [photo.problem for photo in good] == [None, None]
    assert bad.problem is not None and "it ends in the middle of 2.jpg" in bad.problem
    shard.write_bytes(b"no tar file at all" * 100)
    (bad,) = found(shard)
    assert bad.problem is not None and bad.problem.startswith("damaged tar file")


def test_what_is_no_plain_file_is_passed_over(tmp_path: Path, jpeg: bytes) -> None:
    shard = tmp_path / "odd.tar"
    with tarfile.open(shard, "w") as tar:
        for name, kind in (("l.jpg", tarfile.SYMTYPE), ("d.jpg", tarfile.CHRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            tar.addfile(entry)
        for name in ("../../etc/up.jpg", "/abs.jpg", ".hidden.jpg", "a b\n.jpg", "\udcff.jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = len(jpeg)
            tar.addfile(entry, io.BytesIO(jpeg))
        tar.addfile(tarfile.TarInfo("empty.jpg"))
    told = {photo.uri.partition("#")[2]: photo.problem for photo in found(shard)}
    assert told == {
        "../../etc/up.jpg": None,  # a name, which nobody opens
        "/abs.jpg": None,
        "a%20b%0A.jpg": None,
        "%FF.jpg": None,
        "empty.jpg": None,
    }
    (empty,) = [photo for photo in found(shard) if photo.uri.endswith("empty.jpg")]
    with pytest.raises(PhotoError, match="empty file"):
        read(empty.place)


@pytest.mark.parametrize(
    "beside", ["{", "[1]", '{"caption": {"en": "x"}}', '{"a": ' * 2000, '{"caption": "\\ud83d"}']
)
def test_an_object_that_cannot_be_read_costs_its_photo(
    tmp_path: Path, jpeg: bytes, beside: str
) -> None:
    shard = packed(tmp_path / "a.tar", {"1.json": beside, "1.jpg": jpeg, "2.jpg": jpeg})
    first, second = found(shard)
    assert first.problem is not None and "what stands beside it" in first.problem
    assert second.problem is None


def test_a_compressed_one_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"unpack it to \.tar"):
        found(tmp_path / "a.tar.gz")


@pytest.mark.slow
def test_members_are_not_kept_in_memory(tmp_path: Path) -> None:
    shard = packed(tmp_path / "many.tar", {f"{n:06}.jpg": b"x" for n in range(12_000)})
    import tracemalloc

    tracemalloc.start()
    assert sum(1 for _ in Sources([str(shard)], None, Fields())) == 12_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000  # kept, they would be over 5 MB

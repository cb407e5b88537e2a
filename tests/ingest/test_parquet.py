"""Photos in Parquet files, and Parquet files as lists."""

from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as pq

from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.ingest import failures, verify
from stair_search.ingest.columns import Columns
from stair_search.ingest.photo import Photo, PhotoError, Place, uri_of
from stair_search.ingest.reading import parquet
from stair_search.ingest.reading.reader import Reader
from stair_search.ingest.sources import Sources
from tests.ingest.conftest import MakeJob, counts, make_photo

READER = Reader()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    parquet._tables.clear()


def table(file: Path, rows: list[dict[str, Any]], rows_a_group: int = 2, **types: Any) -> Path:
    made = pa.Table.from_pylist(rows, pa.schema(types) if types else None)
    pq.write_table(made, file, row_group_size=rows_a_group)
    return file


@pytest.fixture
def jpegs(tmp_path: Path) -> list[bytes]:
    return [make_photo(tmp_path / "m" / f"{n}.jpg", f"rgb({n},9,9)").read_bytes() for n in range(9)]


def found(*sources: Path, columns: Columns | None = None, **settings: Any) -> list[Photo]:
    captions = settings.pop("captions", None)
    return list(Sources([str(one) for one in sources], captions, Fields(), columns))


def read(photo: Photo) -> bytes:
    content = READER.read(photo.place)
    assert content is not None
    return content.data


def test_photos_in_cells(tmp_path: Path, jpegs: list[bytes]) -> None:
    rows = [{"image": jpeg, "caption": f"number {n}"} for n, jpeg in enumerate(jpegs)]
    file = table(tmp_path / "a.parquet", rows)
    photos = found(file)
    assert [photo.uri for photo in photos] == [f"{uri_of(file)}#row={n}" for n in range(9)]
    assert photos[3].columns == {"caption": "number 3"}
    assert [read(photo) for photo in photos] == jpegs
    assert [read(photo) for photo in reversed(photos)] == jpegs[::-1]


def test_the_layout_of_hugging_face(tmp_path: Path, jpegs: list[bytes]) -> None:
    rows: list[dict[str, Any]] = [
        {"image": {"bytes": jpegs[0], "path": "x/0.jpg"}, "label": 3, "caption": ["a", "b"]},
        {"image": {"bytes": jpegs[1], "path": None}, "label": 4, "caption": []},
        {"image": {"bytes": None, "path": "x/2.jpg"}, "label": None, "caption": None},
    ]
    captions = tmp_path / "c.csv"
    captions.write_text("image,caption\nx/0.jpg,c\n")
    first, second, third = found(table(tmp_path / "a.parquet", rows), captions=captions)
    assert first.columns == {"label": "3", "caption": "c"}
    assert second.columns == {"label": "4"}
    assert (read(first), read(second)) == (jpegs[0], jpegs[1])
    with pytest.raises(PhotoError, match="its cell is empty"):
        read(third)


def test_where_no_row_has_bytes_the_path_counts(photos: Path) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"image": {"bytes": None, "path": f"{n}.jpg"}} for n in range(3)]
    found_ = found(table(photos / "a.parquet", rows, image=kind))
    assert [photo.uri for photo in found_] == [uri_of(photos / f"{n}.jpg") for n in range(3)]


def test_addresses_are_a_list(photos: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"url": "0.jpg", "caption": "red", "n": 1},
        {"url": "https://example.org/1.jpg?X-Amz-Signature=1f3", "caption": "far", "n": 2},
        {"url": "0.jpg", "caption": "still red", "n": 1},
        {"url": None, "caption": "nothing", "n": 3},
    ]
    one, two, bad = found(table(photos / "a.parquet", rows), columns=Columns(image="url"))
    assert one.columns == {"caption": ["red", "still red"], "n": "1"}
    assert (two.uri, two.columns["n"]) == ("https://example.org/1.jpg", "2")
    assert bad.problem is not None and bad.problem.endswith("row 3: no image is named")


@pytest.mark.parametrize("types", [None, {"price": "long"}])
def test_a_column_groups_and_another_routes(photos: Path, types: dict[str, str] | None) -> None:
    """Whether they are to be fields or not."""
    rows = [
        {"image": f"{n}.jpg", "product": f"p{n // 2}", "tenant": "us", "price": n} for n in range(3)
    ]
    list_ = table(photos / "list.parquet", rows)
    found_ = found(list_, columns=Columns(group="product", routing="tenant", types=types))
    assert [(one.group, one.routing, one.problem) for one in found_] == [
        ("p0", "us", None), ("p0", "us", None), ("p1", "us", None)
    ]  # fmt: skip


def test_columns_have_types(tmp_path: Path, jpegs: list[bytes], make_job: MakeJob) -> None:
    rows: list[dict[str, Any]] = [
        {"jpg": jpegs[0], "sku": "A", "likes": 7, "price": 2.5, "sold": True, "on": None},
        {"jpg": jpegs[1], "sku": "B", "likes": 2**40, "price": float("nan"), "sold": None},
        {"jpg": jpegs[2], "sku": None, "likes": None, "price": 1.0, "sold": False},
    ]
    for row in rows:
        row |= {"day": datetime.date(2024, 2, 29), "cost": decimal.Decimal("1.10"), "raw": b"x"}
    columns = tmp_path / "columns.toml"
    columns.write_text(
        'image = "jpg"\nid = "sku"\n[fields]\nlikes = "integer"\nprice = "double"\n'
        'sold = "boolean"\nday = "keyword"\ncost = "keyword"\n'
    )
    file = table(tmp_path / "a.parquet", rows)
    job = make_job(file, columns=columns)
    assert counts(job()) == (2, 0, 1)
    (failure,) = failures(job.settings.home)
    assert failure.reason == "row 1: column 'likes': '1099511627776' is no integer"
    told = job.documents("likes", "price", "sold", "day", "cost")
    assert told["A"] == {
        "likes": 7, "price": 2.5, "sold": True, "day": "2024-02-29", "cost": "1.10"
    }  # fmt: skip
    assert told[f"{uri_of(file)}#row=2"]["sold"] is False
    assert counts(job()) == (0, 2, 1)
    assert verify(job.settings.home, job.engine) == (2, 2, [], [])


def test_a_file_that_grows_costs_reading_and_no_encoding(
    tmp_path: Path, jpegs: list[bytes], make_job: MakeJob
) -> None:
    rows = [{"image": jpeg} for jpeg in jpegs]
    job = make_job(table(tmp_path / "a.parquet", rows[:8]))
    assert counts(job()) == (8, 0, 0)
    table(tmp_path / "a.parquet", rows)
    assert counts(job()) == (1, 8, 0)
    assert job.encoder.encoded() == 9


def test_a_folder_of_them_is_walked_like_shards(
    tmp_path: Path, photos: Path, jpegs: list[bytes], make_job: MakeJob
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    table(folder / "0.parquet", [{"image": jpeg, "caption": "c", "extra": 1} for jpeg in jpegs[:3]])
    table(folder / "1.parquet", [{"image": str(photos / "0.jpg"), "caption": "d", "extra": 1}])
    whole = table(folder / "2.parquet", [{"image": jpeg} for jpeg in jpegs]).read_bytes()
    (folder / "2.parquet").write_bytes(whole[: len(whole) // 2])
    table(folder / "3.parquet", [{"picture": jpegs[0]}])
    table(folder / "4.parquet", [{"image": jpeg} for jpeg in jpegs[3:5]])
    job = make_job(folder)
    assert counts(job()) == (6, 0, 2)
    told = {Path(failure.uri).name: failure.reason for failure in failures(job.settings.home)}
    assert told["2.parquet"].startswith("damaged Parquet file: ")
    assert "no column 'image' of photos; found: 'picture'" in told["3.parquet"]
    documents = job.documents("caption", "extra")
    assert documents[uri_of(photos / "0.jpg")] == {"caption": "d"}


def test_a_damaged_page_costs_its_row_group(tmp_path: Path) -> None:
    photos = [bytes([n]) * 5000 for n in range(6)]
    kinds = {"compression": "NONE", "use_dictionary": False}
    made = pa.table({"image": photos, "caption": [str(n) for n in range(6)]})
    pq.write_table(made, tmp_path / "a.parquet", row_group_size=2, **kinds)
    raw = bytearray((tmp_path / "a.parquet").read_bytes())
    group = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(1)
    start = group.column(0).data_page_offset
    raw[start : start + 12] = b"\xff" * 12
    (tmp_path / "a.parquet").write_bytes(raw)
    good = 0
    for n, photo in enumerate(found(tmp_path / "a.parquet")):
        if n in (2, 3):
            with pytest.raises(PhotoError, match="damaged Parquet file"):
                read(photo)
        else:
            assert read(photo) == photos[n]
            good += 1
    assert good == 4


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"picture": b"x"}], r"no column 'image' of photos; found: 'picture'; a --columns file"),
        ([{"image": 3}], r"column 'image' holds int64; photos are bytes, or addresses"),
        ([{"image": b"x", "stair": "y"}], r"'stair' is a field that stair-search fills itself"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, rows: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        found(table(tmp_path / "a.parquet", rows))


def test_a_named_one_that_is_damaged_costs_itself_alone(photos: Path) -> None:
    (photos / "a.parquet").write_bytes(b"PAR1" + b"x" * 100)
    *good, bad = found(photos / "0.jpg", photos / "a.parquet")
    assert [photo.problem for photo in good] == [None]
    assert bad.problem is not None and bad.problem.startswith("damaged Parquet file")


def test_a_file_that_is_changed_while_it_is_read(tmp_path: Path, jpegs: list[bytes]) -> None:
    file = table(tmp_path / "a.parquet", [{"image": jpeg} for jpeg in jpegs])
    photos = found(file)
    table(file, [{"image": jpeg} for jpeg in jpegs[:5]])
    with pytest.raises(PhotoError, match="changed while it was read"):
        read(photos[2])
    with pytest.raises(PhotoError, match="changed while it was read"):
        READER.version(photos[2].place)


def test_a_row_group_is_gone_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"image": bytes([n % 256]) * 20_000} for n in range(4000)]
    file = table(tmp_path / "a.parquet", rows, rows_a_group=2000)
    begun = 0

    class Counted(parquet._Group):
        def __init__(self, *args: Any) -> None:
            nonlocal begun
            begun += 1
            super().__init__(*args)

    monkeypatch.setattr(parquet, "_Group", Counted)
    places = [photo.place for photo in found(file)]
    with ThreadPoolExecutor(8) as pool:  # as readers do: not quite in order
        contents = pool.map(READER.read, places)
        for n, content in enumerate(contents):
            assert content is not None and content.data == rows[n]["image"]
    assert begun == 2


# Not ru_maxrss: a process begins with that of the one that started it.
MEMORY = """
import re, sys
from pathlib import Path
from stair_search.fields import Fields
from stair_search.ingest.reading.reader import Reader
from stair_search.ingest.sources import Sources

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

reader, before, rows = Reader(), None, 0
for photo in Sources([sys.argv[1]], None, Fields()):
    before = before or most()
    assert len(reader.read(photo.place).data) == 100_000
    rows += 1
print(rows, (most() - before) // 1024)
"""


@pytest.mark.slow
def test_a_large_row_group_is_not_held_in_memory(tmp_path: Path) -> None:
    file, size = tmp_path / "a.parquet", 100_000
    schema = pa.schema({"image": pa.binary()})
    photos = [bytes([n % 256]) * (size // 2) + bytes(size // 2) for n in range(4000)]
    # pages of 16 photos: of less than a page nobody can read
    told = {"compression": "NONE", "use_dictionary": False, "write_batch_size": 16}
    with pq.ParquetWriter(file, schema, **told) as writer:
        writer.write_table(pa.table({"image": photos}), row_group_size=len(photos))
    assert pq.ParquetFile(file).num_row_groups == 1
    assert file.stat().st_size > 380 * 2**20
    done = subprocess.run([sys.executable, "-c", MEMORY, str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows, grown = map(int, done.stdout.split())
    assert rows == 4000
    assert grown < 150, f"{grown} MiB"  # held, it would be 380 more


def test_without_pyarrow_the_remedy_is_named(photos: Path) -> None:
    (photos / "a.parquet").write_bytes(b"")
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from stair_search.errors import UsageError\n"
        "from stair_search.fields import Fields\n"
        "from stair_search.ingest.sources import Sources\n"
        f"print(sum(1 for photo in Sources([{str(photos)!r}], None, Fields()) if photo.problem))\n"
        f"try: Sources([{str(photos / 'a.parquet')!r}], None, Fields())\n"
        "except UsageError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("1\n")
    assert "Parquet files need pyarrow: pip install 'stair-search[parquet]'" in said.stdout


def test_a_place_says_where_its_cell_is(tmp_path: Path, jpegs: list[bytes]) -> None:
    (photo,) = found(table(tmp_path / "a.parquet", [{"image": jpegs[0]}]))
    assert photo.place == Place(
        str(tmp_path / "a.parquet"), version=READER.version(photo.place), cell=(0, "image")
    )

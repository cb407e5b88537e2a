"""Columns with types, and lists that are NDJSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stair_search.engines import connect
from stair_search.errors import ModelError, UsageError
from stair_search.fields import Fields
from stair_search.ingest.columns import CellError, Columns, read_columns
from stair_search.ingest.index import make_ready
from stair_search.ingest.photo import Photo, uri_of
from stair_search.ingest.sources import Sources
from stair_search.mappings import index_body
from stair_search.queries import Match
from tests.conftest import Engines
from tests.ingest.conftest import MakeJob, counts

CLUSTERS = ("opensearch", "elasticsearch7")


def found(file: Path, columns: Columns | None = None) -> list[Photo]:
    return list(Sources([str(file)], None, Fields(), columns))


def ndjson(file: Path, *rows: Any) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return file


def mapping(folder: Path, text: str) -> Path:
    file = folder / "columns.toml"
    file.write_text(text)
    return file


def test_objects_a_line_are_photos(photos: Path) -> None:
    file = ndjson(
        photos / "list.ndjson",
        {"image": "0.jpg", "caption": ["red", "very red"], "licence": "cc0", "likes": 7},
        "",
        {"image": uri_of(photos / "1.jpg"), "id": 12, "tags": ["a", None, "b"]},
    )
    first, second = found(file)
    assert first.columns == {"caption": ["red", "very red"], "licence": "cc0", "likes": "7"}
    assert (second.id, second.place.address) == ("12", str(photos / "1.jpg"))
    assert second.columns == {"tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 1: no JSON"),
        ("[" * 100_000, "line 1: no JSON"),
        ("[1, 2]", "line 1: no object but [1, 2]"),
        ('{"caption": "x"}', "line 1: no image is named"),
        ('{"image": "0.jpg", "a": {"b": 1}}', "column 'a' holds"),
        ('{"image": "0.jpg", "a": [[1]]}', "column 'a' holds"),
        ('{"image": "ftp://host/0.jpg"}', "ftp:// is not read"),
        ('{"image": "s3://AKIA:secret@bucket/0.jpg"}', "no name of a bucket"),
        ('{"image": "gs://bucket/"}', "names a bucket and no object"),
        ('{"image": "0.jpg", "x": "' + "x" * 2**20 + '"}', "line 1: over 1,048,576 bytes"),
        ('{"image": "0\\u0000.jpg"}', "a NUL byte"),
        ('{"image": "0.jpg", "caption": "\\ud83d"}', "surrogates not allowed"),
        ('{"image": "0\\ud83d.jpg"}', "surrogates not allowed"),
    ],
)
def test_a_line_that_is_wrong_costs_its_photo_alone(photos: Path, line: str, reason: str) -> None:
    bad, good = found(ndjson(photos / "list.jsonl", line, {"image": "1.jpg"}))
    assert bad.problem is not None and reason in bad.problem and "\n" not in bad.problem
    assert good.problem is None


def test_a_line_that_is_no_utf8_costs_its_photo_alone(photos: Path) -> None:
    file = photos / "list.jsonl"
    file.write_bytes(b'{"image": "caf\xe9.jpg"}\n{"image": "1.jpg"}\n')
    bad, good = found(file)
    assert bad.problem is not None and "line 1: byte 0xe9 is not UTF-8" in bad.problem
    assert good.problem is None


def test_columns_are_renamed_typed_and_kept(
    photos: Path, make_job: MakeJob, tmp_path: Path
) -> None:
    columns = mapping(
        photos,
        'image = "file"\nid = "sku"\ncaption = "title"\n'
        '[fields]\nlikes = "long"\nprice = "double"\nsold = "boolean"\ntag = "keyword"\n',
    )
    (photos / "list.csv").write_text(
        "file,sku,title,likes,price,sold,tag,secret\n"
        "0.jpg,A,red,7,2.50,yes,x,hidden\n"
        "1.jpg,B,green,many,1,no,y,hidden\n"
        "2.jpg,C,blue,,,,,hidden\n"
    )
    job = make_job(photos / "list.csv", columns=columns)
    assert counts(job()) == (2, 0, 1)
    documents = job.documents("caption", "likes", "price", "sold", "tag", "secret")
    assert documents["A"] == {
        "caption": "red", "likes": 7, "price": 2.5, "sold": True, "tag": "x"
    }  # fmt: skip
    assert documents["C"] == {"caption": "blue"}
    kinds = job.engine.mapping("photos")["properties"]
    assert (kinds["likes"]["type"], kinds["sold"]["type"]) == ("long", "boolean")
    job.engine.create("made-before", index_body("sqlite", Fields(), {"likes": "keyword"}))
    with pytest.raises(ModelError, match="likes"):
        job(index="made-before", folder=tmp_path / "other")
    failures = (job.settings.home / "failures.ndjson").read_text()
    assert "line 3: column 'likes': 'many' is no long" in failures


@pytest.mark.parametrize(
    "product", ["sqlite", *(pytest.param(n, marks=pytest.mark.engines) for n in CLUSTERS)]
)
def test_an_index_that_is_there_gets_the_fields_that_are_declared(
    product: str, photos: Path, make_job: MakeJob, index_name: str, engines: Engines
) -> None:
    """They would be keywords, as texts are that nobody has declared."""
    columns = mapping(
        photos, '[fields]\ntitle = "text"\ntaken = "date"\nplace = "geo_point"\nlikes = "integer"\n'
    )
    (photos / "list.csv").write_text(
        'image,title,taken,place,likes\n0.jpg,A red dog,2026-11-22,"48.1,11.5",7\n'
    )
    job = make_job(photos / "list.csv", columns=columns, index=index_name)
    if product != "sqlite":
        url = engines.url(product)
        job.engine, job.settings = connect(url), replace(job.settings, url=url)
    body = index_body(job.engine.info.product, Fields(), {"name": "keyword"})
    job.engine.create(index_name, body)
    assert counts(job(dry_run=True))[2] == 0
    assert "title" not in job.engine.mapping(index_name)["properties"]
    assert counts(job()) == (1, 0, 0)
    kinds = job.engine.mapping(index_name)["properties"]
    assert [kinds[name]["type"] for name in ("title", "taken", "place", "likes")] == [
        "text", "date", "geo_point", "integer"
    ]  # fmt: skip
    job.engine.refresh(index_name)
    assert job.engine.search(index_name, Match("title", "dog")).total == 1
    with pytest.raises(ModelError, match="'name' is 'keyword', not 'text'"):
        make_ready(job.engine, job.settings, job.encoder, {}, {"name": "text"})


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("long", "1_000"), ("long", str(2**63)),
        ("integer", "3000000000"), ("long", "1.5"), ("long", True),
        ("double", "nan"), ("double", "1e999"), ("boolean", "perhaps"),
    ],
)  # fmt: skip
def test_what_does_not_fit_its_type(kind: str, cell: Any) -> None:
    with pytest.raises(CellError, match=f"is no {kind}"):
        Columns(types={"a": kind}).values("a", cell)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image = 3", "image = 3 is no name of a column"),
        ("picture = 'a'", "unknown key 'picture'; known: caption, group, id, image, keep_query"),
        ("keep_query = 'a'", "is no list of parameters"),
        ("fields = 3", "is a table of names and types"),
        ("[fields]\na = 'dense_vector'", "field 'a' has type 'dense_vector'; known: keyword"),
        ("[fields]\nstair = 'keyword'", "'stair' is a field that stair-search fills itself"),
        ("[fields]\n'a.b' = 'keyword'", "'a.b' cannot be a field"),
        ("image =", "cannot be read"),
    ],
)
def test_a_mapping_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_columns(mapping(tmp_path, text), Fields())
    assert message in str(raised.value)


def test_addresses_keep_nothing_secret(tmp_path: Path) -> None:
    file = ndjson(
        tmp_path / "list.ndjson",
        {"image": "https://photos.example.org/1.jpg?X-Amz-Signature=abc"},
    )
    (photo,) = found(file)
    assert photo.uri == photo.id == "https://photos.example.org/1.jpg"
    assert photo.place.address.endswith("Signature=abc")


@pytest.mark.parametrize("address", ["https://me:pw@example.org/1.jpg", "http:///1.jpg"])
def test_what_is_no_good_address_costs_its_line(tmp_path: Path, address: str) -> None:
    file = ndjson(tmp_path / "list.ndjson", {"image": address}, {"image": address + "2"})
    for line, photo in enumerate(found(file), 1):
        assert photo.problem is not None and f"line {line}" in photo.problem
        assert "pw" not in photo.problem + photo.uri


def test_photos_that_a_parameter_alone_tells_apart(tmp_path: Path) -> None:
    address = "https://photos.example.org/show?file="
    file = ndjson(tmp_path / "l.ndjson", {"image": address + "1"}, {"image": address + "2"})
    with pytest.raises(UsageError, match=r"several addresses are .*/show but for .*keep_query"):
        found(file)
    kept = found(file, Columns(keep_query=("file",)))
    assert [photo.uri for photo in kept] == [address + "1", address + "2"]
    assert len(found(file, Columns(keep_query=()))) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [("[fields]\nlikse = 'long'", "likse"), ("id = 'sku'", "sku"), ("caption = 'title'", "title")],
)
def test_a_column_that_is_named_and_not_there(photos: Path, text: str, name: str) -> None:
    (photos / "list.csv").write_text("image,likes\n0.jpg,1\n")
    columns = read_columns(mapping(photos, text), Fields())
    with pytest.raises(UsageError, match=f"no list has a column '{name}', which --columns names"):
        found(photos / "list.csv", columns)

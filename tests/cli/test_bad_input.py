"""What can go wrong with destinations and sources: one clear line, the documented exit code."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import Result

from stair_search import connect

from .conftest import Cli


def line(result: Result, code: int) -> str:
    """The one line of an error."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    (last,) = [text for text in result.stderr.splitlines() if text.startswith("Error: ")]
    return last


@pytest.fixture
def photo(package_photos: list[Path]) -> Path:
    return package_photos[0]


def test_an_empty_folder(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = cli("ingest", tmp_path / "empty", "--url", f"sqlite:{tmp_path / 'x.db'}")
    assert result.exit_code == 0
    assert result.stdout.startswith("0 photos")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no such rights")
def test_an_unreadable_folder(cli: Cli, tmp_path: Path, photo: Path) -> None:
    closed = tmp_path / "photos" / "closed"
    closed.mkdir(parents=True)
    shutil.copy(photo, tmp_path / "photos")
    closed.chmod(0)
    at = ["--url", f"sqlite:{tmp_path / 'x.db'}", "--format", "json"]
    result = cli("ingest", tmp_path / "photos", *at)
    told = json.loads(result.stdout)
    assert told["indexed"] == 1
    # root reads everything
    assert (told["failed"], result.exit_code) == ((0, 0) if os.geteuid() == 0 else (1, 1))


def test_a_decompression_bomb(cli: Cli, sqlite: list[str], tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 999)))
    told = "too large"
    assert told in line(cli("search", "--image", bomb, *sqlite), 2)
    assert told in line(cli("encode", bomb), 1)


def test_a_wrong_extension_is_no_matter(cli: Cli, photo: Path, tmp_path: Path) -> None:
    shutil.copy(photo, tmp_path / "photo.webp")
    assert cli("encode", tmp_path / "photo.webp").exit_code == 0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process is writing and does not end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_locked_file(cli: Cli, sqlite: list[str], photo: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "stair.db"):
        assert cli("search", "dog", *sqlite).exit_code == 0  # readers need not wait
        made = cli("index", "create", *sqlite[:2], "--index", "other", "--timeout", "0.1")
        assert "locked" in line(made, 3) or "busy" in made.stderr


def test_a_file_that_is_no_index(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 1000)
    (tmp_path / "folder.db").mkdir()
    with closing(sqlite3.connect(tmp_path / "other.db")) as db:
        db.execute("CREATE TABLE mine (x)")
    for name in ("text.db", "folder.db", "other.db"):
        for command in (["search", "dog"], ["index", "create"], ["index", "show"]):
            assert name in line(cli(*command, "--url", f"sqlite:{tmp_path / name}"), 3)
    assert (tmp_path / "text.db").read_text().startswith("no database")


def test_a_read_only_index(cli: Cli, opensearch_url: str, index_name: str, photo: Path) -> None:
    at = ["--url", opensearch_url, "--index", index_name]
    assert cli("index", "create", *at).exit_code == 0
    request = urllib.request.Request(
        f"{opensearch_url}/{index_name}/_settings",
        b'{"index.blocks.write": true}',
        {"content-type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request).close()
    result = cli("ingest", photo, *at)
    assert result.exit_code in (1, 3), result.output
    assert "block" in result.output or "failures.ndjson" in result.output
    assert "Traceback" not in result.output


def test_a_token_field_of_another_type(
    cli: Cli, engine_url: str, index_name: str, photo: Path, tiny_model: Path
) -> None:
    engine = connect(engine_url)
    engine.create(index_name, {"mappings": {"properties": {"stair": {"type": "keyword"}}}})
    engine.close()
    at = ["--url", engine_url, "--index", index_name]
    assert "keyword" in line(cli("search", "dog", *at, "--model", tiny_model), 4)
    assert "keyword" in line(cli("ingest", photo, *at), 4)


def test_an_index_of_another_model_is_not_written_to(
    cli: Cli, collection: list[str], photo: Path
) -> None:
    assert "tiny-1-" in line(cli("ingest", photo, *collection[:4]), 4)


@pytest.mark.parametrize(
    "url", ["ftp://host", "sqlite:", "localhost:9200", "http://", "https://a:b", "http://[::1"]
)
def test_a_url_that_is_none(cli: Cli, url: str) -> None:
    assert "Error" in line(cli("search", "dog", "--url", url), 2)


def test_certificates_that_are_not_there(cli: Cli) -> None:
    result = cli("search", "dog", "--url", "https://localhost:1", "--ca-certs", "/nowhere.pem")
    assert result.exit_code == 2
    assert "/nowhere.pem" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--index", "caf\udce9"],
        ["--require", "caf\udce9"],
        ["--without", "caf\udce9:0.2"],
        ["--match", "caption:caf\udce9"],
        ["--filter", "licence=caf\udce9"],
    ],
)
def test_text_in_odd_bytes(cli: Cli, sqlite: list[str], args: list[str]) -> None:
    """As Python gives the bytes of an argument that are no UTF-8."""
    result = cli("search", "dog", *sqlite, *args)
    assert result.exit_code == 2, result.output
    assert "caf\\udce9" in result.stderr
    assert cli("search", "dog caf\udce9", *sqlite).exit_code == 0

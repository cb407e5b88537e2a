from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from stair_search.cli import main
from stair_search.engines import connect

from .conftest import Cli


def there(sqlite: list[str]) -> set[str]:
    engine = connect(sqlite[1])
    found = {name for name, _ in engine.scan("photos", [])}
    engine.close()
    return found


@pytest.fixture
def at(sqlite: list[str]) -> list[str]:
    """Options that lead to an index of beach, bus, cat and people."""
    return sqlite[:2]


def test_ids_are_words_after_the_option(cli: Cli, collection: list[str]) -> None:
    at = collection[:4]
    done = cli("delete", "--ids", "cat", "bus", "never", "--format", "json", *at)
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"asked": 3, "deleted": 2, "not_found": 1, "failed": 0}
    hits = json.loads(cli("search", "dog bus cat", "--format", "json", *collection).stdout)["hits"]
    assert {hit["id"] for hit in hits} == {"beach", "people"}


def test_ids_from_a_file_and_from_standard_input(
    cli: Cli, at: list[str], sqlite: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "ids.txt"
    file.write_bytes("\ufeffcat\r\n\r\nbus\n".encode())
    dry = cli("delete", "--ids-file", file, "--dry-run", *at)
    assert dry.stdout == "2 of 2 documents would be deleted, 0 not found, 0 failed\n"
    assert "nothing was changed (--dry-run)" in dry.stderr
    assert len(there(sqlite)) == 4
    assert cli("delete", "--ids-file", file, *at).stdout.startswith("2 of 2 documents deleted")
    told = CliRunner().invoke(main, ["delete", "--ids-file", "-", *at], input="beach\n")
    assert told.stdout.startswith("1 of 1 ")
    assert there(sqlite) == {"people"}


def test_lifting(cli: Cli, at: list[str]) -> None:
    cli("delete", "--ids", "cat", *at)
    lift = ["delete", "--lift", "--ids", "cat", "bus", "--format", "json", *at]
    assert json.loads(cli(*lift, "--dry-run").stdout) == {"lifted": 1}
    assert json.loads(cli(*lift).stdout) == {"lifted": 1}
    assert json.loads(cli(*lift).stdout) == {"lifted": 0}


def test_what_cannot_be_deleted_ends_with_1(cli: Cli, at: list[str]) -> None:
    done = cli("delete", "--ids", "x" * 513, "cat", "--format", "json", *at)
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"asked": 2, "deleted": 1, "not_found": 0, "failed": 1}
    assert "512 is the most" in done.stderr


def test_what_cannot_be_asked(cli: Cli, at: list[str], tmp_path: Path) -> None:
    nothing = cli("delete", *at)
    assert (nothing.exit_code, "name --ids or an --ids-file" in nothing.stderr) == (2, True)
    file = tmp_path / "ids.txt"
    file.write_bytes(b"cat\n\xff\xd8\xff\xe0")
    bad = cli("delete", "--ids-file", file, "--dry-run", *at)
    assert (bad.exit_code, "line 2: not UTF-8" in bad.stderr) == (2, True)
    missing = cli("delete", "--ids", "cat", "--index", "none", *at)
    assert (missing.exit_code, "no index 'none'" in missing.stderr) == (3, True)

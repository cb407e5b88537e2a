"""Settings from files: under the environment, over the defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, and beside it the user's folder for settings."""
    (tmp_path / "here").mkdir()
    (tmp_path / "user" / "stair-search").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def user_file(here: Path) -> Path:
    return here.parent / "user" / "stair-search" / "stair-search.toml"


def made(cli: Run, *args: str) -> str:
    """What `index create` says that it would make."""
    result = cli("index", "create", "--dry-run", *args)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_a_table_of_a_command_lies_over_what_holds_for_all(cli: Run, here: Path) -> None:
    (here / "stair-search.toml").write_text(
        'format = "table"\n["index create"]\nformat = "ndjson"\nshards = 7\n'
    )
    assert '"number_of_shards": 7' in made(cli)
    assert len(made(cli).splitlines()) == 1
    assert '"number_of_shards": 2' in made(cli, "--shards", "2")


def test_the_file_here_lies_over_the_users(cli: Run, here: Path) -> None:
    user_file(here).write_text('["index create"]\nshards = 7\nreplicas = 5\n')
    (here / "stair-search.toml").write_text('["index create"]\nshards = 3\n')
    body = made(cli)
    assert '"number_of_shards": 3' in body
    assert '"number_of_replicas": 5' in body


def test_the_environment_lies_over_the_file(
    cli: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "stair-search.toml").write_text('url = "sqlite:file.db"\n')
    monkeypatch.setenv("STAIR_SEARCH_URL", f"sqlite:{here / 'environment.db'}")
    assert cli("index", "create").exit_code == 0
    assert (here / "environment.db").exists()
    assert not (here / "file.db").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("urll = 'sqlite:x'", "did you mean 'url'"),
        ("[serch]\nsize = 3", "did you mean 'search'"),
        ("['index create']\nshard = 3", "did you mean 'shards'"),
        ("password = 'hunter2'", "from the environment only"),
        ("url = 'https://me:hunter2@host'", "put the URL into STAIR_SEARCH_URL"),
        ("not toml", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(cli: Run, here: Path, text: str, told: str) -> None:
    (here / "stair-search.toml").write_text(text)
    result = cli("index", "create", "--dry-run")
    assert result.exit_code == 2
    assert told in result.stderr
    assert "hunter2" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1

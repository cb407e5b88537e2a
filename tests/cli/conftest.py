"""The command line in this process, quick; `shell` runs it as people do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stair_search.cli import main


@pytest.fixture(autouse=True)
def _nobodys_settings(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test sees the settings, credentials and jobs of whoever runs it, nor leaves any."""
    for name in list(os.environ):
        if name.startswith(("STAIR_SEARCH_", "ES_", "OPENSEARCH_", "ELASTICSEARCH_", "AWS_")):
            monkeypatch.delenv(name)
    for name in ("CLOUD_ID", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.chdir(home)


@pytest.fixture
def cli() -> Callable[..., Result]:
    def run(*args: str | Path, **extra: object) -> Result:
        return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="stair-search")

    return run


@pytest.fixture
def shell() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stair_search.cli", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    return run

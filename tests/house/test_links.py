"""The links at the root are signposts to the rooms that most people come for, not packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKS = ["ingest", "mappings", "cli"]


@pytest.mark.parametrize("name", LINKS)
def test_the_link_points_into_the_package(name: str) -> None:
    link = ROOT / name
    assert link.is_symlink()
    assert link.readlink() == Path("stair_search", name)  # relative: right in every clone
    assert (link / "__init__.py").is_file()


@pytest.mark.parametrize("name", LINKS)
def test_a_stray_import_fails(name: str) -> None:
    """Found from the root, the room would be a second copy of itself: other classes, other state.

    A parent-relative import in the room's `__init__.py` stops it, such as `from .. import errors`.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "attempted relative import" in done.stderr


def test_linters_and_test_collection_stay_out() -> None:
    ruff = [sys.executable, "-m", "ruff", "check", "--show-files"]
    seen = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert str(ROOT / "stair_search" / "tokens.py") in seen
    for name in LINKS:
        assert str(ROOT / name) + os.sep not in seen

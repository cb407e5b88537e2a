"""Arrows point one way: the contracts in pyproject.toml hold, and they would notice a wrong one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"], cwd=folder, capture_output=True, text=True
    )


def test_the_house_keeps_its_arrows() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        ("queries/tree.py", "import stair_search.engines"),
        ("tokens.py", "from stair_search import queries"),
        ("engines/base.py", "import stair_search.encoders.wordpiece"),
        ("ingest/run.py", "def late():\n    import stair_search.training.starter.pipeline"),
        ("attic.py", "'a room that nobody gave a place'"),
    ],
)
def test_a_wrong_arrow_is_noticed(file: str, wrong: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    only_python = lambda folder, names: [  # noqa: E731
        name for name in names if "." in name and not name.endswith(".py")
    ]
    shutil.copytree(ROOT / "stair_search", tmp_path / "stair_search", ignore=only_python)
    with (tmp_path / "stair_search" / file).open("a") as source:
        source.write(f"\n{wrong}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert Path(file).stem in done.stdout

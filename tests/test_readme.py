"""The README's Python runs as it stands there, on photos as its first lines put them in."""

import re
from pathlib import Path

import pytest

from stair_search import connect
from stair_search.ingest import JobSettings, run

README = Path(__file__).parents[1] / "README.md"


def test_python_in_five_lines(
    package_photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line and not line.startswith("from")]) <= 5
    monkeypatch.chdir(tmp_path)
    photos = tuple(str(photo) for photo in package_photos if "skimage" in photo.name)
    run(JobSettings(sources=photos, url="sqlite:stair.db", folder=tmp_path), connect())
    exec(compile(code, str(README), "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed
    assert all("Reason(part='question'" in line for line in printed)

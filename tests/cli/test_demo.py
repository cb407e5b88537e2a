from __future__ import annotations

import html.parser
import shutil
from pathlib import Path

import pytest

from stair_search.cli import demo, demo_questions
from stair_search.cli.demo_page import Answer, Photo, Shot, page
from stair_search.queries import Reason

from .conftest import Cli


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_escapes_whatever_comes_from_photos() -> None:
    evil = "\"><script>alert('x')</script><img src=http://x/ onerror=x>\x1b[2J"
    reason = Reason(evil, evil, 1.0, 1.0, 0.5)
    text = page(
        evil,
        [Answer(evil, evil, [Shot(evil, evil, "data:image/jpeg;base64,", 0.5, [reason])])],
        [Photo(evil, "data:image/jpeg;base64,", {evil: 1.0}), Photo("none", "", {})],
        evil,
    )
    tags = Tags(text).found
    assert not [tag for tag, _ in tags if tag in ("script", "iframe", "object", "link")]
    for _, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert not (attributes.get("src") or "").startswith("http")
    policy = [a["content"] for t, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none'")
    assert "\x1b" not in text


def test_questions_are_made_of_what_sets_photos_apart() -> None:
    photos = [{"dog": 2.0, "beach": 1.5, "photo": 3.0}, {"bus": 2.0, "red": 1.0, "photo": 3.0}]
    asked = [question.words for question in demo_questions.of_photos(photos)]
    assert sorted(asked) == ["bus red", "dog beach"]
    assert list(demo_questions.of_photos([])) == []
    assert list(demo_questions.of_photos([{"##ing": 1.0}])) == []


def test_a_question_can_be_asked_again_in_a_shell() -> None:
    asked = demo_questions.asked("two dogs", without=["cat"])
    assert demo_questions.command(asked, "sqlite:a b.db", "demo") == (
        "stair-search search 'two dogs' --without cat --url 'sqlite:a b.db' --index demo"
    )
    assert demo_questions.title(asked) == "“two dogs”, without cat"


@pytest.mark.slow
def test_photos_of_packages(cli: Cli, tmp_path: Path) -> None:
    result = cli("demo", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("$ stair-search search") >= 5
    made = Path(result.stdout.strip().splitlines()[-1].split(": ")[1])
    tags = Tags(made.read_text("utf-8")).found
    assert len([tag for tag, _ in tags if tag == "img"]) > 40
    assert made.stat().st_size < 3_000_000


@pytest.mark.slow
def test_photos_of_ones_own(cli: Cli, package_photos: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for photo in package_photos[:5]:
        shutil.copy(photo, folder)
    (folder / "bad.jpg").write_text("no photo")
    result = cli("demo", folder, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "$ stair-search search" in result.stdout
    assert len(list((tmp_path / "out").glob("demo-*.html"))) == 1
    for photo in list(folder.glob("*"))[1:]:
        photo.unlink()
    demo._thumbnail.cache_clear()  # as in a process of its own
    result = cli("demo", folder, "--out", tmp_path / "out")  # the index still holds the others
    assert result.exit_code == 0, result.output


def test_a_folder_without_photos(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = cli("demo", tmp_path / "empty", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "no photo" in result.stderr

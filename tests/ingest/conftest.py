"""What the tests of ingest share: a few small photos, a job in a folder of its own, an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from stair_search.engines import connect
from stair_search.engines.base import Engine
from stair_search.ingest import JobSettings, Progress, Report, run
from stair_search.ingest.reading import stores
from tests.ingest.standin import ColourEncoder

if TYPE_CHECKING:
    from tests.ingest.stores import GCS, S3


def make_photo(path: Path, colour: str = "red", size: tuple[int, int] = (40, 30)) -> Path:
    """A photo in one colour, in the format of its extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where jobs and takedowns are remembered: not among those of whoever runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "stair-search"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of six photos in three formats and two folders."""
    folder = tmp_path / "photos"
    for n, colour in enumerate(["red", "green", "blue"]):
        make_photo(folder / f"{n}.jpg", colour)
    make_photo(folder / "below" / "0.jpg", "yellow")
    make_photo(folder / "below" / "1.png", "white")
    make_photo(folder / "below" / "2.webp", "black")
    return folder


@pytest.fixture
def encoder(tmp_path: Path) -> ColourEncoder:
    return ColourEncoder(log=tmp_path / "encoded.log")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'stair.db'}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = connect(url)
    yield engine
    engine.close()


class Job:
    """Runs one job again and again."""

    def __init__(self, settings: JobSettings, engine: Engine, encoder: ColourEncoder) -> None:
        self.settings = settings
        self.engine = engine
        self.encoder = encoder
        self.notices: list[str] = []

    def __call__(self, encoder: ColourEncoder | None = None, **changes: Any) -> Report:
        self.notices.clear()
        return run(
            replace(self.settings, **changes),
            self.engine,
            encoder=encoder or self.encoder,
            progress=self._hear,
        )

    def documents(self, *fields: str) -> dict[str, dict[str, Any]]:
        self.engine.refresh(self.settings.index)
        return dict(self.engine.scan(self.settings.index, fields))

    def _hear(self, progress: Progress) -> None:
        if progress.notice:
            self.notices.append(progress.notice)


MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(tmp_path: Path, engine: Engine, url: str, encoder: ColourEncoder) -> MakeJob:
    def make(*sources: Path | str, **settings: Any) -> Job:
        told: dict[str, Any] = {
            "url": url,
            "folder": tmp_path / "job",
            "retry_seconds": 5.0,
        } | settings
        return Job(JobSettings(tuple(map(str, sources)), **told), engine, encoder)

    return make


def counts(report: Report) -> tuple[int, int, int]:
    """indexed, unchanged, failed."""
    assert report.seen == report.indexed + report.unchanged + report.failed
    return report.indexed, report.unchanged, report.failed


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    from tests.ingest.stores import serving_s3  # brings moto

    with serving_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server.url,
        "AWS_ACCESS_KEY_ID": "AKIATEST",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "2",
    }.items():
        monkeypatch.setenv(name, value)
    s3_server.requests.clear()
    s3_server.faults.clear()
    yield s3_server
    stores._stores.clear()


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[GCS]:
    from tests.ingest.stores import serving_gcs

    with serving_gcs() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
    stores._stores.clear()

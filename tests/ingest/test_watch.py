"""What a run says of itself: the stage that is slow is the one that it names."""

from __future__ import annotations

import os
import re
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stair_search.engines.base import Document, Engine, Outcome
from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.ingest import Progress, run
from stair_search.ingest.count import count
from stair_search.ingest.ledger import Ledger
from stair_search.ingest.photo import Photo, Place, Result
from stair_search.ingest.pipe import Meter
from stair_search.ingest.read import READERS
from stair_search.ingest.sources import Sources
from stair_search.ingest.stages import STAGES, Run
from stair_search.ingest.watch import Watch, bottleneck
from tests.ingest.conftest import Job, MakeJob, make_photo
from tests.ingest.reading.conftest import Request, Server, serving
from tests.ingest.standin import ColourEncoder

SLOW = 0.02


class SlowPreparing(ColourEncoder):
    def prepare_image(self, image: Image.Image) -> NDArray[np.uint8]:
        time.sleep(SLOW * (os.cpu_count() or 1))
        return super().prepare_image(image)


class SlowBulk:
    """The engine, which takes its time over each document."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def bulk(self, index: str, documents: Sequence[Document], *_: object) -> list[Outcome]:
        time.sleep(SLOW * len(documents))
        return self._engine.bulk(index, documents)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def job(tmp_path: Path, make_job: MakeJob) -> Job:
    for n in range(60):
        make_photo(tmp_path / "many" / f"{n:02}.png", f"rgb({n}, 9, 9)")
    return make_job(tmp_path / "many", bulk_documents=4)


@pytest.mark.slow
@pytest.mark.parametrize("slow", ["find", "read", "decode", "encode", "bulk", "ledger"])
def test_the_stage_that_is_slowed_is_named(
    job: Job, slow: str, monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path
) -> None:
    if slow == "find":
        meet = Ledger.meet_new

        def late(self: Ledger, photos: Sequence[Photo]) -> bool:
            time.sleep(SLOW * len(photos))
            return meet(self, photos)

        monkeypatch.setattr(Ledger, "meet_new", late)
    elif slow == "read":
        names = [f"{n:02}.png" for n in range(60)]
        for name in names:
            server.paths[f"/{name}"] = partial(late_answer, tmp_path / "many" / name)
        rows = ["image", *(f"{server.url}/{name}" for name in names)]
        (tmp_path / "list.csv").write_text("\n".join(rows))
        job.settings = replace(
            job.settings, sources=(str(tmp_path / "list.csv"),), allow_private=True
        )
    elif slow == "decode":
        job.encoder = SlowPreparing()
    elif slow == "encode":
        job.encoder = ColourEncoder(seconds=SLOW * (os.cpu_count() or 1))
    elif slow == "bulk":
        job.engine = cast(Engine, SlowBulk(job.engine))
    else:
        record = Ledger.record

        def slowly(self: Ledger, results: list[Result], *, model: str) -> None:
            time.sleep(SLOW * len(results))
            record(self, results, model=model)

        monkeypatch.setattr(Ledger, "record", slowly)
    told = job().bottleneck
    assert told.startswith(f"{slow}: "), told


def late_answer(file: Path, request: Request) -> None:
    time.sleep(SLOW * READERS)
    request.answer(200, file.read_bytes())


def meters(**seconds: float) -> dict[str, Meter]:
    found = {name: Meter() for name in STAGES}
    for name, spent in seconds.items():
        found[name].add(spent, 1)
    return found


def test_words() -> None:
    told = bottleneck(meters(encode=9.7, bulk=4.0), 10)
    assert told.startswith("encode: busy 97 %; bulk idle 60 %: more CPUs or a GPU would help")
    assert bottleneck(meters(bulk=9, encode=1), 10) == (
        "bulk: busy 90 %; encode idle 90 %: the engine takes no more"
    )
    assert bottleneck(meters(bulk=9, encode=1), 10, throttled=True).endswith(
        "--max-docs-per-second holds it back"
    )
    assert bottleneck(meters(encode=4), 10) == "encode: busy 40 %"
    assert bottleneck(meters(), 10) == ""


def test_the_time_that_is_left(job: Job) -> None:
    now = [0.0]
    of = cast(
        Run,
        type("Run", (), {"job": job.settings, "meters": meters(), "stop": None, "devices": []})(),
    )
    watch = Watch(of, None, clock=lambda: now[0])
    watch.total = 1000
    photo = Photo("a", "file:///a", Place("/a"), {})
    for _ in range(100):
        now[0] += 1
        watch.add([Result(photo, "unchanged")] * 2)
        progress = watch.progress()
    assert progress.seconds_left == pytest.approx(400)
    for _ in range(100):  # from here on they have changed
        now[0] += 1
        watch.add([Result(photo, "indexed")])
        progress = watch.progress()
    assert progress.seconds_left == pytest.approx(700)
    assert (progress.seen, progress.total) == (300, 1000)


def test_counting(photos: Path) -> None:
    def counted(*names: Path) -> int | None:
        return count(Sources([str(one) for one in names], None, Fields()), threading.Event())

    csv = photos / "c.csv"
    csv.write_text("image,caption\n0.jpg,a\n0.jpg,b\n1.jpg,c\n")
    assert counted(photos) == 6
    assert counted(csv, photos / "2.jpg") == 3
    (photos / "a.tar").write_bytes(b"")
    assert counted(photos) is None
    assert counted(photos / "a.tar") is None


@pytest.mark.slow
def test_prometheus_reads_it_while_it_runs(job: Job) -> None:
    job.encoder = ColourEncoder(seconds=0.05)
    read: list[str] = []
    places: list[str] = []

    def hear(progress: Progress) -> None:
        if progress.notice and progress.notice.startswith("metrics: "):
            places.append(progress.notice.removeprefix("metrics: "))
        if places and 0 < progress.indexed < 60:
            with urllib.request.urlopen(places[0]) as answer:
                read.append(answer.read().decode())

    run(replace(job.settings, metrics="0"), job.engine, encoder=job.encoder, progress=hear)
    assert places[0].startswith("http://127.0.0.1:")
    assert re.search(r'stair_search_photos_total\{state="indexed"\} [1-9]', read[-1])
    assert 'stair_search_stage_busy_seconds_total{stage="encode"}' in read[-1]
    assert "stair_search_photos_expected 60.0" in read[-1]
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(places[0])


@pytest.mark.parametrize("place", ["much", "70000", "192.0.2.1:9464", "-1"])
def test_where_nothing_can_listen(job: Job, place: str) -> None:
    with pytest.raises(UsageError, match=f"--metrics {place}: nothing can listen there"):
        job(metrics=place)

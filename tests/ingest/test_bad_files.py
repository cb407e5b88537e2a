"""Bad and odd files: each bad one costs itself alone, with its own reason; each odd one goes in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from stair_search.ingest import failures, verify
from stair_search.ingest.decode import prepare
from stair_search.ingest.photo import Photo, Place, Prepared, Result, Work
from stair_search.ingest.read import read
from stair_search.ingest.reading.reader import Reader
from tests.ingest.bad_files import BAD, ON_DISK, content
from tests.ingest.conftest import MakeJob, counts
from tests.ingest.odd_photos import GOOD, WHOLE, picture, saved

# What Python would print is shown by pytest; a process of its own proves that nothing is printed.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

SECONDS = 10.0
"""One file takes no longer, on a machine that has other things to do."""
MIB = 300
"""Memory that a bad file takes beyond what good ones took before it."""


def prepared(path: Path) -> Prepared | Result:
    def pixels(image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(image.resize((16, 16)))

    photo = Photo(path.name, "file:///photo", Place(str(path)), {})
    started = time.perf_counter()
    done = prepare(read(Work(photo, None, ""), Reader()), pixels, 16)
    assert time.perf_counter() - started < SECONDS
    return done


def check(path: Path, reason: str) -> None:
    done = prepared(path)
    assert isinstance(done, Result), "it went in"
    assert done.state == "failed"
    assert done.reason is not None
    assert re.fullmatch(reason, done.reason), done.reason
    assert done.reason.isprintable() and len(done.reason) < 400


def test_there_are_more_than_sixty_kinds() -> None:
    assert len(BAD) + len(ON_DISK) >= 60
    contents = {content(name) for name in BAD}
    assert len(contents) == len(BAD)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", BAD)
def test_bad_content(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content(name))
    check(path, BAD[name][1])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ON_DISK)
def test_no_file(name: str, tmp_path: Path) -> None:
    make, reason = ON_DISK[name]
    make(tmp_path / name)
    check(tmp_path / name, reason)


@pytest.mark.parametrize("name", ["a\0b.jpg", "\ud800.jpg"])
def test_what_can_be_no_name(name: str) -> None:
    check(Path(name), "cannot be read: no file has such a name .+")


@pytest.mark.parametrize("name", GOOD)
def test_odd_photos_go_in(name: str, tmp_path: Path) -> None:
    data, size = GOOD[name]()
    path = tmp_path / name
    path.write_bytes(data)
    done = prepared(path)
    assert isinstance(done, Prepared), done
    assert (done.width, done.height) == size


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_spoiled_files_and_what_is_printed() -> None:
    """300 spoiled files of each format, and all bad ones, in a process whose stderr is seen."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.ingest.odd_photos_fuzz", "300"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["escaped"] == []
    assert {f"spoiled {kind}" for kind in WHOLE} <= told["read"].keys()
    assert {f"good {name}" for name in GOOD} <= told["read"].keys()
    assert not [name for name in told["read"] if name.startswith("bad ")]
    name, seconds = told["slowest"]
    assert seconds < SECONDS, name
    assert told["peak_mib"] - told["usual_mib"] < MIB


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_among_a_thousand_good_ones(tmp_path: Path, make_job: MakeJob) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(1000):
        photo = picture().rotate(n * 0.36)
        (folder / f"{n:04}.jpg").write_bytes(saved(photo, "JPEG", quality=80))
    sizes = {f"good {name}": make()[1] for name, make in GOOD.items()}
    for name, make in GOOD.items():
        (folder / f"good {name}").write_bytes(make()[0])
    expected: dict[str, str] = {}
    for name, (_, reason) in BAD.items():
        (folder / f"bad {name}").write_bytes(content(name))
        expected[str(folder / f"bad {name}")] = reason
    for name, (make_bad, reason) in ON_DISK.items():
        path = folder / name
        make_bad(path)
        # the name of a photo is that of the file behind all links; a folder is only entered
        if name != "folder.jpg":
            expected[str(path.resolve() if path.exists() else path)] = reason

    job = make_job(folder)
    report = job()
    assert counts(report) == (1000 + len(GOOD), 0, len(expected))
    assert report.exit_code == 1
    reasons = {
        os.fsdecode(unquote_to_bytes(f.uri.removeprefix("file://"))): f.reason
        for f in failures(job.settings.home)
    }
    assert reasons.keys() == expected.keys()
    for name, reason in expected.items():
        assert re.fullmatch(reason, reasons[name]), (name, reasons[name])
    assert len(set(reasons.values())) >= 60
    seen = {
        os.fsdecode(unquote_to_bytes(source["image"])).rpartition("/")[2]: source
        for source in job.documents("image", "width", "height").values()
    }
    assert len(seen) == 1000 + len(GOOD)
    for name, size in sizes.items():
        assert (seen[name]["width"], seen[name]["height"]) == size, name
    assert verify(job.settings.home, job.engine).equal
    assert counts(job()) == (0, 1000 + len(GOOD), len(expected))

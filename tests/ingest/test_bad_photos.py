"""Bad files among real photos: each with its own reason, the good ones unharmed, on each engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stair_search.engines import connect
from stair_search.ingest import failures, verify
from tests.ingest.conftest import MakeJob, counts
from tests.ingest.test_decode import png_claiming

Spoil = Callable[[Path, bytes], object]


def cut(share: float) -> Spoil:
    return lambda path, whole: path.write_bytes(whole[: int(len(whole) * share)])


# name -> how it is made from a good JPEG, and how its reason starts
BAD: dict[str, tuple[Spoil, str]] = {
    "text.jpg": (lambda p, w: p.write_text("not a photo"), "not a photo: "),
    "zip.png": (lambda p, w: p.write_bytes(b"PK\3\4" + w), "not a photo: "),
    "empty.jpg": (lambda p, w: p.touch(), "empty file"),
    "cut.jpg": (cut(0.5), "truncated: "),
    "header.jpg": (cut(0.003), ""),
    "bomb.png": (lambda p, w: p.write_bytes(png_claiming(60_000, 60_000)), "too large: "),
    "dangling.jpg": (lambda p, w: p.symlink_to("gone.jpg"), "a link to a file that is not there"),
    "self.jpg": (lambda p, w: p.symlink_to("self.jpg"), "cannot be read: Too many levels"),
    "pipe.jpg": (lambda p, w: os.mkfifo(p), "not a file but a named pipe"),
    "device.jpg": (lambda p, w: p.symlink_to("/dev/zero"), "not a file but a device"),
}


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_each_costs_itself_alone(
    tmp_path: Path, package_photos: list[Path], make_job: MakeJob, engine_url: str, index_name: str
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    good = package_photos[:20]
    for photo in good:
        shutil.copy(photo, folder / photo.name)
    jpeg = next(p for p in package_photos if p.name.endswith("flower.jpg")).read_bytes()
    (folder / os.fsdecode(b"caf\xe9 \xff.jpg")).write_bytes(jpeg)
    (folder / "a jpeg.png").write_bytes(jpeg)
    (folder / "notes.txt").write_text("left out")
    (folder / "loop").symlink_to(folder)
    (folder / "folder.jpg").mkdir()
    for name, (spoil, _) in BAD.items():
        spoil(folder / name, jpeg)
    for kind in ("PNG", "WEBP"):
        _truncated(folder / f"cut.{kind.lower()}", good[0], kind)
    csv = tmp_path / "rows.csv"
    csv.write_text("image,caption\nmixed/nowhere.jpg,gone\nmixed/folder.jpg,a folder\n")

    job = make_job(folder, csv, url=engine_url, index=index_name)
    job.engine = connect(engine_url)
    assert counts(job()) == (22, 0, len(BAD) + 4)
    reasons = {f.uri.rpartition("/")[2]: f.reason for f in failures(job.settings.home)}
    expected = {name: reason for name, (_, reason) in BAD.items()} | {
        "cut.png": "truncated: ",
        "cut.webp": "",
        "nowhere.jpg": "no such file",
        "folder.jpg": "not a file but a folder",
    }
    assert reasons.keys() == expected.keys() - {"device.jpg", "self.jpg"} | {"zero", "self.jpg"}
    for name, reason in expected.items():
        said = reasons["zero" if name == "device.jpg" else name]
        assert said.startswith(reason), name
        assert "\n" not in said
    assert verify(job.settings.home, job.engine) == (22, 22, [], [])
    assert counts(job()) == (0, 22, len(BAD) + 4)
    job.engine.close()


def _truncated(path: Path, photo: Path, kind: str) -> None:
    from PIL import Image

    Image.open(photo).convert("RGB").save(path, kind)
    path.write_bytes(path.read_bytes()[:-2000])

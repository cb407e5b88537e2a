"""Photos with one label each, for classification, probe and interpretability.

- a folder a class (torchvision's ImageFolder): the folder's name is the label, `_` read as a blank
- the same with a CSV of names, where folders are called by ids: columns `label` and either `image`
  (a path inside the folder, a row a photo) or `folder` (a row a class). `labels.csv` in the folder
  is taken without being asked for
- CIFAR-10 and CIFAR-100 in their *binary* version (`cifar-10-batches-bin`, `cifar-100-binary`;
  https://www.cs.toronto.edu/~kriz/cifar.html): rows of label bytes and 3,072 pixels, names in
  `.txt`. The Python version is a pickle, which can run code when it is read: it is refused.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stair_search.errors import UsageError

from .encode import Photo

LABELS = "labels.csv"
SUFFIXES = frozenset(
    ".jpg .jpeg .png .webp .gif .bmp .tif .tiff .avif .jp2 .ppm .pgm".split()  # noqa: SIM905
)

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


class Labelled(NamedTuple):
    """photos: n files or pixel arrays; labels: int64 [n], places in `names`; names: of C classes.

    trained: bool [n], the data's own training part (CIFAR has one); None where it has none.
    """

    photos: list[Photo]
    labels: NDArray[np.int64]
    names: list[str]
    trained: NDArray[np.bool_] | None = None

    def part(self, mask: NDArray[np.bool_]) -> Labelled:
        """The photos where mask [n] is true, of the same classes."""
        kept = [photo for photo, wanted in zip(self.photos, mask, strict=True) if wanted]
        trained = None if self.trained is None else self.trained[mask]
        return Labelled(kept, self.labels[mask], self.names, trained)

    def held_back(self) -> Labelled:
        """Without the data's own training photos, where it has test photos."""
        if self.trained is None or self.trained.all():
            return self
        return self.part(~self.trained)


def read_labelled(folder: Path, names: Path | None = None) -> Labelled:
    """names: the CSV. Raises UsageError, which says what forms there are."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of photos")
    _refuse_pickles(folder)
    if (folder / "train.bin").is_file() or (folder / "test.bin").is_file():
        return _cifar(folder, ["train.bin"], "test.bin", "fine_label_names.txt", label_bytes=2)
    if any(folder.glob("data_batch_*.bin")) or (folder / "test_batch.bin").is_file():
        batches = [f"data_batch_{i}.bin" for i in range(1, 6)]
        return _cifar(folder, batches, "test_batch.bin", "batches.meta.txt", label_bytes=1)
    if names is None and (folder / LABELS).is_file():
        names = folder / LABELS
    rows = list(_folders(folder) if names is None else _named(folder, names))
    if not rows:
        raise UsageError(
            f"{folder} has no labelled photos: expected a folder a class, photos listed in a CSV "
            "(image,label), or CIFAR's binary files"
        )
    known = sorted({label for _, label in rows})
    place = {label: i for i, label in enumerate(known)}
    labels = np.array([place[label] for _, label in rows], np.int64)
    return Labelled([photo for photo, _ in rows], labels, known)


def _refuse_pickles(folder: Path) -> None:
    for name, binary in (
        ("data_batch_1", "cifar-10-binary.tar.gz"),
        ("test_batch", "cifar-10-binary.tar.gz"),
        ("meta", "cifar-100-binary.tar.gz"),
        ("batches.meta", "cifar-10-binary.tar.gz"),
    ):
        if (folder / name).is_file():
            raise UsageError(
                f"{folder / name} is CIFAR's Python version, a pickle, which can run code when it "
                f"is read; take the binary version instead: {binary} from "
                "https://www.cs.toronto.edu/~kriz/cifar.html"
            )


def _photos(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def _folders(folder: Path) -> Iterator[tuple[Photo, str]]:
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        for photo in _photos(inner):
            yield photo, inner.name.replace("_", " ")


def _named(folder: Path, file: Path) -> Iterator[tuple[Photo, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            columns = rows.fieldnames or []
            key = next((name for name in ("image", "folder") if name in columns), None)
            if "label" not in columns or key is None:
                raise UsageError(
                    f"{file} needs the columns 'label' and 'image' or 'folder' in its first line; "
                    + (f"has {columns}" if columns else "is empty")
                )
            for row in rows:
                place, label = row[key] or "", (row["label"] or "").strip()
                where = f"{file}, line {rows.line_num}"
                if not place or not label:
                    raise UsageError(f"{where}: a row needs {key} and label")
                if PurePath(place).is_absolute() or ".." in PurePath(place).parts:
                    raise UsageError(f"{where}: {place!r} lies outside of {folder}")
                path = folder / place
                if not (path.is_file() if key == "image" else path.is_dir()):
                    raise UsageError(f"{where}: {folder} lacks {place!r}")
                for photo in [path] if key == "image" else _photos(path):
                    yield photo, label
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None


def _cifar(
    folder: Path, training: Sequence[str], test: str, names: str, label_bytes: int
) -> Labelled:
    known = _lines(folder / names)
    photos: list[Photo] = []
    labels, trained = [], []
    for name in [*training, test]:
        path = folder / name
        if not path.is_file():
            continue  # one part alone can be measured
        rows = _rows(path, label_bytes)
        found = rows[:, label_bytes - 1].astype(np.int64)  # of CIFAR-100's two the fine one
        if int(found.max(initial=0)) >= len(known):
            raise UsageError(f"{path} has label {found.max()}, {names} names {len(known)} classes")
        labels.append(found)
        trained.append(np.full(len(rows), name != test))
        planes = rows[:, label_bytes:].reshape(-1, 3, _SIDE, _SIDE)
        photos += list(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))
    words = [name.replace("_", " ") for name in known]
    return Labelled(photos, np.concatenate(labels), words, np.concatenate(trained))


def _rows(path: Path, label_bytes: int) -> NDArray[np.uint8]:
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    width = label_bytes + _PIXELS
    if not len(content) or len(content) % width:
        raise UsageError(
            f"{path} is cut short or not CIFAR's: {len(content):,} bytes are no multiple of {width}"
        )
    return content.reshape(-1, width)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}; it names the classes") from None

"""What frozen towers say about photos and texts: computed once, kept on disk, read by memory map.

A file's name is a hash of the tower's weights and settings, of how photos are prepared, and of the
list of photos (name, size, time of change) or texts: nothing is taken for what it is not, and runs
with other heads, losses or seeds share it. A run that is killed goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import filelock
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stair_search.errors import TrainingError, UsageError

from .views import OpenPhoto, look

if TYPE_CHECKING:
    from stair_search.models import DualEncoder

Hidden = np.memmap[Any, np.dtype[np.float16]]
Tell = Callable[[str], None]

BATCH = 32
TEXTS = 256
SAVE_EVERY = 30.0  # seconds
SHOWN = 5


def default_cache() -> Path:
    """Where states are kept unless told otherwise."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("stair-search")) / "states"


class TextStates(NamedTuple):
    """hidden: float16 [sum of t, h]; offsets: int64 [m + 1], where each text's tokens begin."""

    hidden: Hidden
    offsets: NDArray[np.int64]


def image_states(
    model: DualEncoder,
    photos: Sequence[Path],
    view: str,
    cache: Path,
    open_photo: OpenPhoto,
    tell: Tell = lambda line: None,
    device: str = "cpu",
) -> Hidden:
    """float16 [n, p, h], the image tower's states. Raises UsageError that names broken photos."""
    about = [json.dumps(dataclasses.asdict(model.config.image) | {"head": None}), view]
    for photo in photos:
        stat = photo.stat()
        about.append(f"{photo}\0{stat.st_size}\0{stat.st_mtime_ns}")
    key = _key("image", model.image_tower, about)
    with _exclusive(cache, key):
        if (cache / f"{key}.npy").exists():
            return _opened(cache / f"{key}.npy")
        return _look_at_all(model, photos, view, cache, key, open_photo, tell, device)


def _look_at_all(
    model: DualEncoder,
    photos: Sequence[Path],
    view: str,
    cache: Path,
    key: str,
    open_photo: OpenPhoto,
    tell: Tell,
    device: str,
) -> Hidden:
    broken: list[str] = []

    def pixels(place: int) -> NDArray[np.uint8] | None:
        photo = photos[place]
        # of its name, not of its place: the same crop in any list
        chance = int.from_bytes(hashlib.sha256(f"{view}\0{photo.name}".encode()).digest()[:8])
        try:
            return model.prepare_image(look(open_photo(photo), view, chance))
        except UsageError as error:
            broken.append(str(error))
            return None

    growing = _Growing(cache, key, len(photos))
    # channels last: how pixels come, and convolutions are half again as quick
    model.to(device).image_tower.to(memory_format=torch.channels_last).eval()
    started, first = time.monotonic(), growing.done
    with ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)))) as pool, torch.inference_mode():
        for at in range(first, len(photos), BATCH):
            found = list(pool.map(pixels, range(at, min(at + BATCH, len(photos)))))
            if broken:
                continue  # all of them are worth knowing
            batch = torch.from_numpy(np.stack([one for one in found if one is not None]))
            states = model.image_states(model.normalise(batch.to(device)))
            growing.add(_halved(states.hidden, "image"))
            rate = (growing.done - first) / (time.monotonic() - started + 1e-9)
            tell(
                f"frozen image tower, {view}: {growing.done} of {len(photos)} photos, {rate:.0f}/s"
            )
    if broken:
        raise UsageError(
            f"{len(broken)} photos cannot be read, leave them out of the CSV: "
            + "; ".join(broken[:SHOWN])
            + ("; …" if len(broken) > SHOWN else "")
        )
    return growing.finish()


def text_states(
    model: DualEncoder,
    ids: Sequence[NDArray[np.int64]],
    cache: Path,
    tell: Tell = lambda line: None,
    device: str = "cpu",
) -> TextStates:
    """The text tower's states of texts that are given as ids, special tokens included."""
    assert model.text_tower is not None
    lengths = np.array([len(one) for one in ids])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    assert model.config.text.tower is not None
    settings = json.dumps(dataclasses.asdict(model.config.text.tower))
    key = _key("text", model.text_tower, [settings, *(one.tobytes().hex() for one in ids)])
    with _exclusive(cache, key):
        if (cache / f"{key}.npy").exists():
            return TextStates(_opened(cache / f"{key}.npy"), offsets)
        growing = _Growing(cache, key, int(offsets[-1]))
        model.to(device).text_tower.eval()
        at = int(np.searchsorted(offsets, growing.done))
        with torch.inference_mode():
            while at < len(ids):
                part = ids[at : at + TEXTS]
                padded, mask = pad(part)
                states = model.text_states(padded.to(device), mask.to(device))
                assert states is not None
                growing.add(_halved(states.hidden[mask.to(device)], "text"))
                at += len(part)
                tell(f"frozen text tower: {at} of {len(ids)} captions")
        return TextStates(growing.finish(), offsets)


def pad(ids: Sequence[NDArray[np.int64]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids int64 [b, t], filled with 0 ([PAD] of BERT) to the longest, and mask bool [b, t]."""
    longest = max(len(one) for one in ids)
    padded = np.zeros((len(ids), longest), np.int64)
    mask = np.zeros((len(ids), longest), np.bool_)
    for row, one in enumerate(ids):
        padded[row, : len(one)] = one
        mask[row, : len(one)] = True
    return torch.from_numpy(padded), torch.from_numpy(mask)


def tower_hash(tower: nn.Module) -> str:
    """Of a network's weights and their names."""
    digest = hashlib.sha256()
    for name, value in sorted(tower.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _key(kind: str, tower: nn.Module, about: Sequence[str]) -> str:
    digest = hashlib.sha256(tower_hash(tower).encode())
    for line in about:
        digest.update(line.encode(errors="surrogateescape") + b"\n")
    return f"{kind}-{digest.hexdigest()[:24]}"


def _halved(hidden: torch.Tensor, side: str) -> NDArray[np.float16]:
    half: NDArray[np.float16] = hidden.to(torch.float16).cpu().numpy()
    if not np.isfinite(half).all():
        raise TrainingError(
            f"a state of the {side} tower is beyond the range of float16, or no number: this tower "
            f"cannot be kept frozen in a cache; train it (add '{side}_tower' to a stage's trains)"
        )
    return half


@contextmanager
def _exclusive(cache: Path, key: str) -> Iterator[None]:
    """One process computes, on one machine; others wait and then read."""
    cache.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(cache / f"{key}.lock"):
        yield


def _opened(file: Path) -> Hidden:
    found: Hidden = np.lib.format.open_memmap(file, mode="r")
    return found


class _Growing:
    """A file that is filled from its start; a note beside it says how far it holds what it should.

    It is whole when it has lost the ending `.part`.
    """

    def __init__(self, cache: Path, key: str, rows: int) -> None:
        self._part, self._note = cache / f"{key}.part.npy", cache / f"{key}.done"
        self._file, self._rows = cache / f"{key}.npy", rows
        self.done, self._saved = 0, time.monotonic()
        self._array: Hidden | None = None
        if self._part.exists() and self._note.exists():
            self.done = int(self._note.read_text() or 0)
            self._array = np.lib.format.open_memmap(self._part, mode="r+")

    def add(self, values: NDArray[np.float16]) -> None:
        if self._array is None:
            self._array = self._made((self._rows, *values.shape[1:]))
        self._array[self.done : self.done + len(values)] = values
        self.done += len(values)
        if time.monotonic() - self._saved > SAVE_EVERY:
            self._save()

    def _made(self, shape: tuple[int, ...]) -> Hidden:
        array: Hidden = np.lib.format.open_memmap(
            self._part, mode="w+", dtype=np.float16, shape=shape
        )
        try:
            # a memory map on a full disk ends the process, without a word
            with self._part.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, self._part.stat().st_size)
        except OSError as error:
            size = self._part.stat().st_size / 2**30
            self._part.unlink()
            raise TrainingError(
                f"no room for {size:.1f} GiB of frozen states in {self._part.parent} "
                f"({error.strerror}): free some, or name another folder with --cache"
            ) from None
        return array

    def _save(self) -> None:
        assert self._array is not None
        self._array.flush()
        self._note.write_text(str(self.done))
        self._saved = time.monotonic()

    def finish(self) -> Hidden:
        assert self._array is not None and self.done == self._rows
        self._save()
        self._array = None
        self._part.replace(self._file)
        self._note.unlink()
        return _opened(self._file)

"""How many photos an encoder gets at once: what a probe finds, what is done where memory ends."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stair_search.encoders.device import Memory
from stair_search.engines import Engine
from stair_search.ingest import JobSettings, Progress, devices, run
from stair_search.ingest.batch import LARGEST, BatchSize, Probe, probe, rate
from stair_search.ingest.devices import Pool, on_each_gpu
from stair_search.ingest.encoder import Encoder
from tests.ingest.conftest import MakeJob, counts, make_photo
from tests.ingest.standin import ColourEncoder


def nothing() -> None:
    return None


class TestProbe:
    def test_doubles_while_that_pays(self) -> None:
        rates = {8: 100.0, 16: 190.0, 32: 300.0, 64: 310.0}
        found = probe(rates.__getitem__, lambda: Memory(10, 1000))
        assert found == Probe(32, 300.0, Memory(10, 1000))

    def test_ends_where_memory_would(self) -> None:
        tried: list[int] = []

        def twice_as_quick(size: int) -> float:
            tried.append(size)
            return float(size)

        found = probe(twice_as_quick, lambda: Memory(tried[-1], 100))
        assert (found.size, tried) == (64, [8, 16, 32, 64])  # 128 would not go into 100
        tried.clear()
        assert probe(twice_as_quick, nothing).size == LARGEST == tried[-1]

    def test_ends_where_memory_has_ended(self) -> None:
        def until_32(size: int) -> float:
            if size > 32:
                raise RuntimeError("CUDA error: out of memory")
            return float(size)

        assert probe(until_32, nothing) == Probe(32, 32.0)
        assert probe(lambda size: until_32(64), nothing) == Probe(8)
        with pytest.raises(ZeroDivisionError):
            probe(lambda size: 1 / 0, nothing)

    def test_measures_in_threads(self) -> None:
        class Counting(ColourEncoder):
            def encode_images(self, pixels: np.ndarray) -> list[Any]:
                threads.add(threading.get_ident())
                return super().encode_images(pixels)

        threads: set[int] = set()
        found = rate(Counting(seconds=0.001), callers=2, size=4, least=0.05)
        # 1 ms a photo in each of two threads is the most
        assert 0 < found <= 2000
        assert len(threads) == 2


def test_a_size_shrinks_once_however_many_find_out() -> None:
    told: list[str] = []
    size = BatchSize(64, told.append)
    size.shrink(64)
    size.shrink(64)  # another thread, with its batch of before
    assert size.now == 32
    size.shrink(3)  # a last batch
    assert size.now == 1
    size.shrink(1)
    assert size.now == 1
    assert [line.split(": ")[0] for line in told] == [
        "out of memory with 64 photos at once",
        "out of memory with 3 photos at once",
    ]


@pytest.mark.train
class TestOutOfMemory:
    """A small real model whose tower takes `most` photos: what only a GPU would do by itself."""

    def encoder(self, place: Path, most: int, white: bool = False) -> Any:
        """white: a photo that is white does not fit even alone."""
        import torch

        from stair_search.encoders import load_encoder
        from stair_search.models import save_pretrained
        from tests.models.tiny import model

        save_pretrained(model(top_k=4), place)
        encoder: Any = load_encoder(str(place), 1, "cpu")

        def refuse(module: Any, given: tuple[Any, ...]) -> None:
            (pixels,) = given
            self.seen.append(len(pixels))
            if len(pixels) > most or (white and bool((pixels.flatten(1).amin(1) >= 0.99).any())):
                raise torch.OutOfMemoryError(
                    "CUDA out of memory.\nTried to allocate 20.00 GiB. GPU 0 has 79.1 GiB in all"
                )

        self.seen: list[int] = []
        encoder._model._side.tower.register_forward_pre_hook(refuse)
        return encoder

    def test_the_batch_is_halved_from_then_on(self, tmp_path: Path, make_job: MakeJob) -> None:
        many = tmp_path / "many"
        for n in range(40):
            make_photo(many / f"{n}.png", f"rgb({6 * n}, 90, {250 - 6 * n})")
        job = make_job(many, encode_batch=16)
        report = job(self.encoder(tmp_path / "model", most=5))
        assert counts(report) == (40, 0, 0)
        assert report.stages["encode"]["batch"] == 4
        told = [notice for notice in job.notices if "out of memory" in notice]
        assert told == [
            "out of memory with 16 photos at once: encoded 8 at once from now on",
            "out of memory with 8 photos at once: encoded 4 at once from now on",
        ]
        alone = self.encoder(tmp_path / "model", most=99)
        assert job(alone, folder=tmp_path / "again").indexed == 40  # the same tokens
        assert max(self.seen) == 16

    def test_a_photo_that_does_not_fit_fails_alone(self, tmp_path: Path, make_job: MakeJob) -> None:
        for n in range(12):
            make_photo(
                tmp_path / "many" / f"{n}.png", "white" if n == 7 else f"rgb({20 * n}, 0, 0)"
            )
        job = make_job(tmp_path / "many", encode_batch=8)
        assert counts(job(self.encoder(tmp_path / "model", most=99, white=True))) == (11, 0, 1)
        (line,) = (tmp_path / "job" / "failures.ndjson").read_text().splitlines()
        assert "/7.png" in line
        assert "cannot be encoded: OutOfMemoryError: CUDA out of memory. Tried to allocate" in line

    def test_the_memory_is_free_when_it_is_tried_again(self, tmp_path: Path) -> None:
        """The error holds its traceback, and that every tensor of the batch that was too large."""
        import gc
        import weakref

        import torch

        from stair_search.ingest.photo import Photo, Place, Prepared, Work
        from stair_search.ingest.stages import encode

        held: list[weakref.ref[Any]] = []
        alive: list[int] = []

        class Tight(ColourEncoder):
            def encode_images(self, pixels: np.ndarray) -> list[Any]:
                alive.append(sum(ref() is not None for ref in held))
                tensor = torch.zeros(len(pixels))
                held.append(weakref.ref(tensor))
                if len(pixels) > 2:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                return super().encode_images(pixels)

        work = Work(Photo("a", "file:///a", Place("/a"), {}), None, "")
        photo = Prepared(work, "", 16, 16, np.zeros((16, 16, 3), np.uint8), 0.0)
        gc.disable()
        try:
            answers = encode(Tight(), [photo] * 4)
        finally:
            gc.enable()
        assert not any(isinstance(answer, str) for answer in answers) and len(answers) == 4
        assert alive == [0, 0, 0]


class OnGpu(ColourEncoder):
    """As if on a GPU of 1 GB, of which each photo takes 10 MB."""

    def __init__(self, device: str, calls: list[tuple[str, int]]) -> None:
        super().__init__()
        self.device, self.precision, self.calls = device, "bf16", calls

    def encode_images(self, pixels: np.ndarray) -> list[Any]:
        self.calls.append((self.device, len(pixels)))
        return super().encode_images(pixels)

    def memory(self) -> Memory:  # type: ignore[override]
        return Memory(10**7 * max(size for _, size in self.calls), 10**9)


def test_every_gpu_has_its_encoder_and_a_probe_finds_the_batch(
    tmp_path: Path, engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []
    loaded: list[tuple[str, str]] = []

    def load(name: str, device: str, precision: str, compile: bool) -> Encoder:
        loaded.append((name, device))
        return OnGpu("cuda:0" if device == "auto" else device, calls)

    monkeypatch.setitem(run.__globals__, "load", load)
    monkeypatch.setattr(devices, "gpus", lambda: 3)
    # twice the batch, twice as quick: memory sets the end
    monkeypatch.setattr(
        devices, "rate", lambda encoder, callers, size: encoder.encode_images(_grey(size)) and size
    )
    for n in range(200):
        make_photo(tmp_path / "many" / f"{n}.png", f"rgb({n}, 0, 0)", (20, 20))
    notices: list[str | None] = []

    def hear(progress: Progress) -> None:
        notices.append(progress.notice)

    settings = JobSettings((str(tmp_path / "many"),), url, model="m", folder=tmp_path / "job")
    report = run(settings, engine, progress=hear)
    assert report.indexed == 200
    assert loaded == [("m", "auto"), ("m", "cuda:1"), ("m", "cuda:2")]
    assert (
        "encode on cuda:0, cuda:1, cuda:2 in bf16, batch 64: 64 photos/s, 0.6 of 1.0 GB" in notices
    )
    encode = report.stages["encode"]
    assert (encode["workers"], encode["batch"], encode["precision"]) == (6, 64, "bf16")
    assert encode["devices"] == ["cuda:0", "cuda:1", "cuda:2"]
    ingested = [size for _, size in calls[4:]]
    assert sorted(ingested, reverse=True) == [64, 64, 64, 8]
    assert len({device for device, _ in calls[4:]}) > 1


def _grey(size: int) -> np.ndarray:
    return np.full((size, 16, 16, 3), 127, np.uint8)


def test_one_gpu_that_was_named_and_an_encoder_that_was_given_are_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: 3)

    def again(device: str) -> Encoder:
        return OnGpu(device, [])

    one, cpu = OnGpu("cuda:1", []), ColourEncoder()
    assert on_each_gpu(one, "cuda:1", again) == [one]
    assert on_each_gpu(one, "auto", None) == [one]
    assert on_each_gpu(cpu, "auto", again) == [cpu]
    assert [found.device for found in on_each_gpu(one, "cuda", again)][1:] == ["cuda:1", "cuda:2"]


def test_a_batch_goes_to_the_encoder_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "GPU_CALLERS", 1)
    first, second = OnGpu("cuda:0", []), OnGpu("cuda:1", [])
    pool = Pool([first, second])
    assert pool.callers == 2
    with pool.free() as one:
        with pool.free() as other:
            assert {id(one), id(other)} == {id(first), id(second)}
        with pool.free() as next_one:  # the other is busy
            assert next_one is other


def test_on_a_cpu_nothing_is_probed(photos: Path, make_job: MakeJob) -> None:
    job = make_job(photos)
    report = job()
    assert report.stages["encode"]["batch"] == 8 and report.stages["encode"]["devices"] == ["cpu"]
    assert not any("photos/s" in notice for notice in job.notices)
    assert job(folder=job.settings.home / "other", encode_batch=3).stages["encode"]["batch"] == 3

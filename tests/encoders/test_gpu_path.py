"""The way to a GPU and back, proved without one: what would cross is looked at with torch's fake
tensors, which have a device and no memory; the order of copies with streams that take notes.
"""

from __future__ import annotations

import ctypes
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stair_search.encoders import device, load_encoder
from stair_search.encoders.device import gpus, is_out_of_memory
from stair_search.errors import UsageError

pytestmark = pytest.mark.train

VOCABULARY, TOP = 30_522, 16


def photos(size: int, count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    from stair_search.models import save_pretrained
    from tests.models.tiny import model

    place = tmp_path_factory.mktemp("models") / "stair"
    save_pretrained(model(top_k=4), place)
    return str(place)


# --- what crosses --------------------------------------------------------------------------------


def crossings(top_k: int | None, precision: str) -> list[tuple[list[int], str]]:
    """Shape and type of all that goes from the device to the host for 3 photos, as torch sees it:
    copies, and single numbers that the host waits for.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_flatten

    from stair_search.encoders import feed, torch_model
    from stair_search.models import build
    from tests.models.tiny import SIZE, TOKENS, config

    seen: list[tuple[list[int], str]] = []

    class Watch(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            inside = [one for one in tree_flatten((args, kwargs))[0] if torch.is_tensor(one)]
            if "_local_scalar_dense" in str(func):
                seen.append(([], "number"))
            out = func(*args, **(kwargs or {}))
            for one in tree_flatten(out)[0]:
                here = torch.is_tensor(one) and one.device.type == "cpu"
                if here and any(other.device.type == "cuda" for other in inside):
                    seen.append((list(one.shape), str(one.dtype)))
            return out

    words = (*TOKENS, *(f"w{n}" for n in range(VOCABULARY - len(TOKENS))))
    model = build(config("stair-image", top_k=top_k, chunk=4096), words, device="meta").eval()
    encoder = torch_model._Model(model, "cpu", precision, torch_model.Asked("tiny"))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        encoder._side.to_empty(device="cuda")
        model.outputs = torch.empty_like(model.outputs, device="cuda")
        pixels = torch.zeros(3, SIZE, SIZE, 3, dtype=torch.uint8, device="cuda")
        with Watch():
            feed.to_host(encoder._answer(pixels))
    return seen


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_best_k_alone_come_back(precision: str) -> None:
    assert crossings(TOP, precision) == [
        ([3, TOP], "torch.int32"),
        ([3, TOP], "torch.float32"),
    ]


def test_what_crosses_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch itself: all weights at once would not escape it, nor a look at one number."""
    from stair_search.encoders import torch_model

    monkeypatch.setattr(
        torch_model, "strongest_tokens", lambda weights, ids, k: (weights, (weights > 0).cpu())
    )
    assert crossings(TOP, "fp32") == [
        ([3, VOCABULARY], "torch.bool"),
        ([3, VOCABULARY], "torch.float32"),
    ]


# --- in which order ------------------------------------------------------------------------------


class Notes:
    """Streams, events and pixels that write down what is asked of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        from stair_search.encoders import feed

        self.lines: list[str] = []
        self.copied = threading.Semaphore(0)
        notes, names = self, iter(["copy", "compute"])

        class Stream:
            def __init__(self, device: str) -> None:
                self.name, self.device = next(names), device

            def record_event(self, event: Any = None) -> Event:
                notes.lines.append(f"{self.name}: event")
                return event or Event()

            def wait_event(self, event: Event) -> None:
                notes.lines.append(f"{self.name}: waits")

        class Event:
            def __init__(self, blocking: bool = False) -> None:
                self.blocking = blocking

            def synchronize(self) -> None:
                assert self.blocking
                notes.lines.append("host: waits")

        class Pixels:
            def __init__(self, batch: np.ndarray) -> None:
                self.batch = torch.tensor(batch)

            def to(self, device: str, non_blocking: bool) -> Pixels:
                assert (device, non_blocking) == ("cuda:0", True)
                notes.lines.append(f"{notes.current}: copies")
                notes.copied.release()
                return self

            def record_stream(self, stream: Stream) -> None:
                notes.lines.append(f"{stream.name}: holds")

        self._current = threading.local()

        @contextmanager
        def stream(one: Stream) -> Iterator[None]:
            self._current.name = one.name
            yield

        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "stream", stream)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        monkeypatch.setattr(feed, "pinned", Pixels)

    @property
    def current(self) -> str:
        name: str = self._current.name
        return name


def test_a_batch_is_copied_while_the_one_before_it_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stair_search.encoders.feed import feeder

    notes, at_once, most = Notes(monkeypatch), [0], [0]

    def compute(pixels: Any) -> tuple[Any, ...]:
        assert notes.current == "compute"
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        if not first.is_set():
            first.set()
            # the other batch's copy is under way before this one is done
            assert notes.copied.acquire(timeout=30) and notes.copied.acquire(timeout=30)
        notes.lines.append("compute: computes")
        at_once[0] -= 1
        return (pixels.batch.sum(dim=(1, 2, 3)),)

    first = threading.Event()
    feed = feeder(compute, "cuda:0")
    batches = [photos(8, 2), photos(8, 3)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(feed, batches))
    for (sums,), batch in zip(found, batches, strict=True):
        assert sums.tolist() == batch.sum(axis=(1, 2, 3)).tolist()
    assert most == [1]
    computing = notes.lines.index("compute: computes")
    assert notes.lines[:computing].count("copy: copies") == 2
    for line in ("compute: waits", "compute: holds"):
        assert notes.lines.index(line) < computing
    assert notes.lines.count("host: waits") == 2


# --- precision -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A published tower with a head over 1,000 tokens, which gives all its weights."""
    import torch

    from stair_search.models import (
        ModelConfig,
        TableConfig,
        TextConfig,
        build,
        image_backbone,
        save_pretrained,
    )
    from tests.models.tiny import TOKEN_HEAD, TOKENS

    backbone = image_backbone("efficientnet-lite0")
    head = replace(TOKEN_HEAD, dimensions=64, chunk=500)
    text = TextConfig(length=20, table=TableConfig("expansion", rank=4))
    made = build(
        ModelConfig("stair-image", "real", replace(backbone.config, head=head), text),
        (*TOKENS, *(f"w{n}" for n in range(1000))),
        image_tower=backbone.tower,
    )
    with torch.no_grad():
        made.parts()["embeddings"][0].normal_(generator=torch.Generator().manual_seed(1))
    place = tmp_path_factory.mktemp("real") / "model"
    save_pretrained(made, place)
    return str(place)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "least"), [("bf16", 0.98), ("fp16", 0.999)])
def test_tokens_of_two_precisions_agree(
    precision: Any, least: float, real: str, package_photos: list[Path]
) -> None:
    exact = load_encoder(real, 1, "cpu")
    half = load_encoder(real, 1, "cpu", precision=precision)
    assert (exact.precision, half.precision) == ("fp32", precision)
    # an index holds both: they are of one model
    assert half.fingerprint == exact.fingerprint
    seen = []
    for path in package_photos[:6]:
        with Image.open(path) as photo:
            seen.append(exact.prepare_image(photo.convert("RGB")))
    batch = np.stack(seen)
    pairs = zip(half.encode_images(batch), exact.encode_images(batch), strict=True)
    cosines = [mine.dot(theirs) for mine, theirs in pairs]
    assert min(cosines) > least
    assert max(cosines) < 1 - 1e-7, "it was computed in fp32"
    texts = ["a dog on the beach", "w3 w5"]
    assert half.encode_texts(texts) == exact.encode_texts(texts)


def test_the_bias_and_what_comes_out_are_float32() -> None:
    import torch

    from stair_search.models.image_tokens import ImageSide
    from tests.models.tiny import SIZE, model

    made = model()
    with torch.no_grad():
        made.image_head.bias.fill_(1 + 2**-12)  # bf16 has no such number
    side = ImageSide(made, torch.bfloat16)
    assert side.bias.dtype == torch.float32 and (side.bias == 1 + 2**-12).all()
    assert side.table.dtype == torch.bfloat16
    assert side(torch.tensor(photos(SIZE, 2))).dtype == torch.float32


def test_weights_that_are_no_numbers_cost_their_photo(folder: str) -> None:
    import torch

    encoder: Any = load_encoder(folder, 1, "cpu")
    with torch.no_grad():
        encoder._model._side.bias[3] = torch.inf
    with pytest.raises(ValueError, match="no numbers: try --precision fp32"):
        encoder.encode_images(photos(32, 2))


@pytest.mark.parametrize(
    ("capability", "asked", "found"),
    [((9, 0), "auto", "bf16"), ((7, 5), "auto", "fp16"), ((7, 5), "fp32", "fp32")],
)
def test_what_a_gpu_computes_in(
    capability: tuple[int, int], asked: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from stair_search.encoders.torch_model import chosen_device, chosen_precision

    about = type("About", (), {"major": capability[0]})()
    for name, value in (
        ("is_available", lambda: True),
        ("device_count", lambda: 2),
        ("current_device", lambda: 0),
        ("get_device_properties", lambda device: about),
        ("get_device_name", lambda device: "Tesla T4"),
        ("device", lambda device: ThreadPoolExecutor(1)),  # any context manager
        ("_check_bf16_tensor_supported", lambda device: True),  # it emulates
    ):
        monkeypatch.setattr(torch.cuda, name, value)
    assert chosen_precision(asked, "cuda:0") == found
    assert [chosen_device(name) for name in (None, "auto", "cuda", "cuda:1", "cpu")] == [
        *["cuda:0"] * 3,
        "cuda:1",
        "cpu",
    ]
    with pytest.raises(UsageError, match="'cuda:2' is not there: this machine has cpu, cuda:0, c"):
        chosen_device("cuda:2")
    if capability < (8, 0):
        with pytest.raises(UsageError, match="cuda:0, a Tesla T4, does not compute in bf16"):
            chosen_precision("bf16", "cuda:0")


def test_what_is_asked_for_travels_and_is_settled_where_it_arrives(folder: str) -> None:
    sent = pickle.dumps(load_encoder(folder, 1, "auto", precision="auto"))
    assert b"auto" in sent and b"cpu" not in sent
    assert pickle.loads(sent).device in ("cpu", "cuda:0")


def test_what_cannot_be(folder: str) -> None:
    with pytest.raises(UsageError, match="precision 'int8': known are auto, fp32, bf16, fp16"):
        load_encoder(folder, precision="int8")  # type: ignore[arg-type]
    for options in ({"precision": "bf16"}, {"compile": True}):
        with pytest.raises(UsageError, match="starter runs on ONNX Runtime, in fp32 and as it was"):
            load_encoder(**options)
    assert load_encoder(precision="auto").precision == "fp32"


# --- torch.compile -------------------------------------------------------------------------------


def test_a_smaller_batch_is_not_compiled_anew(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torch._dynamo.testing import CompileCounter

    counter, real = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: real(module, backend=counter))
    torch._dynamo.reset()
    compiled, plain = load_encoder(folder, 1, "cpu", compile=True), load_encoder(folder, 1, "cpu")
    for count in (8, 8, 5, 1, 3, 2):
        batch = photos(plain.image_size, count)
        for mine, theirs in zip(
            compiled.encode_images(batch), plain.encode_images(batch), strict=True
        ):
            assert mine.ids.tolist() == theirs.ids.tolist()
            assert mine.weights == pytest.approx(theirs.weights, abs=1e-6)
    assert counter.frame_count == 1


# --- GPUs and ONNX Runtime -----------------------------------------------------------------------


def test_gpus_are_counted_by_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        fails = 0

        def cuInit(self, flags: int) -> int:  # noqa: N802 - CUDA's name
            return self.fails

        def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
            count._obj.value = 3
            return 0

    driver = Driver()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert gpus() == 3
    driver.fails = 100  # CUDA_ERROR_NO_DEVICE
    assert gpus() == 0
    monkeypatch.setattr(ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError()))
    assert gpus() == 0


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_a_session_that_fell_back_to_the_cpu_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A build without CUDA, told that it has it: as with one whose CUDA or cuDNN does not load."""
    import onnxruntime

    from stair_search.encoders import session

    there = [session.CUDA, session.CPU]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(session, "gpus", lambda: 1)
    pixels = photos(260, 1)
    encoder = load_encoder("starter", 1, "cuda")
    with pytest.raises(UsageError, match=r"device cuda:0: ONNX Runtime .* cannot use it"):
        encoder.encode_images(pixels)
    auto = load_encoder("starter", 1, "auto")
    assert auto.encode_images(pixels) == load_encoder("starter", 1, "cpu").encode_images(pixels)
    assert auto.device == "cpu"
    with pytest.raises(UsageError, match=r"'cuda:1' is not there: this machine has cpu, cuda:0$"):
        load_encoder("starter", 1, "cuda:1")
    assert not capsys.readouterr().out


def test_what_runtimes_say_when_memory_ends() -> None:
    import torch

    for error in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't al"
            "locate memory: you tried to allocate 137438953472 bytes."
        ),
        RuntimeError(
            "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bfc_arena.cc:376 void* onnxrun"
            "time::BFCArena::AllocateRawInternal: Failed to allocate memory for requeste"
            "d buffer of size 1073741824"
        ),
        MemoryError(),
    ):
        assert is_out_of_memory(error), error
    with pytest.raises(RuntimeError) as found:  # torch's own words, of this version
        torch.empty(2**50)
    assert is_out_of_memory(found.value)
    assert not is_out_of_memory(ValueError("the model's weights are no numbers"))
    assert device.PRECISIONS[0] == "auto"

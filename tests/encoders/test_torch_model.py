"""Folders of torch: tokens as the model itself gives them, on the device that was asked for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stair_search.encoders import DenseEncoder, load_any_encoder, load_encoder
from stair_search.errors import ModelError, UsageError
from tests.house.light import without_the_heavy

pytestmark = pytest.mark.train

TEXTS = ["a dog on the beach", "§", "red cars", "", "sand " * 40]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from stair_search.models import save_pretrained
    from tests.models.tiny import model

    place = tmp_path_factory.mktemp("models")
    made = {
        "stair": model(outputs=[19, 11, 12, 13, 15, 14, 18, 16, 17, 21], top_k=4),
        "clip": model("clip"),
        "stair-image": model("stair-image"),
    }
    for name, one in made.items():
        save_pretrained(one, place / name)
    return {name: str(place / name) for name in made}


def photos(size: int, count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def weights(model: Any, batch: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        states = model.image_states(model.normalise(torch.tensor(batch)))
        found: np.ndarray = model.encode_image(states).double().numpy()
    return found


def text_weights(model: Any, text: str) -> np.ndarray:
    import torch

    with torch.inference_mode():
        ids, mask = model.tokenise([text])
        states = model.text_states(ids, mask)
        found: np.ndarray = model.encode_text(states, ids, mask)[0].double().numpy()
    return found


def test_tokens_are_the_models_own(
    folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stair_search.encoders import torch_model
    from stair_search.models import from_pretrained

    monkeypatch.setattr(torch_model, "BATCH", 2)
    encoder = load_encoder(folders["stair"], threads=1, device="cpu")
    model = from_pretrained(folders["stair"])
    batch = photos(encoder.image_size, 5)
    ids = model.outputs.numpy()
    for row, tokens in zip(weights(model, batch), encoder.encode_images(batch), strict=True):
        active = np.flatnonzero(row)
        assert 0 < len(active) <= 4
        assert tokens.ids.tolist() == sorted(ids[active])
        wanted = dict(zip(ids[active], row[active] / np.linalg.norm(row), strict=True))
        assert tokens.weights == pytest.approx([wanted[i] for i in tokens.ids], abs=1e-6)
    for text, tokens in zip(TEXTS, encoder.encode_texts(TEXTS), strict=True):
        if text in ("§", ""):
            assert not len(tokens)
            continue
        row = text_weights(model, text)
        wanted = {i: w for i, w in zip(ids, row / np.linalg.norm(row), strict=True) if w}
        assert tokens.ids.tolist() == sorted(wanted)
        assert tokens.weights == pytest.approx([wanted[i] for i in tokens.ids], abs=1e-6)
    assert encoder.encode_images(batch[:0]) == [] and encoder.encode_texts([]) == []


def test_it_is_an_encoder_like_any_other(folders: dict[str, str]) -> None:
    from stair_search.models import fingerprint
    from tests.models.tiny import TOKENS

    encoder = load_encoder(folders["stair"], threads=1, device="cpu")
    assert encoder.name == "tiny" and encoder.fingerprint == fingerprint(folders["stair"])
    assert encoder.vocabulary.tokens == TOKENS
    assert encoder.text_encoder == "neural"
    sent = pickle.dumps(encoder)
    assert len(sent) < 1000
    copy = pickle.loads(sent)
    assert copy.fingerprint == encoder.fingerprint
    assert copy.encode_texts(TEXTS) == encoder.encode_texts(TEXTS)
    with pytest.raises(ValueError, match=r"expected uint8 \[n, 32, 32, 3\]"):
        encoder.encode_images(photos(8, 1))
    table = load_encoder(folders["stair-image"], device="cpu")
    assert table.text_encoder == "static"
    assert [len(tokens) > 0 for tokens in table.encode_texts(TEXTS)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    with pytest.raises(ModelError, match="tiny has no static text encoder: it has neural"):
        load_encoder(folders["stair"], text="static")
    with pytest.raises(ModelError, match="tiny has no neural text encoder: it has static"):
        load_encoder(folders["stair-image"], text="neural")


def test_a_dense_model_gives_vectors_and_is_refused_where_tokens_are_needed(
    folders: dict[str, str],
) -> None:
    from stair_search.models import from_pretrained

    encoder = load_any_encoder(folders["clip"], threads=1, device="cpu")
    assert isinstance(encoder, DenseEncoder)
    model = from_pretrained(folders["clip"])
    batch = photos(encoder.image_size, 3)
    found, wanted = encoder.encode_images(batch), weights(model, batch)
    assert found.shape == (3, encoder.dimensions) and found.dtype == np.float32
    assert found == pytest.approx(wanted / np.linalg.norm(wanted, axis=1, keepdims=True), abs=1e-6)
    texts = encoder.encode_texts(TEXTS)
    assert texts.shape == (len(TEXTS), encoder.dimensions) and texts.dtype == np.float32
    for text, row in zip(TEXTS, texts, strict=True):
        one = text_weights(model, text)
        assert row == pytest.approx(one / np.linalg.norm(one), abs=1e-6)
    assert encoder.encode_images(batch[:0]).shape == (0, encoder.dimensions)
    assert (pickle.loads(pickle.dumps(encoder)).encode_texts(TEXTS) == texts).all()
    with pytest.raises(ModelError, match="tiny gives dense vectors of 12 numbers, no tokens"):
        load_encoder(folders["clip"])


@pytest.mark.parametrize("resize", ["squash", "crop"])
def test_photos_are_prepared_as_in_training(resize: str) -> None:
    from dataclasses import replace

    from stair_search.models import build
    from stair_search.pixels import prepare_image
    from tests.models.tiny import TOKENS, config, image_config

    noise = np.random.default_rng(2).integers(0, 256, (70, 150, 3), dtype=np.uint8)
    for resample in ("bilinear", "bicubic", "lanczos"):
        image = image_config(resize=resize, crop=0.8, resample=resample)
        model = build(config(image=image), TOKENS)
        for photo in (Image.fromarray(noise), Image.fromarray(noise.swapaxes(0, 1))):
            mine = prepare_image(photo, image.view)
            assert (mine == model.prepare_image(photo)).all()
            whole = prepare_image(photo, replace(image, resize="squash").view)
            assert (mine == whole).all() == (resize == "squash")


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cuda:x", "", "cpu:1"])
def test_a_device_that_is_not_there(device: str, folders: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"device '{device}' is not there: this machine has cpu"):
        load_encoder(folders["stair"], device=device)


def test_the_best_device_that_is_there(folders: dict[str, str]) -> None:
    import torch

    best = "cuda" if torch.cuda.is_available() else "cpu"
    for device in (None, "auto"):
        encoder: Any = load_encoder(folders["stair"], device=device)
        assert encoder._model.model.outputs.device.type == best


def test_devices_of_a_light_folder() -> None:
    import onnxruntime

    light: Any = load_encoder(device="cpu", threads=1)
    pixels = photos(260, 1)
    auto = load_encoder(device="auto", threads=1)
    assert auto.encode_images(pixels) == light.encode_images(pixels)
    for device in ("tpu", "cuda:x", ""):
        with pytest.raises(UsageError, match=f"device '{device}': known are auto, cpu, cuda"):
            load_encoder(device=device)
    assert (light.device, light.precision, auto.device) == ("cpu", "fp32", "cpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(
            UsageError, match=r"has cpu \(this ONNX Runtime has no CUDA; pip install"
        ):
            load_encoder(device="cuda")


def test_folders_that_are_refused(folders: dict[str, str], tmp_path: Path) -> None:
    import shutil

    def copy(name: str) -> Path:
        return shutil.copytree(folders["stair"], tmp_path / name)

    pickled = copy("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickles can run code"):
        load_encoder(str(pickled))
    coded = copy("coded")
    (coded / "modeling.py").write_text("raise RuntimeError('it was run')")
    with pytest.raises(ModelError, match=r"modeling\.py"):
        load_encoder(str(coded))
    cut = copy("cut")
    raw = (cut / "model.safetensors").read_bytes()
    for length in (0, 5, 200, len(raw) - 9):
        (cut / "model.safetensors").write_bytes(raw[:length])
        with pytest.raises(ModelError, match=r"model\.safetensors"):
            load_encoder(str(cut))
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ModelError, match="hub"):
        load_encoder(str(tmp_path / "hub"))


def test_without_torch_the_remedy_is_named(folders: dict[str, str]) -> None:
    then = f"""
from stair_search import load_encoder
from stair_search.errors import ModelError, UsageError
try:
    load_encoder({folders["stair"]!r})
except ModelError as error:
    print(error)
"""
    assert "pip install 'stair-search[models]'" in without_the_heavy([], then)

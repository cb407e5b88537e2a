"""The shipped model: what a caller may rely on."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stair_search.encoders
from stair_search.encoders import Encoder, load_encoder
from stair_search.encoders.light import LightEncoder
from stair_search.encoders.onnx_image import OnnxImages
from stair_search.errors import ModelError
from stair_search.tokens import TokenWeights
from tests.house.light import without_the_heavy

FOLDER = Path(stair_search.encoders.__file__).parent / "starter"


@pytest.fixture(scope="module")
def encoder() -> LightEncoder:
    made = load_encoder(threads=1)
    assert isinstance(made, LightEncoder)
    return made


@pytest.fixture(scope="module")
def pixels(encoder: Encoder, package_photos: list[Path]) -> np.ndarray:
    chosen = [
        p for p in package_photos if p.stem.endswith(("chelsea", "coffee", "rocket", "china"))
    ]
    return np.stack([encoder.prepare_image(Image.open(p).convert("RGB")) for p in sorted(chosen)])


def strongest(encoder: Encoder, tokens: TokenWeights, count: int) -> list[str]:
    return list(encoder.vocabulary.to_dict(tokens))[:count]


def test_every_file_is_the_one_that_model_json_names() -> None:
    files = json.loads((FOLDER / "model.json").read_text())["files"]
    assert files.keys() == {"image.onnx", "text.npz", "text.onnx", "vocab.txt"}
    for name, digest in files.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 40e6


def test_the_fingerprint_follows_from_model_json(encoder: Encoder) -> None:
    digest = hashlib.sha256((FOLDER / "model.json").read_bytes()).hexdigest()
    assert encoder.fingerprint == f"starter-v1-{digest[:12]}"
    assert encoder.name == "starter"
    assert len(encoder.vocabulary) == 30_522


def test_a_question_keeps_its_words(encoder: Encoder) -> None:
    assert set(strongest(encoder, encoder.encode_text("A dog on the beach"), 2)) == {"dog", "beach"}
    assert "zebra" in strongest(encoder, encoder.encode_text("zebra"), 1)
    puppy = strongest(encoder, encoder.encode_text("puppy"), 10)
    assert {"puppy", "dog"} <= set(puppy)


def test_a_word_that_no_photo_carries_is_still_named(encoder: Encoder) -> None:
    assert "democracy" in encoder.vocabulary.to_dict(encoder.encode_text("democracy"))


@pytest.mark.parametrize("text", ["", "  ", "the of and", "?!…", "\0", "\ud800", "[CLS] [PAD]"])
def test_a_text_that_says_nothing_has_no_tokens(encoder: Encoder, text: str) -> None:
    assert len(encoder.encode_text(text)) <= (0 if "[" not in text else 32)


def test_order_case_and_repetition_are_not_seen(encoder: Encoder) -> None:
    once = encoder.encode_text("red car, old house")
    assert encoder.encode_text("OLD old house house RED car") == once
    assert encoder.encode_texts(["red car, old house"]) == [once]


def test_a_prompt_is_before_captions_alone(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "prompted")
    about = json.loads((folder / "model.json").read_text())
    about["text"]["prompt"] = "a photo of "
    (folder / "model.json").write_text(json.dumps(about))
    plain = load_encoder(threads=1, text="neural")
    prompted = load_encoder(str(folder), threads=1, text="neural")
    assert prompted.encode_texts(["a dog"]) == plain.encode_texts(["a photo of a dog"])
    assert prompted.encode_texts(["a dog"], prompted=False) == plain.encode_texts(["a dog"])
    static = load_encoder(str(folder), threads=1, text="static")
    assert static.encode_texts(["a dog"], prompted=False) == static.encode_texts(["a dog"])


def test_ten_thousand_words(encoder: Encoder) -> None:
    words = [t for t in encoder.vocabulary.tokens if t.isalpha()][-10_000:]
    started = time.perf_counter()
    tokens = encoder.encode_text(" ".join(words))
    assert time.perf_counter() - started < 2
    assert 0 < len(tokens) <= 64


def test_texts_and_photos_are_of_length_one_and_hold_words_only(
    encoder: Encoder, pixels: np.ndarray
) -> None:
    texts = encoder.encode_texts(["two children play football", "sunset over the sea", "laptop"])
    for tokens in [*texts, *encoder.encode_images(pixels)]:
        assert np.linalg.norm(tokens.weights) == pytest.approx(1, abs=1e-5)
        for token in encoder.vocabulary.to_dict(tokens):
            letters = token.removeprefix("##")
            assert letters.isascii() and letters.isalpha() and len(letters) > 1
            assert token not in {"the", "of", "on", "and", "is", "with"}


def test_photos_show_what_is_in_them(encoder: Encoder, pixels: np.ndarray) -> None:
    cat, coffee, rocket, china = encoder.encode_images(pixels)
    assert "cat" in strongest(encoder, cat, 3)
    assert {"cup", "coffee", "table", "drink"} & set(strongest(encoder, coffee, 10))
    assert all(0 < len(tokens) <= 96 for tokens in (cat, coffee, rocket, china))
    asked = encoder.encode_text("a cat looks into the camera")
    scores = [asked.dot(tokens) for tokens in (cat, coffee, rocket, china)]
    assert int(np.argmax(scores)) == 0


def test_a_photo_has_the_same_tokens_alone_and_in_a_batch(
    encoder: Encoder, pixels: np.ndarray
) -> None:
    together = encoder.encode_images(pixels)
    assert encoder.encode_images(pixels) == together
    for one, tokens in zip(pixels, together, strict=True):
        (alone,) = encoder.encode_images(one[None])
        assert alone.dot(tokens) == pytest.approx(1, abs=1e-4)


def test_wrong_pixels_are_refused(encoder: Encoder) -> None:
    assert encoder.encode_images(np.zeros((0, 260, 260, 3), np.uint8)) == []
    for wrong in (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 260, 260, 3), np.float32)):
        with pytest.raises(ValueError, match=r"expected uint8 \[n, 260, 260, 3\]"):
            encoder.encode_images(wrong)  # type: ignore[arg-type]


def test_a_photo_of_any_shape_is_prepared(encoder: Encoder) -> None:
    for size in ((1, 1), (4000, 30), (260, 260)):
        seen = encoder.prepare_image(Image.new("RGB", size, "red"))
        assert seen.shape == (260, 260, 3) and seen.dtype == np.uint8
        assert (seen == (255, 0, 0)).all()


def test_it_travels_by_pickle(encoder: Encoder, pixels: np.ndarray) -> None:
    encoder.encode_images(pixels[:1])
    sent = pickle.dumps(encoder)
    assert len(sent) < 1000
    copy = pickle.loads(sent)
    assert copy.fingerprint == encoder.fingerprint
    assert copy.encode_text("dog") == encoder.encode_text("dog")
    assert copy.encode_images(pixels[:1]) == encoder.encode_images(pixels[:1])


def test_threads_share_one_session(
    encoder: LightEncoder, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, loaded = encoder._images, []

    class Unlocked:
        """As `cached_property` is from Python 3.12 on."""

        def __get__(self, one: LightEncoder, owner: type[LightEncoder]) -> OnnxImages:
            if "own" not in one.__dict__:
                time.sleep(0.05)
                loaded.append(one)
                one.__dict__["own"] = shared
            return shared

    monkeypatch.setattr(LightEncoder, "_images", Unlocked())
    fresh = load_encoder(threads=1)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fresh.encode_images, [pixels[:1]] * 4))
    assert loaded == [fresh]


def test_a_session_does_not_spin(encoder: LightEncoder) -> None:
    options = encoder._images._session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="no model 'clip': known are starter"):
        load_encoder("clip")


def test_a_model_is_loaded_from_a_folder_and_a_changed_file_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "mine")
    assert load_encoder(str(folder)).encode_text("dog") == load_encoder().encode_text("dog")
    (folder / "text.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ModelError, match=r"text\.npz is not the file that model\.json names"):
        load_encoder(str(folder)).encode_text("dog")
    (folder / "text.npz").unlink()
    with pytest.raises(ModelError, match=r"text\.npz: No such file"):
        load_encoder(str(folder)).encode_text("dog")
    about = json.loads((folder / "model.json").read_text())
    about["files"] = {"vocab.txt": about["files"]["vocab.txt"], "image.onnx": 5}
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(
        ModelError, match=r"model\.json describes no model: .*no sha256 of text\.npz"
    ):
        load_encoder(str(folder)).encode_text("dog")
    about["files"]["text.npz"] = "5"
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match=r"image\.onnx is not the file that model\.json names"):
        load_encoder(str(folder)).encode_images(np.zeros((1, 260, 260, 3), np.uint8))
    (folder / "model.json").write_text('{"name": "mine"}')
    with pytest.raises(ModelError, match="describes no model"):
        load_encoder(str(folder))


def test_what_photos_need_is_named_where_it_is_missing() -> None:
    then = """
import numpy
from stair_search import load_encoder
from stair_search.errors import ModelError
encoder = load_encoder()
for call in (
    lambda: encoder.encode_images(numpy.zeros((1, 260, 260, 3), numpy.uint8)),
    lambda: encoder.prepare_image(None),
):
    try:
        call()
    except ModelError as error:
        assert "pip install 'stair-search[starter]'" in str(error), error
    else:
        raise AssertionError("nothing was missing")
print("named")
"""
    assert "named" in without_the_heavy([], then)

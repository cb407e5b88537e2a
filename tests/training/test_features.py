"""States of frozen towers: as the tower gives them, computed once, gone on with after a stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from stair_search.errors import TrainingError, UsageError

from .conftest import open_photo

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

from stair_search.models import build
from stair_search.training import features
from stair_search.training.samples import tokenised, words_of
from stair_search.training.views import check_view, look
from tests.models import tiny

pytestmark = pytest.mark.train


class Opened:
    """Opens photos and counts; stops at one of them."""

    def __init__(self, until: int | None = None) -> None:
        self.count, self.until = 0, until

    def __call__(self, path: Path) -> Any:
        if self.count == self.until:
            raise KeyboardInterrupt
        self.count += 1
        return open_photo(path)


def test_images_are_seen_once(package_photos: list[Path], tmp_path: Path) -> None:
    model, opened = tiny.model(), Opened()
    photos = package_photos[:5]
    kept = features.image_states(model, photos, "plain", tmp_path, opened)
    assert (kept.shape, str(kept.dtype), opened.count) == ((5, 17, 16), "float16", 5)
    pixels = np.stack([model.prepare_image(open_photo(photo)) for photo in photos])
    with torch.inference_mode():
        states = model.image_states(model.normalise(torch.from_numpy(pixels)))
    assert np.allclose(kept, states.hidden.numpy(), atol=2e-3, rtol=2e-3)
    again = features.image_states(model, photos, "plain", tmp_path, opened)
    assert opened.count == 5 and (again == kept).all()
    # another view, other photos, other weights: other states
    flipped = features.image_states(model, photos, "flip", tmp_path, opened)
    assert opened.count == 10 and not (flipped == kept).all()
    features.image_states(model, photos[:4], "plain", tmp_path, opened)
    assert opened.count == 14
    with torch.no_grad():
        next(model.image_tower.parameters()).add_(0.1)
    features.image_states(model, photos, "plain", tmp_path, opened)
    assert opened.count == 19


def test_what_was_stopped_goes_on(
    package_photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "BATCH", 2)
    monkeypatch.setattr(features, "SAVE_EVERY", 0.0)
    model, stopped, opened = tiny.model(), Opened(until=5), Opened()
    with pytest.raises(KeyboardInterrupt):
        features.image_states(model, package_photos[:8], "plain", tmp_path / "a", stopped)
    found = features.image_states(model, package_photos[:8], "plain", tmp_path / "a", opened)
    assert opened.count == 4
    whole = features.image_states(model, package_photos[:8], "plain", tmp_path / "b", opened)
    assert (found == whole).all()
    assert not list((tmp_path / "a").glob("*.part.npy"))


def test_all_broken_photos_are_named(package_photos: list[Path], tmp_path: Path) -> None:
    def only_some(path: Path) -> Any:
        if path in package_photos[1:3]:
            raise UsageError(f"{path.name}: not a photo")
        return open_photo(path)

    with pytest.raises(UsageError, match="2 photos cannot be read") as told:
        features.image_states(tiny.model(), package_photos[:4], "plain", tmp_path, only_some)
    assert all(photo.name in str(told.value) for photo in package_photos[1:3])


def test_a_full_disk_is_told_before_it_is_mapped(
    package_photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(TrainingError, match=r"no room for .* GiB.*--cache"):
        features.image_states(tiny.model(), package_photos[:4], "plain", tmp_path, open_photo)
    assert not list(tmp_path.glob("*.npy"))


def test_texts_of_any_length(tmp_path: Path) -> None:
    model = tiny.model()
    captions = ["a dog", "a red car on the beach", "the cat", "a house"]
    ids = tokenised(model, captions).ids
    kept = features.text_states(model, ids, tmp_path)
    for caption, start, end in zip(captions, kept.offsets, kept.offsets[1:], strict=False):
        states = model.text_states(*model.tokenise([caption], ""))
        assert states is not None
        expected = states.hidden[0].detach().numpy()
        assert np.allclose(kept.hidden[start:end], expected, atol=2e-3, rtol=2e-3)


def test_towers_of_other_settings_share_no_states(tmp_path: Path) -> None:
    """The same weights with another activation say something else."""
    model = tiny.model()
    ids = tokenised(model, ["a dog", "the cat"]).ids
    kept = features.text_states(model, ids, tmp_path)
    tower = model.config.text.tower
    assert tower is not None
    settings = {**tower.settings, "hidden_act": "relu"}
    text = replace(model.config.text, tower=replace(tower, settings=settings))
    other = build(replace(model.config, text=text), model.tokens).eval()
    other.load_state_dict(model.state_dict())
    assert not np.array_equal(features.text_states(other, ids, tmp_path).hidden, kept.hidden)


def test_captions_of_ten_thousand_tokens_are_cut_and_counted() -> None:
    model = tiny.model()
    length = model.config.text.length
    found = tokenised(model, ["a dog", "dog " * 10_000, "dog " * (length - 2)])
    assert [len(ids) for ids in found.ids] == [4, length, length]
    assert found.cut == 1


def test_words_are_the_share_of_captions_and_their_odds() -> None:
    from stair_search.evaluation.pairs import Pairs

    model = tiny.model()
    pairs = Pairs([Path("a"), Path("b")], ["a dog", "a dog dog", "a cat"], [0, 0, 1])
    words = words_of(model, pairs, tokenised(model, pairs.captions))
    found = words.of(np.array([1, 0]))
    place = {token: i for i, token in enumerate(model.tokens)}
    assert found[:, place["dog"]].tolist() == [0, 1]
    assert found[:, place["a"]].tolist() == [1, 1]
    assert found.sum().item() == 4
    assert words.prior[place["cat"]].item() == pytest.approx(0.0)
    assert words.prior[place["boat"]].item() == pytest.approx(np.log(1e-5), rel=1e-3)


def test_views(package_photos: list[Path]) -> None:
    photo = open_photo(package_photos[0])
    crop = look(photo, "crop", 5)
    assert crop.size[0] * crop.size[1] >= 0.49 * photo.size[0] * photo.size[1]
    assert np.array_equal(np.asarray(crop), np.asarray(look(photo, "crop2", 5)))
    assert look(photo, "crop", 6).size != crop.size
    mirrored = np.asarray(look(photo, "crop-flip", 5))
    assert np.array_equal(mirrored[:, ::-1], np.asarray(crop))
    with pytest.raises(UsageError, match="known are plain"):
        check_view("zoom")

from __future__ import annotations

import json
import resource
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from stair_search.errors import ModelError
from stair_search.models import DualEncoder, fingerprint, from_pretrained, save_pretrained

from .tiny import SIZE, TOKENS, model

pytestmark = pytest.mark.train


def answers(one: DualEncoder) -> list[torch.Tensor]:
    pixels = torch.randint(
        0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    ids, mask = one.tokenise(["a dog on the beach", "red car"])
    with torch.no_grad():
        return [
            one.encode_image(one.image_states(one.normalise(pixels))),
            one.encode_text(one.text_states(ids, mask), ids, mask),
            one.temperature,
        ]


@pytest.mark.parametrize("kind", ["stair", "clip", "stair-image"])
def test_what_is_read_answers_as_what_was_saved(kind: str, tmp_path: Path) -> None:
    one = model(kind, outputs=None if kind == "clip" else [13, 11, 12])
    save_pretrained(one, tmp_path / "m")
    again = from_pretrained(tmp_path / "m")
    assert again.config == one.config and again.tokens == one.tokens and not again.training
    for found, wanted in zip(answers(again), answers(one), strict=True):
        assert torch.equal(found, wanted)
    names = {path.name for path in (tmp_path / "m").iterdir()}
    assert names == {"config.json", "model.safetensors", "vocab.txt", "README.md"}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]  # nothing left beside it
    card = (tmp_path / "m" / "README.md").read_text()
    assert f"| kind | {kind} |" in card and "| image tower | vit, 32 pixels |" in card


def test_the_tied_table_is_stored_once(tmp_path: Path) -> None:
    save_pretrained(model(), tmp_path / "m", card="# Mine\n")
    state = load_file(tmp_path / "m" / "model.safetensors")
    assert sum(value.shape == (len(TOKENS), 12) for value in state.values()) == 1
    assert (tmp_path / "m" / "README.md").read_text() == "# Mine\n"


def test_the_fingerprint_follows_weights_configuration_and_tokens_alone(tmp_path: Path) -> None:
    one = model()
    save_pretrained(one, tmp_path / "m")
    first = fingerprint(tmp_path / "m")
    assert first.startswith("tiny-") and len(first) == len("tiny-") + 12
    save_pretrained(one, tmp_path / "m", card="another card")
    assert fingerprint(tmp_path / "m") == first
    with torch.no_grad():
        next(one.parameters()).add_(1e-3)
    save_pretrained(one, tmp_path / "m")
    assert fingerprint(tmp_path / "m") != first
    save_pretrained(model(top_k=3), tmp_path / "k")
    assert fingerprint(tmp_path / "k") != first


@pytest.mark.parametrize("bytes_left", [10_000, 100])
def test_a_full_disk_leaves_the_last_model(bytes_left: int, tmp_path: Path) -> None:
    """The kernel refuses what is beyond the limit, as it does on a full disk."""
    folder = tmp_path / "m"
    save_pretrained(model("clip"), folder)
    before, other = fingerprint(folder), model()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        with pytest.raises(ModelError, match=r"could not be saved: .* the last one that was saved"):
            save_pretrained(other, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fingerprint(folder) == before
    assert from_pretrained(folder).config.kind == "clip"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    save_pretrained(other, folder)
    assert from_pretrained(folder).config.kind == "stair"


def test_a_death_between_the_two_renames_is_told_with_its_remedy(tmp_path: Path) -> None:
    save_pretrained(model(), tmp_path / "m")
    (tmp_path / "m").rename(tmp_path / ".m.last")
    with pytest.raises(ModelError, match=r"is whole in .*\.m\.last: rename it to"):
        from_pretrained(tmp_path / "m")
    save_pretrained(model(), tmp_path / "m")
    assert from_pretrained(tmp_path / "m").config.kind == "stair"


def test_a_folder_of_other_things_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"photo")
    with pytest.raises(ModelError, match=r"holds holiday\.jpg and is no model's folder"):
        save_pretrained(model(), tmp_path)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"photo"
    with pytest.raises(ModelError, match="is a file"):
        save_pretrained(model(), tmp_path / "holiday.jpg")


def test_what_a_killed_save_left_is_swept_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".m.part").mkdir()
    (tmp_path / ".m.part" / "model.safetensors").write_bytes(b"half")
    save_pretrained(model(), tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert from_pretrained(tmp_path / "m").config.kind == "stair"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    save_pretrained(model(), tmp_path)
    assert from_pretrained(tmp_path).config.kind == "stair"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_pretrained(model(), tmp_path / "m")
    return tmp_path / "m"


def test_no_such_folder() -> None:
    with pytest.raises(ModelError, match=r"there is no folder \./nowhere"):
        from_pretrained("./nowhere")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "last.ckpt"])
def test_a_pickle_is_never_opened(name: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    marker = folder.parent / "ran"
    (folder / name).write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(marker).encode())
    with pytest.raises(ModelError, match=f"holds {name} and no model.safetensors: pickles"):
        from_pretrained(folder)
    assert not marker.exists()


def test_a_pickle_named_as_safetensors_is_no_safetensors(folder: Path) -> None:
    marker = folder.parent / "ran"
    (folder / "model.safetensors").write_bytes(
        b"cos\nsystem\n(S'touch %s'\ntR." % str(marker).encode()
    )
    with pytest.raises(ModelError, match="weights, cannot be read"):
        from_pretrained(folder)
    assert not marker.exists()


def test_code_in_the_folder_is_refused(folder: Path) -> None:
    (folder / "modeling.py").write_text("raise SystemExit\n")
    with pytest.raises(ModelError, match=r"holds code \(modeling\.py\)"):
        from_pretrained(folder)


def test_code_asked_for_in_the_configuration_is_refused(folder: Path) -> None:
    change(folder, lambda about: about.update(auto_map={"AutoModel": "m.M"}))
    with pytest.raises(ModelError, match="auto_map"):
        from_pretrained(folder)


def change(folder: Path, by: object) -> None:
    path = folder / "config.json"
    about = json.loads(path.read_text())
    by(about)  # type: ignore[operator]
    path.write_text(json.dumps(about))


def test_wrong_shapes_are_told(folder: Path) -> None:
    change(folder, lambda about: about["model"]["image"]["tower"]["settings"].update(hidden_size=8))
    with pytest.raises(ModelError, match=r"is \[.*16.*\], the configuration asks for \[.*8.*\]"):
        from_pretrained(folder)


@pytest.mark.parametrize(
    ("kind", "place", "key"),
    [
        ("stair", "image.tower.settings", "intermediate_size"),
        ("stair", "text.tower.settings", "intermediate_size"),
        ("clip", "image.head,text.head", "dimensions"),
        ("stair-image", "text.table", "rank"),
    ],
)
@pytest.mark.parametrize("size", [10**11, 10**25])
def test_sizes_that_no_machine_has_are_refused_before_they_take_memory(
    kind: str, place: str, key: str, size: int, tmp_path: Path
) -> None:
    save_pretrained(model(kind), tmp_path / "m")

    def grow(about: dict[str, Any]) -> None:
        for path in place.split(","):
            reduce(getitem, path.split("."), about["model"])[key] = size

    change(tmp_path / "m", grow)
    asks = "the configuration asks for" if size < 2**63 else "these s"
    with pytest.raises(ModelError, match=asks):
        from_pretrained(tmp_path / "m")


def test_missing_and_foreign_weights_are_told_with_the_versions(folder: Path) -> None:
    path = folder / "model.safetensors"
    state = load_file(path)
    state["other"] = state.pop("image_head.bias")
    save_file(state, path)
    change(folder, lambda about: about["libraries"].update(transformers="5.0.0"))
    with pytest.raises(ModelError) as told:
        from_pretrained(folder)
    assert "lacks image_head.bias" in str(told.value) and "has other" in str(told.value)
    assert "transformers 5.0.0 (here" in str(told.value)


def test_a_vocabulary_of_another_size_is_told_with_both(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(TOKENS[:-1]) + "\n")
    with pytest.raises(ModelError, match=f"{len(TOKENS) - 1} tokens .* {len(TOKENS)} rows"):
        from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_missing_or_broken_file_is_named(name: str, folder: Path) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(b"\xff\xfe" + whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=name):
        from_pretrained(folder)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"holds no {name}"):
        from_pretrained(folder)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"model_type": "vit"}, "does not describe a model of stair-search"),
        ({"format": "stair-search model", "version": 9}, "has version 9"),
        ({"format": "stair-search model", "version": 1}, "expected settings by name, not None"),
    ],
)
def test_configurations_of_others(about: dict[str, object], message: str, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match=message):
        from_pretrained(folder)

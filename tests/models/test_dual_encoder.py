from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity

from stair_search.errors import ModelError
from stair_search.models import DualEncoder, build
from stair_search.models.towers import ImageTower

from .tiny import BERT, SIZE, TOKENS, config, image_config, model

pytestmark = pytest.mark.train
TEXTS = ["a dog on the beach", "Red cars, red car. of the"]


def pixels(n: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("kind", ["stair", "clip", "stair-image"])
def test_photos_and_texts_land_in_one_space(kind: str) -> None:
    one = model(kind)
    images = one.encode_image(one.image_states(one.normalise(pixels())))
    ids, mask = one.tokenise(TEXTS)
    texts = one.encode_text(one.text_states(ids, mask), ids, mask)
    assert images.shape == texts.shape == (2, 12 if kind == "clip" else len(TOKENS))
    cosine = cosine_similarity(images[:, None], texts[None], dim=2)
    assert cosine.shape == (2, 2) and bool((cosine.abs() <= 1 + 1e-6).all())
    assert kind == "clip" or bool((images >= 0).all() and (texts >= 0).all())
    assert bool((texts > 0).any()) or kind == "clip"


def test_own_only_is_the_whole_text_times_the_mask_of_its_tokens() -> None:
    one = model()
    ids, mask = one.tokenise(TEXTS)
    states = one.text_states(ids, mask)
    own = one.encode_text(states, ids, mask, own_only=True)
    said = [{TOKENS[i] for i in row.nonzero()[:, 0]} for row in one.own_mask(ids, mask)]
    assert said[0] == {"a", "dog", "on", "the", "beach"}
    assert said[1] == {"red", "car", "##s", ".", "of", "the"}  # "," is unknown: [UNK] is no token
    torch.testing.assert_close(own, one.encode_text(states, ids, mask) * one.own_mask(ids, mask))
    assert bool((own > 0).any())


def test_outputs_restrict_what_comes_out_and_keep_their_order() -> None:
    chosen = [13, 11, 12]
    whole, part = model(), model(outputs=chosen)
    states = whole.image_states(whole.normalise(pixels()))
    torch.testing.assert_close(part.encode_image(states), whole.encode_image(states)[:, chosen])
    ids, mask = part.tokenise(TEXTS)
    assert part.own_mask(ids, mask).tolist() == [[True, True, False], [False] * 3]


@pytest.mark.parametrize("length", [0, 10_000])
def test_texts_of_any_length(length: int) -> None:
    one = model()
    ids, mask = one.tokenise(["dog " * length, "cat"])
    assert ids.shape == mask.shape == (2, 20 if length else 3)
    weights = one.encode_text(one.text_states(ids, mask), ids, mask, own_only=True)
    assert bool(weights.isfinite().all())
    assert length or not bool(weights[0].any())


def test_a_prompt_is_put_before_and_can_be_left_out() -> None:
    one = model()
    plain, _ = one.tokenise(["a photo of dog"])
    prompted, _ = one.tokenise(["dog"], prompt="a photo of ")
    assert plain.tolist() == prompted.tolist()


def test_the_models_own_prompt_is_for_a_network_not_for_a_table() -> None:
    for kind, asked in (("stair", "a photo of dog"), ("stair-image", "dog")):
        one = model(kind)
        one.config = replace(one.config, text=replace(one.config.text, prompt="a photo of "))
        assert one.tokenise(["dog"])[0].tolist() == one.tokenise([asked], "")[0].tolist()


def test_the_embedding_is_one_table_for_both_heads() -> None:
    one = model()
    assert one.text_tower is not None
    (table,) = one.parts()["embeddings"]
    assert table is one.text_tower.embeddings.weight
    assert sum(p.shape == table.shape for p in one.parameters()) == 1
    one.encode_image(one.image_states(one.normalise(pixels()))).sum().backward()
    assert table.grad is not None and bool(table.grad.any())


@pytest.mark.parametrize("kind", ["stair", "clip", "stair-image", "own"])
def test_parts_are_all_parameters_each_on_one_side(kind: str) -> None:
    one = own_table() if kind == "own" else model(kind)
    parts = one.parts()
    names = ["image", "text", "temperature"]
    if kind == "stair-image":
        names.append("embeddings")  # on neither side
    sides = [id(p) for name in names for p in parts[name]]
    assert sorted(sides) == sorted(id(p) for p in one.parameters())


def test_the_last_blocks_are_a_part_of_each_tower() -> None:
    for kind, texts in (("stair", 16), ("stair-image", 0)):
        parts = model(kind).parts()
        for side, count in (("image", 18), ("text", texts)):
            last = {id(p) for p in parts[f"{side}_tower_last"]}
            assert len(last) == count and last <= {id(p) for p in parts[f"{side}_tower"]}


def own_table(outputs: list[int] | None = None) -> DualEncoder:
    return build(replace(config(), own_embeddings=True), TOKENS, outputs)


def test_a_table_of_its_own_starts_as_the_towers_and_parts_from_it() -> None:
    one, tied = own_table(), build(config(), TOKENS)
    ids, mask = one.tokenise(TEXTS)
    for half in (one, tied):
        half.eval()
        states = half.text_states(ids, mask)
        half.encode_text(states, ids, mask).sum().backward()
    assert one.text_tower is not None
    (table,) = one.parts()["embeddings"]
    assert table is not one.text_tower.embeddings.weight
    assert torch.equal(table, one.text_tower.embeddings.weight)
    assert table.grad is not None and bool(table.grad.any())
    assert "embeddings.weight" in one.state_dict()


def test_a_table_of_its_own_has_the_rows_of_the_outputs() -> None:
    outputs = [7, 5, 9]
    one, tied = own_table(outputs).eval(), build(config(), TOKENS, outputs).eval()
    assert one.text_tower is not None
    (table,) = one.parts()["embeddings"]
    assert torch.equal(table, one.text_tower.embeddings.weight[outputs])
    ids, mask = one.tokenise(TEXTS)
    found, expected = (m.encode_text(m.text_states(ids, mask), ids, mask) for m in (one, tied))
    assert torch.equal(found, expected) and bool(found.any())


def test_temperature_stays_at_a_hundredth_and_can_come_back() -> None:
    one = model()
    assert float(one.temperature.detach()) == pytest.approx(0.07)
    with torch.no_grad():
        one.log_temperature.fill_(math.log(1e-5))
    one.temperature.backward()
    assert float(one.temperature.detach()) == pytest.approx(0.01)
    assert one.log_temperature.grad is not None and float(one.log_temperature.grad) > 0


def test_the_same_seed_gives_the_same_model() -> None:
    first, again, other = (build(config(), TOKENS, seed=seed) for seed in (1, 1, 2))
    states = [m.image_head.dense.weight for m in (first, again, other)]
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_building_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    build(config(), TOKENS, seed=1)
    assert torch.equal(torch.rand(3), wanted)


def test_a_tower_of_another_grid_is_refused() -> None:
    tower = ImageTower(image_config(grid=2))
    with pytest.raises(ModelError, match=r"image\.grid is None, the tower given was made for 2"):
        build(config(), TOKENS, image_tower=tower)


def test_a_vocabulary_that_does_not_fit_the_tower_is_refused_with_both_sizes() -> None:
    with pytest.raises(ModelError, match=f"{len(TOKENS) + 1} tokens .* {len(TOKENS)} rows"):
        build(config(), [*TOKENS, "extra"])
    assert BERT.settings["vocab_size"] == len(TOKENS)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["<s>", "</s>", "Ġdog"], r"3 tokens has no \[PAD\]"),
        ([*TOKENS, "Dog"], "'Dog' .* not lower-case"),
        ([*TOKENS, "dog"], "'dog' stands twice"),
    ],
)
def test_no_vocabulary_of_wordpiece(tokens: list[str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(config(), tokens)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [([], "no id"), ([1, 1], "twice"), ([5, 99], "id 99 is none of .* 23 tokens")],
)
def test_outputs_that_cannot_be(outputs: list[int], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(config(), TOKENS, outputs)

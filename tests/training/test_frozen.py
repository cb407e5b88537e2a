"""Heads on frozen towers: kept states, a start at the ridge, own embeddings, dense teachers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stair_search.errors import UsageError

if TYPE_CHECKING:
    import torch

    from stair_search.training.data import Data
    from stair_search.training.recipe import Recipe
    from stair_search.training.run import Result
else:
    torch = pytest.importorskip("torch")

from stair_search.training.optimiser import optimiser
from stair_search.training.recipe import from_table
from stair_search.training.ridge import start_at_ridge
from stair_search.training.start import start
from stair_search.training.step import chosen, is_frozen

pytestmark = pytest.mark.train

HEADS = 'stages.*.trains=["image_head", "text_head", "embeddings", "temperature"]'
DENSE = ("model.image.head.kind=dense", "model.text.head.kind=dense")


def never(path: Path) -> Any:
    raise AssertionError(f"{path} was opened again")


def lines(result: Result, stage: str) -> list[dict[str, Any]]:
    text = (result.run / "stages" / stage / "log.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_frozen_towers_are_asked_once_and_teach(
    tiny: Callable[..., Recipe], go: Callable[..., Result], tmp_path: Path
) -> None:
    from stair_search.models.files import from_pretrained

    plain = ("every_stage.losses={}", "stages.*.own_only=false", "stages.*.freezes=[]")
    heads = 'stages.*.trains=["image_head", "text_head", "temperature"]'
    clip = tiny("model.kind=clip", *DENSE, *plain, heads, "stages.*.steps=2")
    dense = go(clip, tmp_path / "clip")
    assert {"contrastive"} == set(lines(dense, "1-masked")[0]["terms"])
    assert "active_tokens" not in lines(dense, "1-masked")[0]

    settings = ["model.own_embeddings=true", "model.ridge=true", "model.least=2", HEADS]
    taught = ["stages.*.losses.taught=0.9", f'teachers=["{dense.model}"]']
    told: list[str] = []
    sparse = go(tiny(*settings, *taught), tmp_path / "stair", open_photo=never, tell=told.append)
    assert any("ridge" in line for line in told)
    assert {"taught", "contrastive"} <= set(lines(sparse, "3-joint")[0]["terms"])
    before = start(tiny(*settings), ["a red chair", "a red chair"])
    after = from_pretrained(sparse.model)
    for tower in ("image_tower", "text_tower"):
        old, new = (getattr(model, tower).state_dict() for model in (before, after))
        assert all(torch.equal(value, new[name]) for name, value in old.items())
    assert before.embeddings is not None and after.embeddings is not None
    assert not torch.equal(before.embeddings.weight, after.embeddings.weight)
    assert after.outputs is not None and len(after.outputs) < 20

    # another seed, another random tower: what is kept of the one means nothing to the other
    with pytest.raises(UsageError, match=r"teacher .*: another image tower than that of recipe"):
        go(tiny(*settings, *taught, "seed=3"), tmp_path / "other")


def test_a_tower_is_frozen_where_no_stage_trains_it(tiny: Callable[..., Recipe]) -> None:
    recipe = tiny()
    model = start(recipe, [])
    assert not is_frozen(model, "image_tower", recipe.stages)
    assert is_frozen(model, "image_tower", recipe.stages[1:2])
    last = tiny('stages.*.trains=["image_head", "image_tower_last"]')
    assert not is_frozen(model, "image_tower", last.stages)
    heads = tiny(HEADS)
    assert is_frozen(model, "image_tower", heads.stages)
    # the tower reads the very table that the heads train
    assert not is_frozen(model, "text_tower", heads.stages)
    own = tiny(HEADS, "model.own_embeddings=true")
    assert is_frozen(start(own, []), "text_tower", own.stages)


def test_rates_and_decay_by_parameter(tiny: Callable[..., Recipe]) -> None:
    from stair_search.training.step import Step

    rates = "{bias=5.0, embeddings=0.5, towers=0.1}"
    recipe = tiny(f"stages.*.rates={rates}", "stages.*.optimiser=lamb")
    model = start(recipe, [])
    stage = recipe.stages[0]
    groups = optimiser(Step(model, stage), stage).param_groups
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(found) == len(chosen(model, stage)) == len(list(model.parameters()))
    assert model.text_head is not None
    assert found[id(model.image_head.bias)] == found[id(model.text_head.bias)] == (5e-3, 0.0)
    assert found[id(model.parts()["embeddings"][0])] == (5e-4, 0.01)
    assert model.text_tower is not None
    for tower in (model.image_tower, model.text_tower):
        assert {found[id(p)] for p in tower.last() if p.ndim == 2} == {(1e-4, 0.01)}
    assert found[id(model.image_head.dense.weight)] == (1e-3, 0.01)
    assert found[id(model.image_head.dense.bias)] == (1e-3, 0.0)
    assert found[id(model.log_temperature)] == (1e-3, 0.0)


def test_the_head_starts_as_the_regression() -> None:
    """Scores of the started head rank tokens as a ridge regression of its own does."""
    from stair_search.models import HeadConfig, States
    from stair_search.models.token_head import TokenHead

    torch.manual_seed(0)
    head = TokenHead(16, torch.nn.Embedding(200, 64), None, HeadConfig(top_k=20))
    states = torch.randn(400, 16) * 3 + 5
    with torch.no_grad():
        targets = states @ torch.randn(16, 64)
        start_at_ridge(head, states, targets)
        e = head.table().double()
        found = head.logits(States(states[:, None], torch.ones(400, 1, dtype=torch.bool)))
        x = (states - states.mean(0)).double() / (states.std(0) + 1e-3).double()
        y = (targets - targets.mean(0)).double()
        a = torch.linalg.solve(x.T @ x + 3840 * torch.eye(16), x.T @ y)
        expected = x @ a @ torch.linalg.inv(e.T @ e + torch.eye(64)) @ e.T
    assert 15 < (found > 0).sum(1).float().mean() < 25
    alike = torch.corrcoef(torch.stack([found.double().flatten(), expected.flatten()]))[0, 1]
    assert alike > 0.9


def test_a_ridge_needs_frozen_towers(
    tiny: Callable[..., Recipe], go: Callable[..., Result]
) -> None:
    with pytest.raises(UsageError, match=r"model\.ridge: both towers have to be frozen"):
        go(tiny("model.ridge=true"))


def test_without_a_text_tower(
    tiny: Callable[..., Recipe], go: Callable[..., Result], tmp_path: Path
) -> None:
    for kind in ("mask", "weights", "expansion"):
        settings = (
            "model.kind=stair-image",
            f"model.text.table={{kind='{kind}', rank=4}}",
            "model.image.head={dimensions=8}",
            'stages=[{name="one", steps=2, rate=1e-3, trains=["image","text","embeddings"]}]',
        )
        found = go(tiny(*settings), tmp_path / kind)
        assert found.stages[0]["kind"] == "stair-image"


def test_the_table_starts_as_the_regression(
    tiny: Callable[..., Recipe], data: Data, tmp_path: Path
) -> None:
    """From the sum of a caption's token vectors to the words of all captions of its photo."""
    import numpy as np

    from stair_search.training import ridge
    from stair_search.training.samples import tokenised, words_of

    table = "model.text.table={kind='expansion', rank=16}"
    one = 'stages=[{name="one", steps=2, trains=["image","text"]}]'
    recipe = tiny("model.kind=stair-image", table, "model.image.head={dimensions=8}", one)
    model = start(recipe, data.train.captions)
    texts = tokenised(model, data.train.captions)
    words = words_of(model, data.train, texts)
    assert model.text_table is not None and model.text_table.vectors is not None
    vectors = model.text_table.vectors.weight.detach().double().numpy()
    ridge.start_table(model.text_table, texts.ids, words, data.train.owner)

    special = model.text_table.own_tokens.special.numpy()
    x = np.stack([vectors[np.unique(ids[~special[ids]])].sum(0) for ids in texts.ids])
    rarity = np.log1p(np.exp(-words.prior.double().numpy()))
    photos = np.arange(len(data.train.photos))
    y = (words.of(photos).double().numpy() * rarity)[data.train.owner]
    y -= (words.of(photos).double().numpy() * rarity).mean(0)
    expected = np.linalg.solve(x.T @ x + 100 * np.eye(16), x.T @ y).T / 2
    found = model.text_table.expansion.weight.detach().numpy()
    assert np.allclose(found, expected, atol=1e-5) and np.abs(expected).max() > 1e-3
    place = model.text_table.own_tokens.place
    own = torch.nn.functional.softplus(model.text_table.own.detach())[place >= 0]
    wanted = torch.from_numpy((rarity / rarity.mean()).clip(0.05))[place[place >= 0]]
    assert torch.allclose(own.double(), wanted, atol=1e-4)


def test_a_model_without_a_text_tower_is_taught(
    tiny: Callable[..., Recipe], go: Callable[..., Result], tmp_path: Path
) -> None:
    plain = ("every_stage.losses={}", "stages.*.own_only=false", "stages.*.freezes=[]")
    heads = 'stages.*.trains=["image_head", "text_head", "temperature"]'
    dense = go(tiny("model.kind=clip", *DENSE, *plain, heads, "stages.*.steps=2"), tmp_path / "d")
    settings = (
        "model.kind=stair-image",
        "model.text.table={kind='expansion', rank=4, dropout=0.1}",
        "model.image.head={dimensions=8}",
        "model.ridge=true",
        'stages=[{name="one", steps=2, trains=["image_head","text","embeddings"], '
        "losses={taught=0.9}}]",
    )
    teachers = f'teachers=["{dense.model}"]'
    found = go(tiny(*settings, teachers), tmp_path / "s", open_photo=never)
    assert "taught" in lines(found, "1-one")[0]["terms"]

    # the same teacher elsewhere is the same run; another teacher is not
    moved = (tmp_path / "d").rename(tmp_path / "moved")
    there = f'teachers=["{moved / dense.model.relative_to(tmp_path / "d")}"]'
    go(tiny(*settings, there), tmp_path / "s", open_photo=never)
    other = f'teachers=["{moved / "stages" / "1-masked" / "model"}"]'
    with pytest.raises(UsageError, match=r"s is a run with other teachers: .* there"):
        go(tiny(*settings, other), tmp_path / "s")


def test_a_text_side_for_photos_that_are_encoded_already(
    tiny: Callable[..., Recipe], go: Callable[..., Result], tmp_path: Path
) -> None:
    """`model.image.of`: the image side is that of another model, to the bit, and stays."""
    from stair_search.models.files import from_pretrained

    table = "model.text.table={kind='expansion', rank=16}"
    one = "stages=[{name='one', steps=2, trains=['image_head', 'text', 'embeddings']}]"
    free = ("model.kind=stair-image", table, "model.image.head={dimensions=8, top_k=5}", one)
    first = go(tiny(*free, "model.least=2"), tmp_path / "first")
    text = "stages=[{name='text', steps=2, trains=['text_head', 'temperature']}]"
    of = f'model.image={{of="{first.model}"}}'
    own = "model.own_embeddings=true"
    second = go(tiny(of, own, text), tmp_path / "second")
    before, after = from_pretrained(first.model), from_pretrained(second.model)
    assert after.config.image == before.config.image and after.text_head is not None
    old, new = before.state_dict(), after.state_dict()
    image = [name for name in old if name.startswith(("image", "embeddings", "outputs"))]
    assert len(image) > 10 and all(torch.equal(old[name], new[name]) for name in image)

    trains = "stages=[{name='text', steps=2, trains=['text_head', 'embeddings']}]"
    with pytest.raises(UsageError, match="stage text trains the image side"):
        start(tiny(of, own, trains), [])
    with pytest.raises(UsageError, match="need a table of embeddings of their own"):
        start(tiny(of), [])
    with pytest.raises(UsageError, match=r"have 8 dimensions, those of the text tower 16"):
        start(tiny(of, own, "model.text.tower.settings.hidden_size=16"), [])


def test_towers_are_named_or_described(tiny: Callable[..., Recipe], data: Data) -> None:
    table = tiny().to_dict()
    table["model"]["image"]["backbone"] = "efficientnet-lite0"
    with pytest.raises(UsageError, match="names a backbone or describes a tower"):
        start(from_table(table, "mine"), data.train.captions)
    with pytest.raises(UsageError, match="no word stands in 99 captions or more"):
        start(tiny("model.least=99"), data.train.captions)
    plain = ("every_stage.losses={}", "stages.*.own_only=false")
    dense = tiny("model.least=99", "model.kind=clip", *DENSE, *plain)
    assert start(dense, data.train.captions).outputs is None  # it has no tokens to choose

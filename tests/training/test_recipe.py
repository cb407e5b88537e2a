from __future__ import annotations

from pathlib import Path

import pytest

from stair_search.errors import UsageError

pytest.importorskip("torch")

from stair_search.training.recipe import load, shipped

pytestmark = pytest.mark.train


@pytest.mark.parametrize("name", ["paper", "small"])
def test_the_family_has_one_data_one_batch_and_one_number_of_steps(name: str) -> None:
    whole = load(name)
    total = sum(stage.steps for stage in whole.stages)
    for rival in ("single-stage", "clip", "text-free"):
        other = load(f"{name}-{rival}")
        assert (other.batch, other.views, other.precision) == (
            whole.batch,
            whole.views,
            whole.precision,
        )
        assert other.model.image.backbone == whole.model.image.backbone
        assert other.model.image.tower == whole.model.image.tower
        # the paper gives its rivals the steps of its longest stage
        assert sum(stage.steps for stage in other.stages) == (total if name == "small" else 600_000)


def test_all_recipes_can_be_read() -> None:
    assert len({load(name).fingerprint for name in shipped()}) == len(shipped()) >= 8


def test_settings_reach_every_depth() -> None:
    recipe = load(
        "small",
        [
            "stages.0.steps=3",
            "stages.frozen.losses.flops_text=0.5",
            "stages.*.rate=1e-4",
            "model.image.head.top_k=64",
            "model.image.backbone=efficientnet-lite0",
            'views=["plain"]',
        ],
        seed=7,
    )
    assert recipe.stages[0].steps == 3
    assert [stage.losses.flops_text for stage in recipe.stages] == [1e-3, 0.5, 1e-3]
    assert {stage.rate for stage in recipe.stages} == {1e-4}
    assert recipe.model.image.head.top_k == 64
    assert recipe.model.image.backbone == "efficientnet-lite0"
    assert (recipe.views, recipe.seed) == (("plain",), 7)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("batches=3", r"unknown setting batches = 3; known are .*batch"),
        ("stages.0.stps=3", r"unknown setting stages\.0\.stps = 3; known are .*steps"),
        ("stages.0.steps=many", r"stages\.0\.steps = 'many': expected int"),
        ("stages.first.steps=1", r"no stages\.first; there are masked, frozen, joint"),
        ("stages.0.trains=['eyes']", "'eyes'; known are image"),
        ("stages.0.rates={speed=2}", r"rates\.speed; known are bias, embeddings"),
        ("stages.0.rate=0", r"stage 'masked': rate 0\.0: above 0"),
        ("stages.0.rate=nan", r"stages\.0\.rate = nan: expected a finite number"),
        ("stages.0.rate=inf", r"stages\.0\.rate = inf: expected a finite number"),
        ("model.temperature=1" + "0" * 400, "0: expected a finite number"),
        ("stages.0.rates={bias=inf}", r"rates\.bias inf: a finite number, at least 0"),
        ("stages.0.rates={bias='much'}", r"rates\.bias 'much': a finite number"),
        ("stages.0.clip=-1", r"stage 'masked': clip -1\.0: at least 0"),
        ("stages.0.losses.flops_text=-1", r"losses\.flops_text -1\.0: at least 0"),
        ("stages.0.losses.taught=2", r"losses\.taught 2\.0: a share"),
        ("stages.0.losses.taught_temperature=0", r"taught_temperature 0\.0: above 0"),
        ("workers=-1", "workers -1: at least 0"),
        ("views=[]", "views: at least one"),
        ("batch=1", "at least 2"),
        ("save_every=3", "no multiple of log_every"),
        ("model.kind=dense", "known are 'stair', 'clip', 'stair-image'"),
        ("stages.0.losses.taught=0.5", "either both or none"),
        ("model.kind=clip", "a dense model has no tokens"),
        ("batch", "expected KEY=VALUE"),
        ("batch.size=3", "batch is 256, and has no settings below it"),
    ],
)
def test_what_cannot_be_is_told_with_what_can(setting: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load("small", [setting])


def test_files_are_recipes_and_extend_others(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "small"\nbatch = 64\n[every_stage]\nrate = 1e-5')
    (tmp_path / "more.toml").write_text('extends = "mine.toml"\nseed = 3')
    more = load(str(tmp_path / "more.toml"))
    assert (more.name, more.batch, more.seed) == ("more", 64, 3)
    assert more.stages[0].rate == 1e-5
    (tmp_path / "mine.toml").write_text('extends = "more.toml"')
    with pytest.raises(UsageError, match="extends itself"):
        load(str(tmp_path / "more.toml"))
    (tmp_path / "mine.toml").write_text("batch = ")
    with pytest.raises(UsageError, match="cannot be read"):
        load(str(tmp_path / "mine.toml"))
    with pytest.raises(UsageError, match="no recipe 'pape': give a TOML file or one of paper"):
        load("pape")


def test_the_fingerprint_is_of_what_is_trained() -> None:
    assert load("small").fingerprint == load("small").fingerprint
    assert load("small").fingerprint != load("small", ["batch=128"]).fingerprint

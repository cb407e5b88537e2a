"""What adapt chooses from how much data there is and what it runs on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stair_search.errors import UsageError
from stair_search.training.adapt.choices import (
    MANY,
    RESERVE,
    Choice,
    Data,
    Machine,
    Speed,
    Wish,
    choose,
    cost,
    within,
)
from stair_search.training.adapt.recipes import recipes
from stair_search.training.recipe import load

pytestmark = pytest.mark.train

CPU, GPU = Machine("cpu", "CPU", 2), Machine("cuda", "GPU", 16)
SPEED = Speed(0.01, 0.03, 0.001, 0.2, 0.1, 100_000_000, 20_000_000, 30_000, 10_000)


def data(photos: int) -> Data:
    return Data(photos, 5 * photos, photos // 10)


def chosen(photos: int, machine: Machine = CPU, **wish: object) -> Choice:
    return choose(data(photos), machine, Wish(**wish))  # type: ignore[arg-type]


def test_towers_are_trained_where_there_are_many_photos_and_a_gpu() -> None:
    assert chosen(10 * MANY).unfreeze == "none"
    assert chosen(MANY - 1, GPU).unfreeze == "none"
    assert chosen(MANY, GPU).unfreeze == "all"
    assert chosen(MANY, GPU, unfreeze="none").unfreeze == "none"
    assert "many times as long" in "\n".join(chosen(MANY, CPU, unfreeze="all").why)


@pytest.mark.parametrize(
    ("unfreeze", "tower", "own_table"),
    [
        ("none", [], True),
        ("last", ["image_tower_last", "text_tower_last"], True),
        ("all", ["image_tower", "text_tower"], False),
    ],
)
def test_what_of_the_towers_is_trained(unfreeze: str, tower: list[str], own_table: bool) -> None:
    both = recipes(
        "mine", "efficientnet-lite0", "minilm", 0, chosen(3000, unfreeze=unfreeze), "clip"
    )
    assert [recipe.model.own_embeddings for recipe in both] == [own_table, False]
    assert both[0].model.ridge == (unfreeze == "none")
    for stage in (*both[0].stages, *both[1].stages):
        assert [part for part in stage.trains if "tower" in part] == tower
        assert not tower or stage.rate * stage.rates["towers"] == pytest.approx(5e-5)
    stage, small = both[0].stages[0], load("small").stages[0]
    assert (stage.rate, stage.rates["bias"]) == (small.rate, small.rates["bias"])
    table = small.rates["embeddings"] if own_table else stage.rates["towers"]
    assert stage.rates["embeddings"] == table
    assert [bool(stage.losses.taught) for stage in both[0].stages] == [False, False, True]


def test_numbers_are_the_devices() -> None:
    assert (chosen(5000).precision, chosen(5000, GPU).precision) == ("fp32", "bf16")


@pytest.mark.parametrize("photos", [8, 12, 100, 5000, 10**6])
def test_a_batch_has_fewer_pairs_than_there_are_photos(photos: int) -> None:
    for machine in (CPU, GPU):
        assert 2 <= chosen(photos, machine).batch <= photos / 2
    assert chosen(photos, batch=10**9).batch == photos


def test_more_photos_take_more_steps() -> None:
    steps = [chosen(photos).total for photos in (500, 1500, 9000, 40_000, 200_000, 10**6, 10**7)]
    assert steps == sorted(steps) and len(set(steps)) == len(steps)


def test_most_steps_go_where_the_teacher_is() -> None:
    choice = chosen(5000, steps=1200)
    assert choice.steps == (180, 180, 840) and choice.why[-1] == "1,200 steps: as you asked"
    with pytest.raises(UsageError, match="--steps 2"):
        chosen(5000, steps=2)


@pytest.mark.parametrize("minutes", [60.0, 600.0])
def test_minutes_are_kept(minutes: float) -> None:
    wish = Wish(minutes=minutes)
    choice = within(choose(data(5000), CPU, wish), data(5000), CPU, SPEED, wish)
    spent = cost(choice, data(5000), CPU, SPEED).seconds
    step = SPEED.stair_step + SPEED.clip_step
    assert RESERVE * 60 * minutes - step < spent <= RESERVE * 60 * minutes + 1e-6
    assert not any("as you asked" in why or "is seen about" in why for why in choice.why)


def test_too_few_minutes_say_how_many_are_needed() -> None:
    wish = Wish(minutes=1.0)
    with pytest.raises(
        UsageError, match=r"--minutes 1 are too few.*about (\d+\.\d) minutes"
    ) as told:
        within(choose(data(5000), CPU, wish), data(5000), CPU, SPEED, wish)
    need = float(str(told.value).split("about ")[1].split()[0])
    enough = Wish(minutes=need + 0.1)
    assert within(choose(data(5000), CPU, enough), data(5000), CPU, SPEED, enough).total >= 30


def test_towers_that_are_trained_keep_nothing_of_photos() -> None:
    choice = chosen(5000, steps=100)
    frozen = cost(choice, data(5000), CPU, SPEED)
    trained = cost(choice, data(5000), CPU, replace(SPEED, photo_states=0, caption_states=0))
    assert trained.features == 0 < frozen.features
    assert frozen.disk - trained.disk == (2 * 5000 + 500) * 30_000 + 25_000 * 10_000

"""What a stage changes, what it leaves alone, and what a run's folder holds."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stair_search.errors import ModelError, TrainingError, UsageError

from .conftest import open_photo

if TYPE_CHECKING:
    import torch

    from stair_search.models import DualEncoder
    from stair_search.training.data import Data
    from stair_search.training.recipe import Recipe
    from stair_search.training.run import Result
else:
    torch = pytest.importorskip("torch")

pytestmark = pytest.mark.train

Go = Callable[..., "Result"]
Tiny = Callable[..., "Recipe"]


@pytest.fixture(scope="module")
def finished(data: Data, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Result:
    from stair_search.training.run import train

    folder = tmp_path_factory.mktemp("finished")
    return train(tiny(), data, folder / "run", open_photo, cache=folder / "cache", device="cpu")


def models(result: Result) -> dict[str, DualEncoder]:
    from stair_search.models.files import from_pretrained

    folders = sorted((result.run / "stages").iterdir())
    return {folder.name: from_pretrained(folder / "model") for folder in folders}


def outputs(model: DualEncoder, data: Data, own_only: bool = False) -> tuple[torch.Tensor, ...]:
    import numpy as np

    pixels = np.stack([model.prepare_image(open_photo(path)) for path in data.train.photos[:4]])
    with torch.inference_mode():
        seen = model.normalise(torch.from_numpy(pixels))
        ids, mask = model.tokenise(data.train.captions[:4], "")
        states = model.text_states(ids, mask)
        return (
            model.encode_image(model.image_states(seen)),
            model.encode_text(states, ids, mask, own_only),
            model.own_mask(ids, mask),
        )


def test_stage_2_leaves_the_image_side_as_it_was_to_the_bit(finished: Result, data: Data) -> None:
    found = models(finished)
    first, second, third = (outputs(model, data) for model in found.values())
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])
    assert not torch.equal(second[0], third[0])
    assert not torch.equal(second[1], third[1])


def test_stage_1_texts_lie_within_their_own_tokens(finished: Result, data: Data) -> None:
    _, text, own = outputs(models(finished)["1-masked"], data, own_only=True)
    assert (text > 0).any()
    assert not (text > 0)[~own].any()


def test_a_stage_starts_where_the_one_before_it_ended(
    finished: Result, data: Data, tiny: Tiny, go: Go, tmp_path: Path
) -> None:
    from stair_search.models.files import from_pretrained
    from stair_search.training.stage import StageRun

    running = StageRun(
        tiny(), data, finished.run, 3, open_photo, tmp_path, "cpu", lambda line: None
    )
    handed = running._model().state_dict()
    left = from_pretrained(finished.run / "stages" / "2-frozen" / "model").state_dict()
    assert all(torch.equal(handed[name], value) for name, value in left.items())


def test_what_a_run_leaves(finished: Result) -> None:
    assert finished.model == finished.run / "stages" / "3-joint" / "model"
    about = json.loads((finished.run / "run.json").read_text())
    assert about["recipe"]["stages"][0]["name"] == "masked"
    assert about["data"]["photos"] == {"train": 24, "val": 8}
    for number, name in enumerate(("masked", "frozen", "joint"), 1):
        folder = finished.run / "stages" / f"{number}-{name}"
        assert {one.name for one in folder.iterdir()} == {"log.jsonl", "model", "stage.json"}
        assert json.loads((folder / "stage.json").read_text())["finished"]
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert set(lines[0]["terms"]) == {"contrastive", "flops_image", "flops_text", "grounding"}
        assert lines[0]["lambda"] == {"image": 0, "text": 0}
        assert lines[-1]["lambda"] == {"image": 1e-3, "text": 1e-3}
        assert set(lines[0]["active_tokens"]) == set(lines[0]["dead_tokens"]) == {"image", "text"}
        dead = [found["validation"]["dead_tokens"] for found in lines if "validation" in found]
        assert dead and all(isinstance(count, int) and 0 <= count <= 30_522 for count in dead)
        assert set(lines[-2]["validation"]["text_to_image"]) == {"R@1", "R@5", "R@10"}
        assert list((finished.run / "tensorboard" / f"{number}-{name}").iterdir())
    assert set(finished.to_dict()["stages"][0]) == {
        "name", "steps", "seconds", "loss", "validation"
    }  # fmt: skip


def test_a_finished_run_is_not_trained_again(finished: Result, data: Data, tiny: Tiny) -> None:
    from stair_search.training.run import train

    before = finished.model.stat().st_mtime_ns
    # as a kill between a stage's last two acts leaves it
    (finished.run / "stages/1-masked/checkpoints/checkpoint-4").mkdir(parents=True)
    told: list[str] = []
    again = train(tiny(), data, finished.run, open_photo, tell=told.append, device="cpu")
    assert again == finished
    assert finished.model.stat().st_mtime_ns == before
    assert not (finished.run / "stages/1-masked/checkpoints").exists()
    assert len(told) == 3 and all("already trained" in line for line in told)


def test_a_run_of_another_recipe_or_other_data_is_refused(
    finished: Result, data: Data, tiny: Tiny, go: Go, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"stages\.1\.rate: 0\.001 there, 0\.002 here"):
        go(tiny("stages.frozen.rate=2e-3"), finished.run)
    fewer = data._replace(train=data.train._replace(captions=["?", *data.train.captions[1:]]))
    with pytest.raises(UsageError, match="other data"):
        go(tiny(), finished.run, data=fewer)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("")
    with pytest.raises(UsageError, match="not empty and no run"):
        go(tiny(), tmp_path / "mine")


def test_what_the_first_process_is_writing_is_no_other_folder(
    tiny: Tiny, data: Data, tmp_path: Path
) -> None:
    from stair_search.training.run_folder import check

    (tmp_path / "run.lock").touch()
    (tmp_path / ".run.json.part").write_text("{")
    check(tiny(), data, tmp_path)


def test_a_loss_that_is_no_number_stops_and_keeps_the_batch(
    tiny: Tiny, go: Go, tmp_path: Path, data: Data
) -> None:
    from safetensors.torch import load_file

    with pytest.raises(
        TrainingError, match=r"stage masked, step \d: the loss is no finite"
    ) as told:
        go(tiny("stages.*.rate=1e30"))
    kept = list((tmp_path / "run/stages/1-masked/bad-batch").glob("*.json"))
    assert len(kept) == 1 and str(kept[0].with_suffix("")) in str(told.value)
    about = json.loads(kept[0].read_text())
    assert len(about["pairs"]) == 8
    assert {pair["photo"] for pair in about["pairs"]} <= {str(p) for p in data.train.photos}
    tensors = load_file(kept[0].with_suffix(".safetensors"))
    assert tensors["pixels"].shape == (8, 32, 32, 3)


def test_a_gradient_that_is_no_number_stops_before_the_weights_are_lost(
    tiny: Tiny, go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stair_search.training.step import Step, Stepped

    forward = Step.forward

    def broken(self: Step, batch: Any) -> Stepped:
        stepped = forward(self, batch)
        if self.at != 2:
            return stepped
        # 0, with a slope of 0 times infinity
        return stepped._replace(loss=stepped.loss + (self.model.temperature * 0).sqrt())

    monkeypatch.setattr(Step, "forward", broken)
    with pytest.raises(TrainingError, match="stage masked, step 3: a gradient is no finite"):
        go(tiny())
    assert (tmp_path / "run/stages/1-masked/bad-batch/step-3.json").exists()
    monkeypatch.undo()
    assert go(tiny()).stages[0]["finished"]


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Files cannot grow beyond so many bytes: as a full disk, without being root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_last_good_checkpoint(
    tiny: Tiny, go: Go, tmp_path: Path, small_disk: Callable[[int], None]
) -> None:
    recipe = tiny("stages.*.steps=6")
    recipe = replace(recipe, stages=recipe.stages[:1])

    def fill(line: str) -> None:
        if "step 3 of" in line:
            small_disk(200_000)

    with pytest.raises(TrainingError, match=r"checkpoint-4 could not be saved.*checkpoint-2; free"):
        go(recipe, tell=fill)
    checkpoints = tmp_path / "run/stages/1-masked/checkpoints"
    assert [one.name for one in checkpoints.iterdir()] == ["checkpoint-2"]
    small_disk(resource.RLIM_INFINITY)
    told: list[str] = []
    assert go(recipe, tell=told.append).stages[0]["finished"]
    assert "goes on after step 2" in told[0]


def test_a_model_that_could_not_be_saved_is_saved_by_the_next_call(
    finished: Result, tiny: Tiny, go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise ModelError("no space left")

    recipe = replace(tiny(), stages=tiny().stages[:1])
    monkeypatch.setattr("stair_search.training.stage.save_pretrained", full)
    with pytest.raises(ModelError):
        go(recipe)
    monkeypatch.undo()
    found = go(recipe).stages[0]  # no step is left to do
    log = finished.run / "stages/1-masked/log.jsonl"
    losses = [json.loads(line).get("loss") for line in log.read_text().splitlines()]
    assert found["loss"] == [loss for loss in losses if loss is not None][-1]
    assert found["validation"]
    weights = "stages/1-masked/model/model.safetensors"
    assert (tmp_path / "run" / weights).read_bytes() == (finished.run / weights).read_bytes()


def test_checkpoints_hold_no_pickle(tiny: Tiny, go: Go, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if "step 3 of" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tiny(), tell=stop)
    checkpoint = tmp_path / "run/stages/1-masked/checkpoints/checkpoint-2"
    assert sorted(one.name for one in checkpoint.iterdir()) == [
        "model.safetensors", "optimiser.safetensors", "trainer_state.json"
    ]  # fmt: skip


def test_a_checkpoint_that_is_not_whole_is_taken_away(tmp_path: Path) -> None:
    from stair_search.training.checkpoints import last_checkpoint

    for name, state in (("checkpoint-2", '{"global_step": 2}'), ("checkpoint-4", '{"glob')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-6").mkdir()
    assert last_checkpoint(tmp_path, clean=False) == tmp_path / "checkpoint-2"
    assert len(list(tmp_path.iterdir())) == 3
    assert last_checkpoint(tmp_path, clean=True) == tmp_path / "checkpoint-2"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def reduced(tiny: Tiny) -> Tiny:
    """A recipe of the paper with tiny towers of the same kinds, four steps a stage."""
    image = "{library='transformers', architecture='vit', settings={hidden_size=16, "
    image += "num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, "
    image += "patch_size=8}}"
    text = "{library='transformers', architecture='bert', settings={vocab_size=30522, "
    text += "hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, "
    text += "max_position_embeddings=76}}"

    def load(name: str) -> Recipe:
        settings = ["stages.*.steps=4", "batch=8", "workers=0", "save_every=2", "log_every=1"]
        settings += ["stages.*.warmup=2", "model.image.size=32", f"model.image.tower={image}"]
        if name != "paper-text-free":
            settings.append(f"model.text.tower={text}")
        return tiny(*settings, name=name)

    return load


@pytest.mark.parametrize("name", ["paper", "paper-clip", "paper-single-stage", "paper-text-free"])
def test_the_paper_runs_a_few_steps_at_reduced_size(name: str, go: Go, reduced: Tiny) -> None:
    recipe = reduced(name)
    assert [stage["steps"] for stage in go(recipe).stages] == [4] * len(recipe.stages)


def test_lamb_goes_on_with_the_same_losses(go: Go, reduced: Tiny, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if "step 3 of" in line:
            raise KeyboardInterrupt

    recipe = reduced("paper-single-stage")
    lived = go(recipe, tmp_path / "lived")
    with pytest.raises(KeyboardInterrupt):
        go(recipe, tmp_path / "stopped", tell=stop)
    stopped = go(recipe, tmp_path / "stopped")
    assert stopped.stages[0]["loss"] == lived.stages[0]["loss"]
    weights = [(one.model / "model.safetensors").read_bytes() for one in (lived, stopped)]
    assert weights[0] == weights[1]


def settings_of(name: str) -> dict[str, Any]:
    from stair_search.training.recipe import load

    return load(name).to_dict()


def test_the_paper_is_the_paper() -> None:
    paper = settings_of("paper")
    assert paper["batch"] == 16384
    assert [stage["steps"] for stage in paper["stages"]] == [300_000, 300_000, 600_000]
    assert [stage["rate"] for stage in paper["stages"]] == [1e-3, 1e-3, 1e-4]
    for stage in paper["stages"]:
        assert (stage["optimiser"], stage["weight_decay"]) == ("lamb", 1e-2)
        assert (stage["warmup"], stage["decay"]) == (10_000, "linear")
        assert stage["losses"]["flops_image"] == stage["losses"]["flops_text"] == 1e-3
    assert [stage["own_only"] for stage in paper["stages"]] == [True, False, False]
    assert paper["stages"][1]["freezes"] == ["image", "embeddings"]
    vit = paper["model"]["image"]["tower"]["settings"]
    assert (vit["hidden_size"], vit["num_hidden_layers"], vit["patch_size"]) == (768, 12, 16)
    text = paper["model"]["text"]
    assert (text["length"], text["prompt"]) == (76, "a photo of ")
    bert = text["tower"]["settings"]
    assert (bert["hidden_size"], bert["num_hidden_layers"], bert["num_attention_heads"]) == (
        512,
        12,
        8,
    )
    clip = settings_of("paper-clip")
    assert clip["model"]["image"]["head"]["dimensions"] == 512
    assert [stage["steps"] for stage in clip["stages"]] == [600_000]
    for part in ("tower", "size", "mean"):
        assert clip["model"]["image"][part] == paper["model"]["image"][part]

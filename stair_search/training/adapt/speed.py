"""How long a training will take here: a few photos and a few steps of its very model, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..data import Data
from ..views import OpenPhoto

if TYPE_CHECKING:
    from stair_search.models import DualEncoder

    from ..recipe import Recipe

PHOTOS = 8
TEXTS = 64
STEPS = 2


class Measured(NamedTuple):
    """Seconds: open: of reading and preparing a photo on one thread; photo: of the image tower;
    caption: of the text tower; step: of the last stage with its batch, towers included where they
    are trained.

    Bytes: model: of a saved one; trained: of its parameters that are trained; photo_states,
    caption_states: of what frozen towers see, 0 where they are trained.
    """

    open: float
    photo: float
    caption: float
    step: float
    model: int
    trained: int
    photo_states: int
    caption_states: int


def measure(
    recipe: Recipe,
    data: Data,
    open_photo: OpenPhoto,
    device: str,
    teacher: Recipe | None = None,
) -> Measured:
    """Builds the model of a recipe at its start and times it; nothing is kept. teacher: of which
    the model that teaches the last stage will be.
    """
    import torch

    from ..start import start
    from ..step import Step, is_frozen

    model = start(recipe, data.train.captions).to(device)
    paths = data.train.photos[:PHOTOS]
    began = time.perf_counter()
    prepared = np.stack([model.prepare_image(open_photo(path)) for path in paths])
    opened = (time.perf_counter() - began) / len(paths)
    pixels = torch.from_numpy(prepared).to(device)
    # a small batch says little about how long many texts take
    captions = _captions(model, data.train.captions, max(recipe.batch, TEXTS))
    ids, mask = (part.to(device) for part in captions)
    with torch.inference_mode():
        hidden, seen = _timed(lambda: model.image_states(model.normalise(pixels)).hidden, device)
        states, said = _timed(lambda: model.text_states(ids, mask), device)
    rows = torch.arange(recipe.batch, device=device) % len(paths)
    batch = {"ids": ids[: recipe.batch], "mask": mask[: recipe.batch]}
    images = is_frozen(model, "image_tower", recipe.stages)
    texts = model.text_tower is not None and is_frozen(model, "text_tower", recipe.stages)
    batch |= {"image_hidden": hidden[rows].half()} if images else {"pixels": pixels[rows]}
    if texts:
        batch["text_hidden"] = states.hidden[: recipe.batch].half()
    stage = recipe.stages[-1]
    if stage.losses.grounded:
        batch["words"] = torch.zeros(recipe.batch, len(model.outputs), device=device)
    teachers = [start(teacher, data.train.captions).to(device)] if teacher else []
    step = Step(model, stage, teachers).to(device).train()
    step.at = stage.steps
    parameters = [one for one in step.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=0.0)

    def once() -> None:
        optimiser.zero_grad()
        with torch.autocast(
            device.split(":")[0], torch.bfloat16, enabled=recipe.precision == "bf16"
        ):
            loss = step({name: value.clone() for name, value in batch.items()}).loss
        loss.backward()
        optimiser.step()

    _, spent = _timed(once, device, STEPS)
    return Measured(
        opened,
        seen / len(paths),
        said / len(ids),
        spent,
        sum(one.numel() * one.element_size() for one in model.state_dict().values()),
        sum(one.numel() * one.element_size() for one in parameters),
        2 * hidden[0].numel() if images else 0,
        2 * int(mask.sum()) * states.hidden.shape[2] // len(ids) if texts else 0,
    )


def _captions(model: DualEncoder, captions: Sequence[str], count: int) -> tuple[Any, Any]:
    texts = [captions[i % len(captions)] for i in range(count)]
    ids, mask = model.tokenise(texts, "")
    return ids, mask


def _timed(work: Callable[[], Any], device: str, times: int = 1) -> tuple[Any, float]:
    """What it gives and the seconds it takes, after a first time that warms up."""
    import torch

    found = work()
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        found = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return found, (time.perf_counter() - began) / times

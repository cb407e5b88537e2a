"""One step's forward pass: a batch to its loss, as terms by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stair_search.models import DualEncoder, States

from . import losses
from .losses import unit
from .recipe import Stage
from .samples import Batch, image_states_of, text_states_of
from .schedules import quadratic_growth


class Stepped(NamedTuple):
    """loss: to be minimised, the weighted sum of `terms`, which have no gradient.

    active: mean number of tokens of a photo and of a text; seen: bool [2, o], the tokens that any
    photo and any text of the batch has. None of a dense model.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    active: Tensor | None
    seen: Tensor | None


class Step(nn.Module):
    """The model within a stage.

    at: the number of steps done, to be set before each (lambda grows).
    """

    def __init__(
        self,
        model: DualEncoder,
        stage: Stage,
        teachers: Sequence[DualEncoder] = (),
    ) -> None:
        super().__init__()
        self.model, self.stage, self.at = model, stage, 0
        self._teachers = [teacher.eval().requires_grad_(False) for teacher in teachers]
        choose(model, stage)

    def train(self, mode: bool = True) -> Step:
        """What is frozen stays in evaluation: no dropout there, no batch statistics that drift."""
        super().train(mode)
        for part in self.model.modules():
            own = list(part.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                part.eval()
        return self

    def forward(self, batch: Batch) -> Stepped:
        model, wanted = self.model, self.stage.losses
        image, logits = self._image(image_states_of(model, batch))
        states = text_states_of(model, batch)
        text = model.encode_text(states, batch["ids"], batch["mask"], self.stage.own_only)
        with torch.autocast(image.device.type, enabled=False):
            # sums over many thousand pairs and tokens: not in bfloat16
            of = losses.scores(image, text, 1 / model.temperature)
            terms = {"contrastive": losses.contrastive(of)}
            total = terms["contrastive"]
            if wanted.taught:
                terms["taught"] = losses.distillation(of, self._taught(batch))
                total = (1 - wanted.taught) * total + wanted.taught * terms["taught"]
            share = quadratic_growth(self.at, wanted.growth)
            if wanted.flops_image:
                terms["flops_image"] = losses.flops(image)
                total = total + share * wanted.flops_image * terms["flops_image"]
            if wanted.flops_text:
                terms["flops_text"] = losses.flops(text)
                total = total + share * wanted.flops_text * terms["flops_text"]
            if wanted.grounding:
                assert logits is not None
                terms["grounding"] = losses.grounding(logits.float(), batch["words"])
                total = total + wanted.grounding * terms["grounding"]
            if wanted.grounding_text:
                terms["grounding_text"] = losses.grounding(text.float(), batch["words"])
                total = total + wanted.grounding_text * terms["grounding_text"]
        told = {name: value.detach() for name, value in terms.items()}
        if model.config.kind == "clip":
            return Stepped(total, told, None, None)
        there = [image.detach() > 0, text.detach() > 0]
        active = torch.stack([side.sum(1).float().mean() for side in there])
        return Stepped(total, told, active, torch.stack([side.any(0) for side in there]))

    @torch.no_grad()
    def _taught(self, batch: Batch) -> losses.Scores:
        """The teachers' mean cosine, over their temperature."""
        image, text = [], []
        for teacher in self._teachers:
            teacher.to(batch["ids"].device)
            states = text_states_of(teacher, batch)
            image.append(unit(teacher.encode_image(image_states_of(teacher, batch))))
            text.append(unit(teacher.encode_text(states, batch["ids"], batch["mask"])))
        scale = 1 / self.stage.losses.taught_temperature
        return losses.scores(torch.cat(image, 1), torch.cat(text, 1), scale)

    def _image(self, states: States) -> tuple[Tensor, Tensor | None]:
        if not self.stage.losses.grounding:
            return self.model.encode_image(states), None
        logits = self.model.image_head.logits(states)
        return self.model.image_head.weights(logits), logits


def chosen(model: DualEncoder, stage: Stage) -> list[nn.Parameter]:
    """The parameters that a stage trains: of a part that it trains and of none that it freezes."""
    parts = model.parts()
    frozen = {id(one) for name in stage.freezes for one in parts[name]}
    found = {id(one): one for name in stage.trains for one in parts[name] if id(one) not in frozen}
    return list(found.values())


def choose(model: DualEncoder, stage: Stage) -> None:
    """Sets what gradients are computed for."""
    model.requires_grad_(False)
    for parameter in chosen(model, stage):
        parameter.requires_grad_(True)


def is_frozen(model: DualEncoder, part: str, stages: tuple[Stage, ...]) -> bool:
    """Whether no stage trains any parameter of a part, as "image_tower": its states can be kept."""
    own = {id(one) for one in model.parts()[part]}
    return not any(id(one) in own for stage in stages for one in chosen(model, stage))

"""A stage's optimiser: what decays, and what learns at another rate."""

from __future__ import annotations

import torch
from torch import nn

from stair_search.errors import TrainingError

from .recipe import Stage
from .step import Step


def optimiser(step: Step, stage: Stage) -> torch.optim.Optimizer:
    """Biases, norms and the temperature do not decay; `rates` are factors on the stage's rate."""
    parts = step.model.parts()
    biases = {
        id(head.bias)
        for head in (step.model.image_head, step.model.text_head)
        if head is not None and hasattr(head, "bias")
    }
    towers = parts["image_tower"] + parts["text_tower"]
    # what comes later counts: the embeddings are mostly a tower's, too
    kinds = dict.fromkeys(map(id, towers), "towers")
    kinds |= dict.fromkeys(map(id, parts["embeddings"]), "embeddings")
    kinds |= dict.fromkeys(biases, "bias")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in step.parameters():
        if parameter.requires_grad:
            factor = stage.rates.get(kinds.get(id(parameter), ""), 1.0)
            decay = stage.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
    if not groups:
        raise TrainingError(f"stage {stage.name} trains nothing: see its trains and freezes")
    settings = [
        {"params": parameters, "lr": stage.rate * factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
    if stage.optimiser == "lamb":
        from timm.optim import Lamb

        # You et al. 2020; the clipping that timm adds is `clip` of the stage
        return Lamb(settings, lr=stage.rate, max_grad_norm=None)
    # fused: on a CPU twenty times as quick as a loop over parameters, a third of a step of `small`
    return torch.optim.AdamW(settings, lr=stage.rate, fused=True)

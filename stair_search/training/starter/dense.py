"""The dense model: a linear head on each frozen tower, cosine similarity 512-d, as CLIP.

Teacher of the sparse model, and the baseline that it is measured against.
"""

from __future__ import annotations

import logging
import math

import torch
from torch import nn

from ..losses import contrastive, scores, unit
from .data import Batches, Examples

log = logging.getLogger(__name__)

DIMENSIONS = 512


class Dense(nn.Module):
    def __init__(self, features: int, sentence: int) -> None:
        super().__init__()
        self.image_head = nn.Sequential(nn.Dropout(0.3), nn.Linear(features, DIMENSIONS))
        self.text_head = nn.Sequential(nn.Dropout(0.1), nn.Linear(sentence, DIMENSIONS))
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))

    def images(self, features: torch.Tensor) -> torch.Tensor:
        """float32 [n, f] to [n, 512] at length 1."""
        return unit(self.image_head(features))

    def texts(self, sentences: torch.Tensor) -> torch.Tensor:
        """float32 [m, 384] to [m, 512] at length 1."""
        return unit(self.text_head(sentences))


def train_dense(data: Examples, epochs: int = 15, seed: int = 0) -> Dense:
    torch.manual_seed(seed)
    model = Dense(data.views[0].shape[1], data.sentences.shape[1])
    batches = Batches(data, 256, seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 1e-3, total_steps=epochs * len(batches), pct_start=0.1
    )
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for features, _, captions in batches.epoch():
            scale = model.log_scale.exp().clamp(max=60)
            texts = model.texts(data.sentences[captions])
            loss = contrastive(scores(model.images(features), texts, scale))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        log.info("  dense, epoch %d of %d: loss %.3f", epoch + 1, epochs, total / len(batches))
    model.eval()
    return model

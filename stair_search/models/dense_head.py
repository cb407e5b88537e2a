"""The head of the CLIP baseline: one vector a photo or text."""

from __future__ import annotations

import torch
from torch import nn

from .config import HeadConfig
from .states import States


class DenseHead(nn.Module):
    """The mean over positions, or the first, through a linear layer without bias to d."""

    def __init__(self, hidden: int, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(hidden, config.dimensions, bias=False)

    def forward(self, states: States) -> torch.Tensor:
        """[b, d], of any length; zero for a row without any position (under "mean")."""
        hidden = states.hidden
        if self.config.pooling == "first":
            pooled = hidden[:, 0]
        else:
            there = states.mask[..., None].to(hidden.dtype)
            pooled = (hidden * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
        dense: torch.Tensor = self.dense(self.dropout(pooled))
        return dense

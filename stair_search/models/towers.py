"""Feature extraction: photos and texts to states of positions.

All published image networks come down to a prefix and a map: prefix [b, k, h] holds what stands for
the whole photo ([CLS], registers; none for a convolutional network), the map [b, h, y, x] what
stands for its parts. Prefix states are positions of the head like all others: [CLS] has seen most.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from stair_search.errors import ModelError

from . import network_lite, network_timm, network_transformers
from .config import ImageConfig, TowerConfig
from .states import States


class _Tower(nn.Module):
    """A frozen tower stays in evaluation: no dropout, and batch statistics that do not drift."""

    def train(self, mode: bool = True) -> _Tower:
        super().train(mode and any(p.requires_grad for p in self.parameters()))
        return self

    def last(self) -> list[nn.Parameter]:
        """The parameters of the last block and of what follows it (a norm, a last convolution).

        Published networks keep their blocks in one list, which holds most of their parameters, and
        name what comes after it behind it. A block is what that list is made of: a layer of a
        transformer, a stage or a block of a convolutional network.
        """
        every = list(self.parameters())
        lists = [one for one in self.modules() if isinstance(one, nn.ModuleList | nn.Sequential)]
        blocks = max(lists, key=lambda one: sum(p.numel() for p in one.parameters()), default=())
        # a norm at the end of the list is no block
        full = [block for block in blocks if any(p.ndim > 1 for p in block.parameters())]
        if not full:
            return every  # a network that is no row of blocks is one
        first = next(full[-1].parameters())
        return every[next(i for i, p in enumerate(every) if p is first) :]


class ImageTower(_Tower):
    """network: gives (prefix, map) and has .hidden; None for one with random weights."""

    def __init__(self, config: ImageConfig, network: nn.Module | None = None) -> None:
        super().__init__()
        self.grid = config.grid
        self.network = network if network is not None else random_network(config)
        self.hidden: int = self.network.hidden

    def forward(self, pixels: torch.Tensor) -> States:
        """Float [b, 3, s, s], normalised, to states [b, p, h]; all positions are there."""
        prefix, seen = self.network(pixels)
        parts = [prefix]
        if self.grid is None:
            parts.append(seen.flatten(2).transpose(1, 2))
        else:
            parts.append(seen.mean(dim=(2, 3))[:, None])
            parts.append(functional.adaptive_avg_pool2d(seen, self.grid).flatten(2).transpose(1, 2))
        hidden = torch.cat(parts, dim=1)
        return States(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device))


class TextTower(_Tower):
    """network: of transformers; None for one with random weights."""

    def __init__(self, config: TowerConfig, network: Any = None) -> None:
        super().__init__()
        if config.library != "transformers":
            raise ModelError(
                f"a text tower comes from transformers, not {config.library!r} "
                f"({config.architecture})"
            )
        self.network = (
            network if network is not None else network_transformers.random_network(config)
        )
        self.hidden = int(self.network.config.hidden_size)
        if self.embeddings.embedding_dim != self.hidden:
            raise ModelError(
                f"a {config.architecture!r} with embeddings of {self.embeddings.embedding_dim} and "
                f"states of {self.hidden} is not supported"
            )

    @property
    def embeddings(self) -> nn.Embedding:
        """The table [v, h] that the token heads are tied to."""
        table: nn.Embedding = self.network.get_input_embeddings()
        return table

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> States:
        """Ids int64 [b, t], mask bool [b, t]."""
        hidden = self.network(input_ids=ids, attention_mask=mask.to(torch.int64)).last_hidden_state
        return States(hidden, mask)


def random_network(config: ImageConfig) -> nn.Module:
    """The network that a configuration describes. Raises ModelError."""
    tower = config.tower
    if tower.library == "lite":
        return network_lite.LiteImages(network_lite.random_network(tower.architecture, config.size))
    if tower.library == "timm":
        return network_timm.TimmImages(network_timm.random_network(tower), tower.architecture)
    return network_transformers.TransformersImages(
        network_transformers.random_network(tower), config.size
    )

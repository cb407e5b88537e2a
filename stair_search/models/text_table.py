"""Texts to weights of tokens without a network (STAIR, appendix; arXiv 2301.13081).

    mask         1 at each of the text's own tokens
    weights      softplus(own[t]) at each own token t
    expansion    relu(sum over own tokens t of softplus(own[t]) at t + P vector[t])

An own token counts once, however often it is said; special tokens ([CLS], [PAD], ...) are none.
The expansion's row of a token may be negative where the token speaks against another. All three are
sums of one row a token, so that `rows` can be shipped as a table and summed without torch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from .config import TableConfig
from .own_tokens import OwnTokens
from .token_head import strongest
from .words import says

ROWS_AT_ONCE = 512


class TableRows(NamedTuple):
    """Row t is entries starts[t] to starts[t + 1]: vocabulary ids, ascending, and their weights.

    starts: int32 [v + 1]; ids: int32 [entries]; weights: float32 [entries].
    """

    starts: NDArray[np.int32]
    ids: NDArray[np.int32]
    weights: NDArray[np.float32]


class TextTable(nn.Module):
    """own: which tokens of a text count and which outputs they are."""

    def __init__(self, own: OwnTokens, config: TableConfig) -> None:
        super().__init__()
        self.config = config
        self._own = (own,)  # the model's
        silent = [config.words_only and not says(token) for token in own.tokens]
        self.register_buffer("silent", torch.tensor(silent), persistent=False)
        v, o = own.vocabulary, own.outputs
        if config.kind != "mask":
            # softplus of it is 1: all begin as the mask
            self.own = nn.Parameter(torch.full((v,), math.log(math.e - 1)))
        self.vectors: nn.Embedding | None = None
        if config.kind == "expansion":
            self.vectors = nn.Embedding(v, config.rank)
            self.expansion = nn.Linear(config.rank, o, bias=False)
            nn.init.normal_(self.vectors.weight, std=config.rank**-0.5)
            nn.init.zeros_(self.expansion.weight)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Ids int64 [b, t], mask bool [b, t] -> weights [b, o]."""
        own = self.own_tokens
        mask = mask & ~self.silent[ids]
        if self.training and self.config.dropout:
            mask = mask & (torch.rand(mask.shape, device=mask.device) >= self.config.dropout)
        columns, there = own.columns(ids, mask)
        share = own.spread(columns, there * self._weight(ids))
        if self.vectors is not None:
            # a token without an output of its own may still imply others
            said = own.distinct(ids, mask)
            meant = (self.vectors(ids) * said[..., None]).sum(dim=1)
            share = torch.relu(share + self.expansion(meant))
        return strongest(share, self.config.top_k)

    @property
    def own_tokens(self) -> OwnTokens:
        return self._own[0]

    def _weight(self, ids: torch.Tensor) -> torch.Tensor:
        if self.config.kind == "mask":
            return torch.ones_like(ids, dtype=torch.get_default_dtype())
        return functional.softplus(self.own)[ids]

    @torch.no_grad()
    def rows(self, keep: int | None = None, least: float = 1e-4) -> TableRows:
        """A row for each token of the vocabulary, empty for special ones and where nothing is left.

        keep: entries of a row that stay, the largest by absolute weight; least: none below it. Both
        change what a text says: measure it.
        """
        own = self.own_tokens
        device = own.place.device
        starts = np.zeros(own.vocabulary + 1, np.int32)
        ids: list[NDArray[np.int32]] = []
        weights: list[NDArray[np.float32]] = []
        given = own.ids.cpu().numpy()
        for at in range(0, own.vocabulary, ROWS_AT_ONCE):
            tokens = torch.arange(at, min(at + ROWS_AT_ONCE, own.vocabulary), device=device)
            dense = self.dense_rows(tokens)
            if keep is not None and keep < dense.shape[1]:
                top = dense.abs().topk(keep, dim=1).indices
                dense = torch.zeros_like(dense).scatter(1, top, dense.gather(1, top))
            rows = dense.float().cpu().numpy()
            rows[np.abs(rows) < least] = 0
            where, columns = np.nonzero(rows)
            order = np.lexsort((given[columns], where))
            ids.append(given[columns][order].astype(np.int32))
            weights.append(rows[where, columns][order])
            starts[at + 1 : at + 1 + len(rows)] = np.bincount(where, minlength=len(rows))
        return TableRows(
            starts.cumsum(dtype=np.int32), np.concatenate(ids), np.concatenate(weights)
        )

    def dense_rows(self, tokens: torch.Tensor) -> torch.Tensor:
        """What single tokens add to the sum, [len(tokens), o]; not clamped."""
        own = self.own_tokens
        ids, mask = tokens[:, None], ~self.silent[tokens][:, None]
        columns, there = own.columns(ids, mask)
        rows = own.spread(columns, there * self._weight(ids))
        if self.vectors is not None:
            rows = rows + self.expansion(self.vectors(tokens)) * own.distinct(ids, mask)
        return rows

"""A text's own tokens: the mask of Eq. 8, and what a text side without a network starts from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class OwnTokens(nn.Module):
    """Which tokens of a text count, and the columns of [b, o] that they stand for.

    No parameter; its buffers follow from the vocabulary and are not saved. outputs: int64 [o], the
    vocabulary id of each column.
    """

    def __init__(self, tokens: Sequence[str], outputs: torch.Tensor) -> None:
        super().__init__()
        self.tokens = tuple(tokens)
        self.vocabulary, self.outputs = len(tokens), len(outputs)
        special = torch.tensor([token in SPECIAL for token in tokens])
        place = torch.full((len(tokens),), -1, dtype=torch.int64)
        place[outputs] = torch.arange(len(outputs))
        place[special] = -1
        self.register_buffer("ids", outputs, persistent=False)
        self.register_buffer("special", special, persistent=False)
        self.register_buffer("place", place, persistent=False)

    def distinct(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Bool [b, t]: no special token, and the first of its kind in its text.

        ids: int64 [b, t]; mask: bool [b, t].
        """
        said = mask & ~self.special[ids]
        same = (ids[:, :, None] == ids[:, None, :]) & said[:, None, :]
        earlier = same.tril(diagonal=-1).any(dim=2)
        return said & ~earlier

    def columns(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(int64 [b, t], bool [b, t]): an own token's column; False where it is none (column 0)."""
        columns = self.place[ids]
        there = self.distinct(ids, mask) & (columns >= 0)
        return columns.clamp(min=0), there

    def spread(self, columns: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """[b, t] values, 0 where there is none, to [b, o]."""
        return values.new_zeros(len(columns), self.outputs).scatter_add(1, columns, values)

    def mask(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What Eq. 8 calls mask of y, bool [b, o]."""
        columns, there = self.columns(ids, mask)
        return self.spread(columns, there.to(torch.int32)) > 0

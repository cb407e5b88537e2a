"""STAIR's token projection head: states of positions to weights of tokens.

    p(h_j) = e . LayerNorm(GELU(W h_j + c)) + b              (Eq. 4, arXiv 2301.13081)
    weight = log(1 + relu(max over j of p(h_j)))             (Eq. 5)

W, c and the layer norm are BERT's masked-language-model head; e is the text tower's embedding
table, tied: the head looks it up at each call and does not own it.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .config import HeadConfig
from .max_logits import max_logits
from .states import States


def strongest(weights: torch.Tensor, k: int | None) -> torch.Tensor:
    """Rows of weights [b, o] with all but k of their largest at zero; gradients pass these.

    >>> strongest(torch.tensor([[1.0, 3.0, 2.0]]), 2)
    tensor([[0., 3., 2.]])
    """
    if k is None or k >= weights.shape[1]:
        return weights
    top = weights.topk(k, dim=1)
    return torch.zeros_like(weights).scatter(1, top.indices, top.values)


def centred(rows: torch.Tensor) -> torch.Tensor:
    """Rows [n, h] less their mean, each at length 1."""
    return functional.normalize(rows - rows.mean(dim=0), dim=1)


class TokenHead(nn.Module):
    """hidden: h of the states. embeddings: e, [v, h of e]. outputs: the ids given, None for all.

    Rows of e may be used centred: the mean over the outputs' rows taken off, then at length 1. Rows
    of a trained table share a large direction that says nothing about a token, and their lengths
    follow its frequency; without both, scores are comparable across tokens from the first step.
    The layer norm's output has length sqrt(h of e), so that scores are sqrt(h) x cosine: deviation
    1 for unrelated directions. No further factor is needed.
    """

    def __init__(
        self,
        hidden: int,
        embeddings: nn.Embedding,
        outputs: torch.Tensor | None,
        config: HeadConfig,
    ) -> None:
        super().__init__()
        self.config = config
        # in a tuple: no parameter of this module, saved with the text tower alone
        self._tied = (embeddings,)
        self.register_buffer("outputs", outputs, persistent=False)
        width = embeddings.embedding_dim
        self.dropout = nn.Dropout(config.dropout)
        self.dense = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)  # BERT's
        self.bias = nn.Parameter(
            torch.zeros(embeddings.num_embeddings if outputs is None else len(outputs))
        )

    def forward(self, states: States) -> torch.Tensor:
        """Weights [b, o], none below 0; a row without any position has none above it."""
        return self.weights(self.logits(states))

    def logits(self, states: States) -> torch.Tensor:
        """Eq. 4, its maximum over the positions, [b, o]: before Eq. 5, of both signs."""
        return max_logits(
            self.transform(states.hidden), states.mask, self.table(), self.bias, self.config.chunk
        )

    def weights(self, logits: torch.Tensor) -> torch.Tensor:
        """Eq. 5 and the strongest of its weights, [b, o]."""
        return strongest(torch.log1p(torch.relu(logits)), self.config.top_k)

    def transform(self, hidden: torch.Tensor) -> torch.Tensor:
        """The part of Eq. 4 before the vocabulary, [b, p, h of e]."""
        if self.training and self.config.dropout:
            # the same units at all positions: of ten positions one would know what another may not
            hidden = hidden * self.dropout(torch.ones_like(hidden[:, :1]))
        transformed: torch.Tensor = self.norm(functional.gelu(self.dense(hidden)))
        return transformed

    def table(self) -> torch.Tensor:
        """The rows of e as they are used, [o, h of e]."""
        rows: torch.Tensor = self._tied[0].weight
        if self.outputs is not None:
            rows = rows[self.outputs]
        if self.config.embeddings == "centred":
            rows = centred(rows)
        return rows

    def own(self, states: States, columns: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Weights [b, o] of given outputs alone, all others 0: forward times a mask, without the
        scores that the mask would throw away.

        columns: int64 [b, t] of outputs, no output twice in a row; there: bool [b, t], False where
        a column is to be passed over.
        """
        hidden = self.transform(states.hidden)
        scores = torch.einsum("bph,bth->bpt", hidden, self.table()[columns])
        best = scores.masked_fill(~states.mask[..., None], -torch.inf).amax(dim=1)
        weights = torch.log1p(torch.relu(best + self.bias[columns])) * there
        found = weights.new_zeros(len(columns), len(self.bias))
        return strongest(found.scatter_add(1, columns, weights), self.config.top_k)

"""Static tables: what each token of a text adds to its weights, see `encoders.static_text`.

A model without a text network has such rows already. From a network they are distilled: first each
token is asked alone; then, over captions, rows are sought whose sum over a caption's tokens comes
near what the network says of the caption:

    minimise  sum over captions |sum over own tokens t of row[t] - network(caption)|^2
              + ridge x sum over t |row[t] - a alone[t]|^2

with a as fits best where the rows are a x alone. A token that no caption holds keeps a x alone[t].
The sums of squares are those of generalised ridge regression, solved in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.token_head import strongest

KEEP = 34
"""Entries of a row. In the trial whose recipe this is, 34 cost one point of mean recall."""

RIDGE = 3.0
"""Captions that a token's own answer counts as."""

LEAST = 1e-3
"""An entry below adds nothing that can be seen."""

BATCH = 256
MOST = 256
"""Tokens of an answer that are sought after: a head that has yet to learn to be sparse gives all,
and vocabulary x vocabulary numbers would not fit in memory.
"""

COLUMNS = 1024
"""Outputs that are solved for at once: tokens x columns numbers in double precision."""


class Rows(NamedTuple):
    """starts: int32 [v + 1]; row t is entries starts[t] to starts[t + 1] of ids and weights."""

    starts: NDArray[np.int32]
    ids: NDArray[np.int32]
    weights: NDArray[np.float32]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As text.npz holds them, in the fewest bytes: weights keep 11 significant bits."""
        short = not len(self.ids) or self.ids.max() <= np.iinfo(np.uint16).max
        return {
            "starts": self.starts,
            "ids": self.ids.astype(np.uint16 if short else np.int32),
            "weights": self.weights.astype(np.float16),
        }


def model_table(model: DualEncoder, keep: int | None = None) -> Rows:
    """The rows of a model of kind stair-image."""
    assert model.text_table is not None
    return Rows(*model.text_table.rows(keep))


def distil_table(
    model: DualEncoder,
    captions: Sequence[str],
    keep: int = KEEP,
    ridge: float = RIDGE,
    progress: Callable[[str], None] = lambda line: None,
) -> Rows:
    """A table that answers as the model's text network does, pruned to `keep` entries a token.

    captions: such as will be asked; none for what single tokens say alone. Takes a pass of the
    network over each token of the vocabulary and each caption, and tokens x tokens numbers in
    double precision for the tokens that captions hold. progress: is told what is being done.
    """
    assert model.outputs is not None and model.text_tower is not None
    tokens = _sayable(model)
    progress(f"asking the network about {len(tokens)} tokens, each alone")
    alone = _answers(model, [torch.tensor([token]) for token in tokens])
    kept = _Strongest(len(tokens), keep)
    if captions:
        progress(f"asking it about {len(captions)} captions")
        own, said = _captions(model, captions, tokens)
        progress("solving for the rows that sum to its answers")
        pieces = _solved(alone, own, said, ridge)
    else:
        pieces = (alone[:, part].toarray() for part in _parts(alone.shape[1]))
    for part, values in zip(_parts(alone.shape[1]), pieces, strict=True):
        kept.add(np.arange(part.start, part.stop), values.astype(np.float32))
    return kept.rows(tokens, model.outputs.cpu().numpy(), len(model.tokens))


def _sayable(model: DualEncoder) -> NDArray[np.int64]:
    """Ids of the tokens that a text can hold: all but [CLS], [unused12] and the like."""
    return np.array(
        [
            place
            for place, token in enumerate(model.tokens)
            if not (len(token) > 2 and token.startswith("[") and token.endswith("]"))
        ]
    )


def _parts(columns: int) -> list[slice]:
    return [slice(at, min(at + COLUMNS, columns)) for at in range(0, columns, COLUMNS)]


@torch.inference_mode()
def _answers(model: DualEncoder, texts: Sequence[torch.Tensor]) -> Any:
    """Token ids of texts, [CLS] and [SEP] left out, to scipy csr [n, o] of rows at length 1."""
    from scipy import sparse

    frame = model.tokenise([""])[0][0]  # [CLS] prompt [SEP]
    before, after = frame[:-1], frame[-1:]
    room = model.config.text.length - len(frame)
    device = model.outputs.device
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found = []
    for at in range(0, len(order), BATCH):
        rows = [torch.cat([before, texts[place][:room], after]) for place in order[at : at + BATCH]]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = torch.arange(ids.shape[1], device=device) < lengths[:, None]
        weights = strongest(model.encode_text(model.text_states(ids, mask), ids, mask), MOST)
        found.append(sparse.csr_matrix(functional.normalize(weights.float(), dim=1).cpu().numpy()))
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return sparse.vstack(found, format="csr")[back]


def _captions(
    model: DualEncoder, captions: Sequence[str], tokens: NDArray[np.int64]
) -> tuple[Any, Any]:
    """(which tokens each caption holds, csr [n, tokens] of ones; the network's answers [n, o])."""
    from scipy import sparse

    ids, mask = model.tokenise(captions, prompt="")
    texts = [row[there][1:-1] for row, there in zip(ids, mask, strict=True)]
    column = np.full(len(model.tokens), -1)
    column[tokens] = np.arange(len(tokens))
    held = [column[np.unique(text.numpy())] for text in texts]
    held = [columns[columns >= 0] for columns in held]
    starts = np.cumsum([0, *map(len, held)])
    ones = np.ones(starts[-1])
    own = sparse.csr_matrix((ones, np.concatenate(held), starts), (len(captions), len(tokens)))
    return own, _answers(model, texts)


def _solved(alone: Any, own: Any, said: Any, ridge: float) -> Iterator[NDArray[np.float64]]:
    """Rows of all tokens, [tokens, columns], for each of `_parts`."""
    from scipy import linalg

    summed = own @ alone
    fit = float(summed.multiply(said).sum() / max(summed.multiply(summed).sum(), 1e-12))
    there = np.flatnonzero(own.getnnz(axis=0))
    held = own[:, there]
    gram = (held.T @ held).toarray()
    gram[np.diag_indices_from(gram)] += ridge
    factor = linalg.cho_factor(gram, lower=True, overwrite_a=True)
    missing = held.T @ (said - fit * summed)  # what the captions' answers have more than the sums
    for part in _parts(alone.shape[1]):
        rows = fit * alone[:, part].toarray().astype(np.float64)
        rows[there] += linalg.cho_solve(factor, missing[:, part].toarray())
        yield rows


class _Strongest:
    """Of each row the `keep` entries with the largest absolute value, over pieces of columns."""

    def __init__(self, rows: int, keep: int) -> None:
        self._columns = np.zeros((rows, keep), np.int64)
        self._values = np.zeros((rows, keep), np.float32)

    def add(self, columns: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """columns: [c]; values: [rows, c]."""
        keep = self._values.shape[1]
        both = np.concatenate([self._values, values], 1)
        which = np.argpartition(-np.abs(both), keep - 1, axis=1)[:, :keep]
        known = np.concatenate([self._columns, np.broadcast_to(columns, values.shape)], 1)
        self._columns = np.take_along_axis(known, which, 1)
        self._values = np.take_along_axis(both, which, 1)

    def rows(self, tokens: NDArray[np.int64], ids: NDArray[np.int64], vocabulary: int) -> Rows:
        """tokens: the id of each row; ids: of each column."""
        there = np.abs(self._values) >= LEAST
        lengths = np.zeros(vocabulary, np.int64)
        lengths[tokens] = there.sum(1)
        row, place = np.nonzero(there)
        entries = ids[self._columns[row, place]]
        order = np.lexsort((entries, row))  # tokens rise
        return Rows(
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
            entries[order].astype(np.int32),
            self._values[row, place][order],
        )

"""Samples as tensors: what one device gets of a step.

Axes: b pairs of this device, p positions, t text tokens, h hidden, o outputs, s pixels a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from stair_search.evaluation.pairs import Pairs
from stair_search.models.states import States

from .data import Draws
from .features import Hidden, TextStates, pad
from .views import OpenPhoto, look

if TYPE_CHECKING:
    from stair_search.models import DualEncoder

Batch = dict[str, torch.Tensor]

TOKENISED = 1024


class Captions(NamedTuple):
    """ids: for each caption its tokens, special ones included; cut: how many were too long."""

    ids: list[NDArray[np.int64]]
    cut: int


def tokenised(model: DualEncoder, captions: Sequence[str], prompt: str | None = "") -> Captions:
    """Captions as the model's text side reads them, without a prompt unless one is given."""
    from stair_search.models.tokenise import Tokeniser

    length = model.config.text.length
    longer = Tokeniser(model.tokens, length + 1)
    found: list[NDArray[np.int64]] = []
    cut = 0
    for at in range(0, len(captions), TOKENISED):
        part = list(captions[at : at + TOKENISED])
        ids, mask = model.tokenise(part, prompt)
        lengths = mask.sum(1).tolist()
        full = [part[i] for i, n in enumerate(lengths) if n == length]
        if full:
            cut += int((longer(full)[1].sum(1) > length).sum())
        found += [row[:n].numpy() for row, n in zip(ids, lengths, strict=True)]
    return Captions(found, cut)


class Photos:
    """Photos as a step wants them: states where the tower is frozen, pixels where it is not.

    states: for each view float16 [n, p, h], or None.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        views: Sequence[str],
        states: Sequence[Hidden] | None,
        model: DualEncoder,
        open_photo: OpenPhoto,
    ) -> None:
        self._paths, self._views, self._states = list(paths), list(views), states
        self._prepare, self._open = model.prepare_image, open_photo

    def __call__(
        self, photos: NDArray[np.int64], views: NDArray[np.int64], chance: NDArray[np.uint64]
    ) -> Batch:
        if self._states is not None:
            rows: list[NDArray[np.float16]] = [
                self._states[v][p] for p, v in zip(photos, views, strict=True)
            ]
            return {"image_hidden": torch.from_numpy(np.stack(rows))}
        seen = [
            self._prepare(look(self._open(self._paths[p]), self._views[v], int(c)))
            for p, v, c in zip(photos, views, chance, strict=True)
        ]
        return {"pixels": torch.from_numpy(np.stack(seen))}

    def means(self) -> torch.Tensor | None:
        """float32 [n, h] of the first view, over positions; None of a tower that is trained."""
        if self._states is None:
            return None
        rows = [
            self._states[0][at : at + TOKENISED].astype(np.float32).mean(1)
            for at in range(0, len(self._paths), TOKENISED)
        ]
        return torch.from_numpy(np.concatenate(rows))


class Texts:
    """Captions as a step wants them: ids and mask, with states where the tower is frozen."""

    def __init__(self, captions: Captions, states: TextStates | None) -> None:
        self.ids, self._states = captions.ids, states

    def __call__(self, captions: NDArray[np.int64]) -> Batch:
        ids, mask = pad([self.ids[i] for i in captions])
        found = {"ids": ids, "mask": mask}
        if self._states is not None:
            starts = self._states.offsets
            hidden = torch.zeros(*ids.shape, self._states.hidden.shape[1], dtype=torch.float16)
            for row, i in enumerate(captions):
                own = self._states.hidden[starts[i] : starts[i + 1]]
                hidden[row, : len(own)] = torch.from_numpy(np.array(own))
            found["text_hidden"] = hidden
        return found

    def means(self) -> torch.Tensor | None:
        """float32 [m, h] over each caption's tokens; None of a tower that is trained."""
        if self._states is None:
            return None
        hidden, starts = self._states
        rows = [hidden[a:b].astype(np.float32).mean(0) for a, b in pairwise(starts.tolist())]
        return torch.from_numpy(np.stack(rows))


class Words(NamedTuple):
    """What a photo's captions say, for the start at a ridge and for the grounding loss.

    starts: int64 [n + 1], columns and shares: the tokens of a photo and the share of its captions
    that hold each; prior: float32 [o], the log odds of each token over all photos.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    shares: NDArray[np.float32]
    prior: torch.Tensor

    def of(self, photos: NDArray[np.int64]) -> torch.Tensor:
        """float32 [b, o]."""
        found = torch.zeros(len(photos), len(self.prior))
        for row, photo in enumerate(photos):
            part = slice(self.starts[photo], self.starts[photo + 1])
            found[row, torch.from_numpy(self.columns[part])] = torch.from_numpy(self.shares[part])
        return found


LEAST_ODDS = 1e-5


def words_of(model: DualEncoder, pairs: Pairs, captions: Captions) -> Words:
    """From the ids of all captions of each photo."""
    assert model.outputs is not None and model.own_tokens is not None
    column = model.own_tokens.place.cpu().numpy()
    said: list[dict[int, int]] = [{} for _ in pairs.photos]
    counts = np.bincount(pairs.owner, minlength=len(pairs.photos))
    for ids, owner in zip(captions.ids, pairs.owner, strict=True):
        for place in np.unique(column[ids]).tolist():
            if place >= 0:
                said[owner][place] = said[owner].get(place, 0) + 1
    starts = np.cumsum([0, *(len(one) for one in said)])
    columns = np.array([place for one in said for place in one], np.int64)
    shares = np.array(
        [n / counts[photo] for photo, one in enumerate(said) for n in one.values()], np.float32
    )
    total = np.bincount(columns, shares, minlength=len(model.outputs)) / len(said)
    prior = torch.logit(torch.from_numpy(total.astype(np.float32)), LEAST_ODDS)
    return Words(starts, columns, shares, prior)


class Samples(Dataset):
    """All samples of a stage by their number; nothing is computed before it is asked for.

    words: None where nothing asks for them; grounded: whether the loss does, of each batch.
    """

    def __init__(
        self,
        draws: Draws,
        photos: Photos,
        texts: Texts,
        words: Words | None,
        grounded: bool,
        steps: int,
    ) -> None:
        self.photos, self.texts, self.words = photos, texts, words
        self._draws, self._grounded = draws, grounded
        self.batch = draws.batch
        self._length = steps * draws.batch

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> Batch:
        return self.__getitems__([number])

    def __getitems__(self, numbers: list[int]) -> Batch:
        """Several at once, as torch's loader asks for them; nothing is left to collate."""
        asked = np.array(numbers, np.int64)
        drawn = self._draws(asked)
        found = self.photos(drawn.photos, drawn.views, drawn.chance)
        found |= self.texts(drawn.captions)
        if self._grounded:
            assert self.words is not None
            found["words"] = self.words.of(drawn.photos)
        places = {"number": asked, "photo": drawn.photos, "caption": drawn.captions}
        return found | {name: torch.from_numpy(value) for name, value in places.items()}


def image_states_of(model: DualEncoder, batch: Batch) -> States:
    """From the cache where the batch holds them, else from the tower."""
    if "image_hidden" not in batch:
        return model.image_states(model.normalise(batch["pixels"]))
    hidden = batch["image_hidden"].to(model.mean.dtype)
    return States(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device))


def text_states_of(model: DualEncoder, batch: Batch) -> States | None:
    """From the cache where the batch holds them, else from the tower; None where there is none."""
    if "text_hidden" not in batch:
        return model.text_states(batch["ids"], batch["mask"])
    return States(batch["text_hidden"].to(model.mean.dtype), batch["mask"])

"""What people watch while a model trains: R@K on held-back photos, tokens in use, and, in words, a
collapse and its remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from stair_search.evaluation.pairs import Pairs
from stair_search.evaluation.retrieval import Recalls, ranks
from stair_search.models.dual_encoder import LARGEST_SCALE

from .losses import unit
from .samples import Photos, Texts, image_states_of, text_states_of

if TYPE_CHECKING:
    from stair_search.models import DualEncoder

BATCH = 64
ALIKE_SAMPLE = 64
DENSE = 0.1
"""Share of weights above 0 from which on a sparse matrix costs more than a dense one."""


@dataclass(frozen=True)
class Validation:
    """Measured on held-back photos. dead: how many outputs no photo has, None if dense."""

    text_to_image: Recalls
    image_to_text: Recalls
    active: tuple[float, float] | None
    dead: int | None
    alike: float

    def to_dict(self) -> dict[str, Any]:
        """As a run's log and result have it."""
        found: dict[str, Any] = {
            "text_to_image": self.text_to_image.to_dict(),
            "image_to_text": self.image_to_text.to_dict(),
        }
        if self.active is not None:
            found["active_tokens"] = dict(zip(("image", "text"), self.active, strict=True))
            found["dead_tokens"] = self.dead
        return found


class Validator:
    """Held-back pairs, measured by cosine; ties count against the model."""

    def __init__(self, pairs: Pairs, photos: Photos, texts: Texts, device: torch.device) -> None:
        self._pairs, self._photos, self._texts, self._device = pairs, photos, texts, device

    def __call__(self, model: DualEncoder, own_only: bool) -> Validation:
        """own_only: captions masked to their own tokens, as the stage has them."""
        training = model.training
        model.eval()
        with torch.inference_mode():
            images = self._all(len(self._pairs.photos), lambda at: self._image(model, at))
            texts = self._all(len(self._pairs.captions), lambda at: self._text(model, at, own_only))
        model.train(training)
        found = ranks(*_vectors(images, texts), self._pairs.owner)
        sparse = model.config.kind != "clip"
        return Validation(
            Recalls.of(found.text_to_image),
            Recalls.of(found.image_to_text),
            (_active(images), _active(texts)) if sparse else None,
            int((~(images > 0).any(0)).sum()) if sparse else None,
            _alike(images[:ALIKE_SAMPLE]),
        )

    def _all(self, count: int, encode: Callable[[NDArray[np.int64]], torch.Tensor]) -> torch.Tensor:
        parts = [np.arange(at, min(at + BATCH, count)) for at in range(0, count, BATCH)]
        return torch.cat([encode(part).float().cpu() for part in parts])

    def _image(self, model: DualEncoder, places: NDArray[np.int64]) -> torch.Tensor:
        plain, chance = np.zeros(len(places), np.int64), np.zeros(len(places), np.uint64)
        batch = self._photos(places, plain, chance)
        batch = {name: value.to(self._device) for name, value in batch.items()}
        return model.encode_image(image_states_of(model, batch))

    def _text(self, model: DualEncoder, places: NDArray[np.int64], own_only: bool) -> torch.Tensor:
        batch = {name: value.to(self._device) for name, value in self._texts(places).items()}
        states = text_states_of(model, batch)
        return model.encode_text(states, batch["ids"], batch["mask"], own_only)


def _vectors(images: torch.Tensor, texts: torch.Tensor) -> tuple[Any, Any]:
    """As `evaluation.vectors` has them: sparse where few enough are not 0."""
    both = [images.numpy(), texts.numpy()]
    if max((side != 0).mean() for side in both) > DENSE:
        return both[0], both[1]
    from scipy.sparse import csr_array

    return csr_array(both[0]), csr_array(both[1])


def _active(weights: torch.Tensor) -> float:
    return float((weights > 0).sum(1).float().mean())


def _alike(images: torch.Tensor) -> float:
    """Mean cosine of two different photos' vectors; 1 where all are the same."""
    if len(images) < 2:
        return 0.0
    rows = unit(images)
    cosines = rows @ rows.T
    return float((cosines.sum() - cosines.trace()) / (len(rows) * (len(rows) - 1)))


ALL_ALIKE = 0.98
MOST_ACTIVE = 0.5


def collapse(
    active: tuple[float, float] | None,
    outputs: int,
    scale: float,
    alike: float | None = None,
    grown: bool = True,
) -> list[str]:
    """What has gone wrong, each with what helps; an empty list where nothing has.

    active: mean tokens of a photo and of a text; outputs: how many there could be; scale:
    1/temperature; alike: mean cosine of different photos; grown: lambda is at its full height:
    what is not sparse yet will not become so.

    >>> collapse((0.0, 12.0), 30522, 14.3)[0].partition(":")[0]
    'photos have no active tokens left'
    """
    found = []
    for side, name, count in zip(
        ("photos", "texts"), ("image", "text"), active or (), strict=False
    ):
        if count == 0:
            found.append(
                f"{side} have no active tokens left: the FLOPs loss was stronger than the "
                f"contrastive one; lower losses.flops_{name}, or let it grow over more steps "
                "(losses.growth)"
            )
        elif grown and count > MOST_ACTIVE * outputs > 1:
            found.append(
                f"{side} have {count:.0f} of {outputs} tokens active: nothing makes them sparse; "
                f"raise losses.flops_{name}, shorten losses.growth, or set the head's top_k"
            )
    if alike is not None and alike > ALL_ALIKE and (active is None or active[0] > 0):
        found.append(
            f"all photos have nearly the same vector (mean cosine {alike:.3f}): the image side has "
            "collapsed; lower the rate, lengthen the warm-up, or check that captions belong to "
            "their photos"
        )
    if scale > 0.999 * LARGEST_SCALE:
        found.append(
            f"the temperature is at its floor (scale {scale:.0f}): the model is certain of what it "
            "has seen, and may know it by heart; train for fewer steps, on more pairs, or with "
            "more dropout"
        )
    return found

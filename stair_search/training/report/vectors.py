"""Held-out photos and captions as a stage's model gives them, for its report.

A frozen tower sees them once, for all stages and runs: what it says is in the cache of `features`,
where validation has mostly put it. A tower that was trained is asked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stair_search.encoders.torch_model import TorchDenseEncoder, TorchEncoder
from stair_search.errors import UsageError
from stair_search.evaluation.encode import Decode, encode_photos
from stair_search.evaluation.pairs import Pairs
from stair_search.evaluation.protocols import Encoded
from stair_search.tokens import TokenWeights

from ..features import image_states, text_states
from ..recipe import Stage
from ..samples import Batch, Photos, Texts, image_states_of, text_states_of, tokenised
from ..step import is_frozen

BATCH = 64

Tell = Callable[[str], None]


def photo_vectors(
    encoder: TorchEncoder | TorchDenseEncoder,
    photos: Sequence[Path],
    decode: Decode,
    cache: Path | None,
    tell: Tell,
) -> Encoded:
    """What `encode_photos` returns. cache: None where the tower was trained."""
    total = len(photos)
    if cache is None:
        return encode_photos(
            encoder, photos, decode, lambda done: tell(f"{done} of {total} photos seen")
        )

    def opened(photo: Path) -> Any:
        try:
            return decode(photo.read_bytes())
        except Exception as error:  # whatever decode raises, the photo's name is wanted
            raise UsageError(f"{photo}: {error}") from error

    model, device = encoder.states
    states = image_states(model, photos, "plain", cache, opened, tell, device)
    source = Photos(photos, ("plain",), [states], model, opened)

    def part(places: NDArray[np.int64]) -> Any:
        batch = source(places, np.zeros_like(places), places.astype(np.uint64))
        return model.encode_image(image_states_of(model, _on(batch, device)))

    return _joined(encoder, total, part)


def text_vectors(
    encoder: TorchEncoder | TorchDenseEncoder,
    texts: Sequence[str],
    cache: Path | None,
    tell: Tell,
    own_only: bool = False,
    prompted: bool = True,
) -> Encoded:
    """What `encode_texts` returns; with own_only the weights of a text's own tokens alone (Eq. 8).

    prompted: after the model's prompt, see `TextConfig`. cache: None where the tower was trained,
    or is none.
    """
    (model, device), total = encoder.states, len(texts)
    captions, states = tokenised(model, texts, None if prompted else ""), None
    if cache is not None and model.text_tower is not None:
        states = text_states(model, captions.ids, cache, tell, device)
    source = Texts(captions, states)

    def part(places: NDArray[np.int64]) -> Any:
        batch = _on(source(places), device)
        tell(f"{places[-1] + 1} of {total} captions read")
        states = text_states_of(model, batch)
        return model.encode_text(states, batch["ids"], batch["mask"], own_only)

    found = _joined(encoder, total, part)
    if isinstance(found, np.ndarray):
        return found
    return [
        tokens if encoder.knows(text) else TokenWeights.empty()
        for tokens, text in zip(found, texts, strict=True)
    ]


def pairs_vectors(
    encoder: TorchEncoder | TorchDenseEncoder,
    stages: tuple[Stage, ...],
    pairs: Pairs,
    decode: Decode,
    cache: Path,
    tell: Tell,
    own_only: bool = False,
) -> tuple[Encoded, Encoded]:
    """Photos and captions. stages: all of the run, which say what towers it trained. own_only: as
    the stage of this model was trained.
    """
    model, _ = encoder.states
    photos, texts = (
        cache if is_frozen(model, part, stages) else None for part in ("image_tower", "text_tower")
    )
    return (
        photo_vectors(encoder, pairs.photos, decode, photos, tell),
        text_vectors(encoder, pairs.captions, texts, tell, own_only),
    )


def _on(batch: Batch, device: str) -> Batch:
    return {name: value.to(device) for name, value in batch.items()}


def _joined(
    encoder: TorchEncoder | TorchDenseEncoder,
    total: int,
    part: Callable[[NDArray[np.int64]], Any],
) -> Encoded:
    found: list[Any] = []
    with torch.inference_mode():
        for at in range(0, total, BATCH):
            found.append(encoder.finished(part(np.arange(at, min(at + BATCH, total)))))
    if isinstance(encoder, TorchDenseEncoder):
        return np.concatenate(found)
    return [tokens for some in found for tokens in some]

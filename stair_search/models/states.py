"""What a tower says about each position of a photo or text."""

from __future__ import annotations

from typing import NamedTuple

import torch

from stair_search.errors import ModelError


class States(NamedTuple):
    """hidden: float [b, p, h]; mask: bool [b, p], False where a row has no such position."""

    hidden: torch.Tensor
    mask: torch.Tensor


def split_prefix(
    hidden: torch.Tensor, size: int, patch: int | None, name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """States [b, p, h] of a vision transformer as (prefix, map): its last are the patches.

    size: pixels a side of the photos; patch: of a patch, None where unknown: the largest square is
    taken. Raises ModelError where there are fewer states than patches.
    """
    b, p, h = hidden.shape
    side = size // patch if patch else int(p**0.5)
    if side * side > p:
        raise ModelError(
            f"{name} gives {p} states for photos of {size} pixels: fewer than the {side} x {side} "
            f"patches of {patch} pixels"
        )
    prefix, patches = hidden[:, : p - side * side], hidden[:, p - side * side :]
    return prefix, patches.transpose(1, 2).reshape(b, h, side, side)

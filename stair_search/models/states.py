"""What a tower says about each position of a photo or text."""

from __future__ import annotations

from typing import NamedTuple

import torch


class States(NamedTuple):
    """hidden: float [b, p, h]; mask: bool [b, p], False where a row has no such position."""

    hidden: torch.Tensor
    mask: torch.Tensor

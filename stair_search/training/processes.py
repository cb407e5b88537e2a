"""Which of several processes this is: `accelerate launch` tells by the environment."""

from __future__ import annotations

import os


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and talks."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_all() -> None:
    """Returns when every process has come here; at once where there is one."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def best_device() -> str:
    """The device of this process, as accelerate finds it: "cuda:0", "cpu"."""
    from accelerate import PartialState

    return str(PartialState().device)

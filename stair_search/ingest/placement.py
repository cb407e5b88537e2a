"""How a run is spread over Ray's machines: plain arithmetic, before anything is started."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from stair_search.errors import UsageError


class Placement(NamedTuple):
    """Workers of each kind.

    encoders: each takes `gpus` GPUs, or a CPU where that is 0; then it decodes, too. decoders: a
    CPU each. writers: wait for the network and take no CPU; each sends `requests` at once, at most.
    """

    encoders: int
    gpus: float
    decoders: int
    writers: int
    requests: int

    @property
    def preparers(self) -> int:
        """Workers that decode."""
        return self.decoders or self.encoders


def placed(
    free: Mapping[str, float],
    nodes: Sequence[Mapping[str, float]],
    *,
    gpus: float,
    requests: int,
) -> Placement:
    """An encoder for each free GPU (or part of one) and a decoder for each free CPU; without GPUs
    an encoder for each free CPU.

    free: of Ray's resources, by name; nodes: all that each machine has. requests: bulk requests at
    once, over all writers. Raises UsageError with the numbers where it could not be scheduled, and
    would wait for ever.

    >>> placed({"CPU": 8, "GPU": 2}, [{"CPU": 8, "GPU": 2}], gpus=0.5, requests=4)
    Placement(encoders=4, gpus=0.5, decoders=8, writers=1, requests=4)
    """
    whole = sum(node.get("CPU", 0) for node in nodes)
    cpus = int(free.get("CPU", 0))
    if cpus < 1:
        raise UsageError(
            f"--executor ray needs 1 free CPU, and of Ray's {whole:g} are {free.get('CPU', 0):g} "
            f"free: wait, or use --executor local"
        )
    writers = min(len(nodes) or 1, requests)
    each = math.ceil(requests / writers)
    if gpus == 0:
        return Placement(cpus, 0, 0, writers, each)
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise UsageError(f"GPUs for an encoder are a part of one or a whole number, not {gpus:g}")
    # an encoder's GPUs are those of one machine, and a part is of one GPU
    there = (
        int(node.get("GPU", 0)) * int(1 / gpus) if gpus < 1 else int(node.get("GPU", 0) // gpus)
        for node in nodes
    )
    encoders = min(sum(there), int(free.get("GPU", 0) / gpus + 1e-6))  # 0.9 / 0.3 is below 3
    if encoders < 1:
        most = max((node.get("GPU", 0) for node in nodes), default=0)
        raise UsageError(
            f"an encoder takes {gpus:g} GPUs of one machine, and of Ray's "
            f"{sum(node.get('GPU', 0) for node in nodes):g} (at most {most:g} in one) are "
            f"{free.get('GPU', 0):g} free: wait, or name fewer by --num-gpus (0: encode on CPUs)"
        )
    return Placement(encoders, gpus, cpus, writers, each)

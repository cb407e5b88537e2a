"""What Ray is asked for is there, or is refused with the numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from stair_search.errors import UsageError
from stair_search.ingest.placement import Placement, placed

SMALL = {"CPU": 2.0, "memory": 8e9}
LARGE = {"CPU": 8.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("free", "nodes", "gpus", "expected"),
    [
        ({"CPU": 2}, [SMALL], 0, Placement(2, 0, 0, 1, 4)),
        ({"CPU": 3.5}, [SMALL, SMALL], 0, Placement(3, 0, 0, 2, 2)),
        ({"CPU": 12}, [SMALL] * 6, 0, Placement(12, 0, 0, 4, 1)),
        ({"CPU": 8, "GPU": 4}, [LARGE], 1, Placement(4, 1, 8, 1, 4)),
        ({"CPU": 8, "GPU": 3}, [LARGE], 1, Placement(3, 1, 8, 1, 4)),
        ({"CPU": 8, "GPU": 4}, [LARGE], 0.3, Placement(12, 0.3, 8, 1, 4)),
        ({"CPU": 2, "GPU": 2}, [LARGE, SMALL], 2, Placement(1, 2, 2, 2, 2)),
        ({"CPU": 6, "GPU": 3}, [{"CPU": 2, "GPU": 1}] * 3, 1, Placement(3, 1, 6, 3, 2)),
    ],
)
def test_an_encoder_for_what_is_free(
    free: Mapping[str, float], nodes: list[dict[str, float]], gpus: float, expected: Placement
) -> None:
    assert placed(free, nodes, gpus=gpus, requests=4) == expected


@pytest.mark.parametrize(
    ("free", "nodes", "gpus", "said"),
    [
        ({"CPU": 0.5}, [SMALL], 0, r"needs 1 free CPU, and of Ray's 2 are 0\.5 free"),
        ({}, [], 0, "needs 1 free CPU, and of Ray's 0 are 0 free"),
        ({"GPU": 4}, [LARGE], 1, "needs 1 free CPU, and of Ray's 8 are 0 free"),
        ({"CPU": 2}, [SMALL], 1, r"1 GPUs of one machine, and of Ray's 0 \(at most 0 in one\)"),
        ({"CPU": 2, "GPU": 0.4}, [LARGE], 0.5, r"of Ray's 4 \(at most 4 in one\) are 0\.4 free"),
        # each has one, and an encoder cannot take them from two machines
        ({"CPU": 4, "GPU": 2}, [{"CPU": 2, "GPU": 1}] * 2, 2, r"of Ray's 2 \(at most 1 in one\)"),
        ({"CPU": 2, "GPU": 4}, [LARGE], 1.5, r"a part of one or a whole number, not 1\.5"),
        ({"CPU": 2, "GPU": 4}, [LARGE], -1, "a part of one or a whole number, not -1"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_with_the_numbers(
    free: Mapping[str, float], nodes: list[dict[str, float]], gpus: float, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        placed(free, nodes, gpus=gpus, requests=4)

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from stair_search.training.watch import collapse

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("seen", "told", "remedy"),
    [
        ({"active": (0.0, 9.0)}, "photos have no active tokens left", "lower losses.flops_image"),
        ({"active": (9.0, 0.0)}, "texts have no active tokens left", "lower losses.flops_text"),
        ({"active": (900.0, 9.0)}, "photos have 900 of 1000 tokens", "raise losses.flops_image"),
        ({"alike": 0.999}, "all photos have nearly the same vector", "lower the rate"),
        ({"scale": 100.0}, "the temperature is at its floor", "more pairs"),
    ],
)
def test_a_collapse_is_told_with_its_remedy(
    seen: dict[str, object], told: str, remedy: str
) -> None:
    well: dict[str, object] = {"active": (60.0, 9.0), "outputs": 1000, "scale": 20.0, "alike": 0.3}
    assert collapse(**well) == []  # type: ignore[arg-type]
    (found,) = collapse(**well | seen)  # type: ignore[arg-type]
    assert found.startswith(told) and remedy in found


def test_many_tokens_are_no_collapse_while_lambda_grows() -> None:
    assert collapse((900.0, 9.0), 1000, 20.0, grown=False) == []

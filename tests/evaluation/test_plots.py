from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from stair_search.errors import UsageError
from stair_search.evaluation import plots

STAGES = [
    {"stage": "1 masked", "figures": {"R@1 text→image": 20.0, "top-1": 10.0}},
    {
        "stage": "2 frozen",
        "figures": {"R@1 text→image": 24.5, "top-1": 12.0},
        "deviations": {"R@1 text→image": 0.7},
    },
]
LAMBDAS = [
    {"lambda": 1e-2, "image_tokens": 20, "text_tokens": 9, "figures": {"R@1": 18.0}},
    {"lambda": 1e-4, "image_tokens": 400, "text_tokens": 90, "figures": {"R@1": 21.25}},
]


def words(path: Path) -> list[str]:
    return [e.text or "" for e in ElementTree.parse(path).iter() if e.tag.endswith("}text")]


def test_stages_are_bars_with_their_values(tmp_path: Path) -> None:
    plots.stages(STAGES, tmp_path / "stages.svg", "our own runs")
    found = words(tmp_path / "stages.svg")
    assert {"1 masked", "2 frozen", "R@1 text→image", "24.5", "our own runs"} <= set(found)
    plots.stages(STAGES, tmp_path / "again.svg", "our own runs")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "stages.svg").read_bytes()


def test_lambdas_are_two_panels(tmp_path: Path) -> None:
    plots.lambdas(LAMBDAS, tmp_path / "lambda.svg")
    assert {"λ", "active tokens", "R@1", "image", "text", "dense, 512"} <= set(
        words(tmp_path / "lambda.svg")
    )
    with pytest.raises(UsageError, match="λ 0 cannot stand"):
        plots.lambdas([{**LAMBDAS[0], "lambda": 0}], tmp_path / "lambda.svg")


@pytest.mark.slow
def test_clouds_draw_the_stronger_token_larger(tmp_path: Path, package_photos: list[Path]) -> None:
    tokens = {"dog": 2.0, "$5": 1.0, **{f"word{i}": 0.5 for i in range(30)}}
    one = {"caption": "a dog & $1 or $2", "tokens": tokens, "photo": str(package_photos[0])}
    plots.clouds([one, {"caption": "none", "tokens": {}}], tmp_path / "clouds.svg")
    root = ElementTree.parse(tmp_path / "clouds.svg")
    found = {e.text: e.attrib.get("style", "") for e in root.iter() if e.tag.endswith("}text")}
    assert "a dog & $1 or $2" in found and "$5" in found
    assert (
        sum(text is not None and text.startswith("word") for text in found) == plots.MOST_TOKENS - 2
    )
    size = {t: float(s.split("px")[0].rsplit(" ", 1)[1]) for t, s in found.items() if "px" in s}
    assert size["dog"] == pytest.approx(20) and size["$5"] == pytest.approx(13.5)
    plots.clouds([one], tmp_path / "clouds.png")
    with Image.open(tmp_path / "clouds.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 100


@pytest.mark.parametrize(
    ("results", "name", "message"),
    [
        ([], "a.svg", "nothing to draw"),
        (STAGES, "a.pdf", "must end in .png or .svg"),
        ([STAGES[0], {"stage": "2", "figures": {"top-1": 1}}], "a.svg", "lacks the figure"),
    ],
)
def test_what_cannot_be_drawn_is_told(
    tmp_path: Path, results: list[dict[str, object]], name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        plots.stages(results, tmp_path / name)

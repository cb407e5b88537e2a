"""The page of a report: nothing in it runs or is fetched, and what is said is what was measured."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest

from stair_search.training.report import charts
from stair_search.training.report import page as module
from stair_search.training.report.page import Interval, page, verdict

from .made import HOSTILE, interval, made_report, measures

pytestmark = pytest.mark.train

VOID = {"meta", "img", "br"}


class Elements(HTMLParser):
    """Every element with its attributes; fails where what is opened is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_hostile_captions_and_names_are_text() -> None:
    elements = Elements(page(made_report()))
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"script", "link", "iframe", "object", "base", "form", "a"}
    assert not [name for _, attributes in elements.found for name in attributes if name[:2] == "on"]
    shown = HOSTILE.replace("\u202e", "\\u202e")
    assert sum(shown in text for text in elements.texts) >= 3  # title, name, caption
    assert "\u202e" not in "".join(elements.texts)


def test_nothing_is_fetched() -> None:
    report = made_report()
    report = dataclasses.replace(
        report,
        photos=[dataclasses.replace(p, picture="data:image/jpeg;base64,AA") for p in report.photos],
    )
    text = page(report)
    elements = Elements(text)
    sources = [a["src"] for _, a in elements.found if "src" in a]
    assert sources == ["data:image/jpeg;base64,AA"] * len(report.photos)
    assert "url(" not in text and "@import" not in text
    policy = next(a["content"] for _, a in elements.found if a.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;")


def test_the_table_has_what_was_measured_and_dashes_where_nothing_was() -> None:
    text = page(made_report())
    rows = re.findall(r"<tr[^>]*><th scope=\"row\">(.*?)</tr>", text, re.DOTALL)
    measured, dense = rows[2], rows[3]
    assert "36.2<small>33.2–39.2</small>" in measured and "of 30,522" in measured
    assert measured.count("–</td>") == 0
    assert "34.1<small>31.1–37.1</small>" in dense
    assert dense.count("–</td>") == 5  # tokens, words, in use
    assert '<tr class="best"><th scope="row">3-free' in text


def test_a_stage_that_was_not_measured_is_told_apart() -> None:
    report = made_report()
    stages = [dataclasses.replace(stage, measures=None) for stage in report.stages]
    text = page(dataclasses.replace(report, stages=stages))
    assert text.count('<td class="none">–</td>') == 11 * len(stages)


def test_a_report_of_nothing_is_a_page() -> None:
    Elements(page(module.Report("empty", [], [])))


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (36.2, 34.1, "overlap"),
        (36.2, 20.0, "20.0 % there: 16.2 points less."),
        (20.0, 36.2, "36.2 % there: 16.2 points more."),
    ],
)
def test_the_verdict_claims_no_more_than_the_intervals_allow(
    ours: float, theirs: float, said: str
) -> None:
    report = made_report()
    stages = [
        dataclasses.replace(report.stages[2], measures=measures(ours, 90)),
        dataclasses.replace(report.stages[3], measures=measures(theirs)),
    ]
    assert said in verdict(dataclasses.replace(report, stages=stages))[1]


def test_the_dictionary_is_json_without_pictures() -> None:
    told = json.loads(json.dumps(made_report().to_dict(), allow_nan=False))
    assert told["stages"][2]["terms"]["flops_image"] == [[5.0, None]]
    assert told["stages"][0]["measures"]["text_to_image"]["at_1"] == {
        "value": 21.4,
        "low": pytest.approx(18.4),
        "high": pytest.approx(24.4),
    }
    assert "picture" not in told["photos"][0]
    assert interval(1.0) == Interval(1.0, 0.0, 4.0)


# --- charts ---------------------------------------------------------------------------------------


def test_lines_keep_their_ends_and_their_order() -> None:
    points = [(float(x), float(x * x)) for x in range(1000)]
    thinned = charts.thin(points)
    assert thinned[0] == points[0] and thinned[-1] == points[-1]
    assert len(thinned) <= charts.MOST_POINTS and thinned == sorted(thinned)


def test_a_chart_stays_in_its_frame() -> None:
    chart = charts.line_chart(
        "loss", {"a": [(0, -3.2), (10, 5.9)], "b": [(4, 0.0), (5, float("inf"))]}, [(5, "1")], 20
    )
    assert chart is not None
    for line in chart.lines:
        for x, y in (map(float, point.split(",")) for point in line.path.split()):
            assert charts.LEFT <= x <= charts.WIDTH and charts.TOP <= y <= chart.bottom
    assert [line.name for line in chart.lines] == ["a", "b"]
    assert chart.marks[0].at == pytest.approx(charts.LEFT + (320 - 44 - 8) / 4)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e-9, 1e12])
def test_a_flat_line_has_an_axis(value: float) -> None:
    chart = charts.line_chart("flat", {"a": [(0, value), (1, value)]})
    assert chart is not None and len(chart.y) >= 2


def test_no_number_no_chart() -> None:
    assert charts.line_chart("loss", {"a": [(1, float("nan"))]}) is None
    assert charts.histogram("tokens", []) is None


def test_every_value_is_in_one_bar() -> None:
    values = [0, 0, 1, 7, 95, 96, 30_000]
    chart = charts.histogram("tokens", values)
    assert chart is not None
    counts = [int(bar.title.rsplit(" ", 1)[1]) for bar in chart.bars]
    assert sum(counts) == len(values) and len(chart.bars) <= 24
    assert chart.bars[0].title == "0 to 1250 tokens: 6"
    assert max(bar.x + bar.width for bar in chart.bars) <= charts.WIDTH

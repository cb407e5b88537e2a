"""What a report says, as plain data, and its page: one HTML file that needs nothing beside it.

    Report -> to_dict()  what report.json holds, without the pictures
    Report -> page()     report.html; every text from outside is escaped, no script can run

Knows no run, no model and no measure: `runs` puts the data together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from unicodedata import bidirectional, category

from .charts import Chart, Histogram, histogram, line_chart

SHOWN_TOKENS = 12
LARGEST, SMALLEST = 21.0, 11.5
_DIRECTIONS = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])


@dataclass(frozen=True)
class Interval:
    """A measure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Recall:
    """R@1, R@5 and R@10 in percent."""

    at_1: Interval
    at_5: Interval
    at_10: Interval


@dataclass(frozen=True)
class Words:
    """How readable: of how many photos the strongest token, or one of the first ten, is a noun of
    its captions (percent). photos: how many have a noun.
    """

    top_1: Interval
    top_10: Interval
    photos: int


@dataclass(frozen=True)
class Sparsity:
    """Of the tokens that the model can give: how many each photo and each caption has, how many
    are in use by at least one of the photos, and how many there are.
    """

    image: list[int]
    text: list[int]
    in_use: int
    outputs: int


@dataclass(frozen=True)
class Measures:
    """On photos that no training saw. words, sparsity: None for a dense model."""

    photos: int
    captions: int
    text_to_image: Recall
    image_to_text: Recall
    words: Words | None = None
    sparsity: Sparsity | None = None


@dataclass(frozen=True)
class StageReport:
    """A trained model. series: run it belongs to; a run's stages follow each other on one axis.

    terms: for each named loss term the points (step, value); validation: the same of what was
    watched; penalty: the λ of each side at the end; settings: what else is to be told.
    """

    name: str
    series: str
    dense: bool
    steps: int
    seconds: float
    settings: dict[str, str] = field(default_factory=dict)
    penalty: dict[str, float] = field(default_factory=dict)
    terms: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    validation: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    measures: Measures | None = None


@dataclass(frozen=True)
class PhotoReport:
    """A held-out photo. tokens: by stage, strongest first; picture: a data URI, "" for none."""

    name: str
    captions: list[str]
    tokens: dict[str, dict[str, float]]
    picture: str = ""


@dataclass(frozen=True)
class Report:
    """facts: what was trained, in the order in which it is told. next_steps: commands to type."""

    title: str
    facts: list[tuple[str, str]]
    stages: list[StageReport]
    photos: list[PhotoReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    next_steps: list[str] = field(default_factory=list)

    @property
    def best(self) -> StageReport | None:
        """The sparse stage that was trained last, which is the one that is exported."""
        sparse = [stage for stage in self.stages if not stage.dense]
        return sparse[-1] if sparse else None

    @property
    def baseline(self) -> StageReport | None:
        """The dense model beside it."""
        return next((stage for stage in self.stages if stage.dense), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: a loss that was no number is None, pictures are left out."""
        told: dict[str, Any] = _plain(asdict(self))
        for photo in told["photos"]:
            del photo["picture"]
        return told


def page(report: Report) -> str:
    """report.html."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__ or "", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "minutes": minutes,
        "size": size,
        "number": "{:,}".format,
        "visible": visible,
    }
    return environment.get_template("page.html").render(
        report=report,
        verdict=verdict(report),
        losses=_losses(report.stages),
        watched=_watched(report.stages),
        series=_series(report.stages),
        histograms=_histograms(report.stages),
        shown=SHOWN_TOKENS,
    )


def verdict(report: Report) -> list[str]:
    """The result in sentences, no stronger than the intervals allow."""
    best, dense = report.best, report.baseline
    if best is None or best.measures is None:
        return []
    ours = best.measures
    told = [
        f"With a caption as the question, the right photo is first among {ours.photos:,} for "
        f"{ours.text_to_image.at_1.value:.1f} % and in the first ten for "
        f"{ours.text_to_image.at_10.value:.1f} %. Guessing would give "
        f"{_percent(1 / ours.photos)} and {_percent(min(1.0, 10 / ours.photos))}."
    ]
    if dense is not None and dense.measures is not None:
        told.append(_compared(ours.text_to_image.at_1, dense.measures.text_to_image.at_1))
    if ours.sparsity is not None:
        told.append(
            f"A photo has {_mean(ours.sparsity.image):.0f} active tokens and a caption "
            f"{_mean(ours.sparsity.text):.0f}, of {ours.sparsity.outputs:,}."
        )
    if ours.words is not None:
        told.append(
            f"The strongest token of {ours.words.top_1.value:.0f} % of the photos is a noun of "
            f"their captions; {ours.words.top_10.value:.0f} % have one among the first ten."
        )
    return told


def minutes(seconds: float) -> str:
    """A duration for people.

    >>> minutes(4.2), minutes(95), minutes(7200), minutes(100_000)
    ('4 s', '1 min 35 s', '2 h 0 min', '27 h 46 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def visible(text: str) -> str:
    r"""Controls, text-direction marks and stray bytes shown instead of obeyed.

    >>> print(visible("a\u202egpj.exe\udcff"))
    a\u202egpj.exe\udcff
    """
    return "".join(ascii(c)[1:-1] if _obeyed(c) else c for c in " ".join(text.split()))


def size(weight: float, most: float) -> str:
    """Pixels of a token's letters: its weight as a share of the strongest."""
    share = weight / most if most > 0 else 0.0
    return f"{SMALLEST + (LARGEST - SMALLEST) * share**2:.0f}"


def _obeyed(letter: str) -> bool:
    return category(letter) in ("Cc", "Cs") or bidirectional(letter) in _DIRECTIONS


def _compared(ours: Interval, theirs: Interval) -> str:
    difference = ours.value - theirs.value
    how = (
        "The dense model beside it, of the same data and steps, which taught it in its last stage, "
        f"has {theirs.value:.1f} % there"
    )
    if ours.low > theirs.high or ours.high < theirs.low:
        return f"{how}: {abs(difference):.1f} points {'less' if difference > 0 else 'more'}."
    return f"{how}; the two intervals overlap, so that the order of the two is not certain."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0


def _series(stages: Sequence[StageReport]) -> list[str]:
    return list(dict.fromkeys(stage.series for stage in stages))


def _losses(stages: Sequence[StageReport]) -> list[Chart]:
    names = dict.fromkeys(name for stage in stages for name in stage.terms)
    return _charts(stages, list(names), "terms")


def _watched(stages: Sequence[StageReport]) -> list[Chart]:
    names = dict.fromkeys(name for stage in stages for name in stage.validation)
    return _charts(stages, list(names), "validation")


def _charts(stages: Sequence[StageReport], names: Sequence[str], kind: str) -> list[Chart]:
    """A chart a name; the stages of a series one after the other."""
    found = []
    lengths = [
        sum(stage.steps for stage in stages if stage.series == name) for name in _series(stages)
    ]
    for name in names:
        lines: dict[str, list[tuple[float, float]]] = {}
        marks: list[tuple[float, str]] = []
        for series in _series(stages):
            start = 0.0
            for stage in (stage for stage in stages if stage.series == series):
                points = getattr(stage, kind).get(name, [])
                lines.setdefault(series, []).extend((start + x, y) for x, y in points)
                start += stage.steps
                marks.append((start, stage.name))
        if chart := line_chart(name, lines, marks, max(lengths)):
            found.append(chart)
    return found


def _histograms(stages: Sequence[StageReport]) -> list[Histogram]:
    found = []
    for stage in stages:
        if stage.measures is not None and stage.measures.sparsity is not None:
            counts = stage.measures.sparsity.image
            chart = histogram(f"{stage.name}: {_mean(counts):.0f} tokens a photo", counts)
            found += [chart] if chart else []
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value

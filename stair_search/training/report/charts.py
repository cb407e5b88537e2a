"""Numbers to the coordinates of small charts; the page that shows them draws the SVG.

Draws nothing and knows no colours: those are the page's, so that one chart is readable on light
and dark paper alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 22
MOST_POINTS = 160
MOST_BINS = 24

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    """at: pixels from the left or from the top; text: what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """name: its series; path: the `points` of an SVG polyline, which has at least one."""

    name: str
    path: str
    last: tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """marks: where on the x axis something ends, a stage for instance."""

    title: str
    lines: list[Line]
    x: list[Tick]
    y: list[Tick]
    marks: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Histogram:
    title: str
    bars: list[Bar]
    x: list[Tick]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    bottom: int = HEIGHT - BOTTOM


def line_chart(
    title: str,
    series: Mapping[str, Points],
    marks: Iterable[tuple[float, str]] = (),
    end: float = 0.0,
) -> Chart | None:
    """Series over steps, each with its own points; None where no point is a finite number.

    end: up to where the x axis goes at least, so that charts beside each other share it.
    """
    kept = {name: thin([p for p in points if _finite(p)]) for name, points in series.items()}
    kept = {name: points for name, points in kept.items() if points}
    if not kept:
        return None
    every = [point for points in kept.values() for point in points]
    end = max(end, max(x for x, _ in every)) or 1.0
    x_ticks = _ticks(0.0, end)
    y_ticks = _ticks(min(y for _, y in every), max(y for _, y in every))
    x_span, y_span = (0.0, end), (y_ticks[0], y_ticks[-1])

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - x_span[0]) / (x_span[1] - x_span[0])

    def down(y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (y - y_span[0]) / (y_span[1] - y_span[0]))

    lines = []
    for name, points in kept.items():
        path = [(round(across(x), 1), round(down(y), 1)) for x, y in points]
        lines.append(Line(name, " ".join(f"{x},{y}" for x, y in path), path[-1]))
    return Chart(
        title,
        lines,
        [Tick(round(across(x), 1), short(x)) for x in x_ticks if x <= x_span[1]],
        [Tick(round(down(y), 1), short(y)) for y in y_ticks],
        [Tick(round(across(x), 1), name) for x, name in marks if 0 < x < x_span[1]],
    )


def histogram(title: str, values: Sequence[int]) -> Histogram | None:
    """How many of the whole numbers fall where; bins of one width from zero to the largest."""
    if not values:
        return None
    most = max(max(values), 1)
    width = max(1, math.ceil((most + 1) / MOST_BINS))
    counts = [0] * (most // width + 1)
    for value in values:
        counts[value // width] += 1
    room, tallest = WIDTH - LEFT - RIGHT, max(counts)
    step = room / len(counts)
    bars = []
    for place, count in enumerate(counts):
        tall = (HEIGHT - TOP - BOTTOM) * count / tallest
        first, last = place * width, (place + 1) * width - 1
        name = str(first) if width == 1 else f"{first} to {last}"
        bars.append(
            Bar(
                round(LEFT + place * step, 1),
                round(HEIGHT - BOTTOM - tall, 1),
                round(max(step - 1, 1), 1),
                round(tall, 1),
                f"{name} tokens: {count}",
            )
        )
    span = len(counts) * width
    ticks = [
        Tick(round(LEFT + room * x / span, 1), short(x))
        for x in _ticks(0.0, float(span))
        if x <= span
    ]
    return Histogram(title, bars, ticks)


def thin(points: Points) -> list[tuple[float, float]]:
    """At most MOST_POINTS, each the mean of its neighbours: a loss is noisy, a page is small.

    The first and the last stay where they are.
    """
    if len(points) <= MOST_POINTS:
        return list(points)
    inner, size = points[1:-1], math.ceil((len(points) - 2) / (MOST_POINTS - 2))
    groups = [inner[at : at + size] for at in range(0, len(inner), size)]
    means = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
    return [points[0], *means, points[-1]]


def short(value: float) -> str:
    """A tick's text.

    >>> [short(v) for v in (0, 0.0005, 0.25, 12, 1500, 300_000)]
    ['0', '0.0005', '0.25', '12', '1.5k', '300k']
    """
    if abs(value) >= 1000:
        return f"{value / 1000:g}k"
    return f"{float(f'{value:.3g}'):g}"


def _finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from below `low` to above `high`, at least two."""
    from matplotlib.ticker import MaxNLocator

    if high - low < 1e-9 * max(abs(low), abs(high), 1e-9):
        low, high = low - max(abs(low), 1e-3) / 2, high + max(abs(high), 1e-3) / 2
    return [float(tick) for tick in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)]

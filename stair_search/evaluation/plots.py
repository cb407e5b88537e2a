"""The STAIR paper's figures from plain data: stages (7), λ (8), token clouds (4); PNG or SVG.

Every function takes a list of dicts, as they lie in a JSON file of results, and draws one file
whose name's end says the format. Matplotlib without pyplot: no window, no global state. The same
data give the same SVG, byte for byte.

    stages    [{"stage": "1", "figures": {"COCO R@1": 31.2}, "deviations": {"COCO R@1": 0.4}}, …]
    lambdas   [{"lambda": 1e-3, "image_tokens": 81, "text_tokens": 30, "figures": {…},
                "deviations": {…}}, …]
    clouds    [{"caption": "a dog", "tokens": {"dog": 1.5, "sand": 0.8}, "photo": "dog.jpg"}, …]

`deviations` (over seeds; error bars) and `photo` can be left out.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stair_search.errors import UsageError

COLOURS = ("#1f4e79", "#c8553d", "#588157", "#8d6a9f", "#b08900", "#4f9da6")
MARKERS = "osD^vP"
CELL = 3.4  # inches that a cloud is wide
MOST_TOKENS = 16
"""Of a cloud, as in the paper."""

COLUMNS = 3  # clouds side by side
DENSE = 512
"""Dimensions of the paper's dense model, a line in the panel of active tokens."""

Result = Mapping[str, Any]


def stages(results: Sequence[Result], path: Path, title: str = "") -> None:
    """Figure 7: a group of bars a figure, a bar a stage. Raises UsageError."""
    names = _names(results, path)
    figure = _figure(1.6 + 1.4 * len(names), 3.4)
    axes = figure.add_subplot()
    width = 0.8 / len(results)
    for at, result in enumerate(results):
        places = [i - 0.4 + (at + 0.5) * width for i in range(len(names))]
        values = [result["figures"][name] for name in names]
        bars = axes.bar(
            places,
            values,
            width,
            label=str(result["stage"]),
            color=COLOURS[at % len(COLOURS)],
            yerr=_deviations(result, names),
            capsize=2,
        )
        axes.bar_label(bars, fmt="%.1f", fontsize=7, padding=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("percent")
    axes.margins(y=0.25)  # the legend stands above the bars
    axes.set_title(title)
    axes.legend(frameon=False, fontsize=8, ncols=len(results), loc="upper left")
    _save(figure, path)


def lambdas(results: Sequence[Result], path: Path) -> None:
    """Figure 8: (a) active tokens and (b) figures against λ. Raises UsageError."""
    names = _names(results, path)
    results = sorted(results, key=lambda result: float(result["lambda"]))
    x = [float(result["lambda"]) for result in results]
    if x[0] <= 0:
        raise UsageError(f"λ {x[0]:g} cannot stand on a logarithmic axis; leave that result out")
    figure = _figure(8.0, 3.4)
    left, right = figure.subplots(1, 2)
    for at, (key, label) in enumerate((("image_tokens", "image"), ("text_tokens", "text"))):
        values = [result[key] for result in results]
        left.plot(x, values, marker=MARKERS[at], color=COLOURS[at], label=label)
    left.axhline(DENSE, color="grey", linestyle="--", linewidth=1, label=f"dense, {DENSE}")
    left.set(xscale="log", yscale="log", xlabel="λ", ylabel="active tokens", title="(a)")
    for at, name in enumerate(names):
        right.errorbar(
            x,
            [result["figures"][name] for result in results],
            yerr=[_deviations(result, [name])[0] for result in results],
            marker=MARKERS[at % len(MARKERS)],
            color=COLOURS[at % len(COLOURS)],
            capsize=2,
            label=name,
        )
    right.set(xscale="log", xlabel="λ", ylabel="percent", title="(b)")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def clouds(results: Sequence[Result], path: Path) -> None:
    """Figure 4: photos with their strongest tokens, the size of a word as its weight.

    Raises UsageError.
    """
    if not results:
        raise UsageError(f"nothing to draw in {path}")
    columns = min(COLUMNS, len(results))
    rows = -(-len(results) // columns)
    figure = _figure(CELL * columns, CELL * 1.2 * rows, tight=False)
    wide, high = 1 / columns, 1 / rows
    for at, result in enumerate(results):
        row, column = divmod(at, columns)
        left, low = column * wide, 1 - (row + 1) * high
        # from the top: a caption of two lines, the photo, the words
        top = figure.add_axes((left, low + 0.46 * high, wide, 0.41 * high))
        bottom = figure.add_axes((left + 0.04 * wide, low, 0.92 * wide, 0.44 * high))
        for axes in (top, bottom):
            axes.axis("off")
        if result.get("photo"):
            top.imshow(_photo(Path(result["photo"])))
        caption = textwrap.fill(str(result["caption"]), 48, max_lines=2, placeholder=" …")
        figure.text(left + wide / 2, low + 0.88 * high, _plain(caption), fontsize=8, ha="center")
        _cloud(bottom, result["tokens"])
    _save(figure, path)


def _cloud(axes: Any, tokens: Mapping[str, float]) -> None:
    """Words in centred lines, strongest first; in units of the axes, 0 to 1."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    strongest = sorted(tokens.items(), key=lambda item: (-item[1], item[0]))[:MOST_TOKENS]
    inches = axes.get_position().width * axes.figure.get_figwidth()
    points = 72 * inches
    lines: list[list[tuple[str, float, float, float]]] = [[]]
    used = 0.0
    for token, weight in strongest:
        share = weight / strongest[0][1]
        size = 7 + 13 * share
        box = TextPath((0, 0), token, size=size, prop=FontProperties()).get_extents()
        wide = float(box.x1) + 0.4 * size
        if lines[-1] and used + wide > points:
            lines.append([])
            used = 0.0
        lines[-1].append((token, size, wide, share))
        used += wide
    height = 72 * axes.get_position().height * axes.figure.get_figheight()
    y = height
    for line in lines:
        if not line:
            continue
        y -= 1.25 * max(size for _, size, _, _ in line)
        x = (points - sum(wide for _, _, wide, _ in line)) / 2
        for token, size, wide, share in line:
            axes.text(
                x / points,
                y / height,
                _plain(token),
                fontsize=size,
                color=COLOURS[0],
                alpha=0.45 + 0.55 * share,
                transform=axes.transAxes,
            )
            x += wide


def _photo(path: Path) -> Any:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as photo:
            return ImageOps.exif_transpose(photo).convert("RGB")
    except OSError as error:
        raise UsageError(f"{path} cannot be drawn: {error}") from None


def _plain(text: str) -> str:
    """Without the meaning that Matplotlib gives to the dollar sign."""
    return text.replace("$", r"\$")


def _names(results: Sequence[Result], path: Path) -> list[str]:
    if not results:
        raise UsageError(f"nothing to draw in {path}")
    names = list(results[0]["figures"])
    for result in results:
        missing = [name for name in names if name not in result["figures"]]
        if missing or not names:
            raise UsageError(f"a result for {path} lacks the figure {missing or 'of any name'}")
    return names


def _deviations(result: Result, names: Sequence[str]) -> list[float]:
    """An error bar a figure; none (not a number) where the result has no deviation of it."""
    found = result.get("deviations") or {}
    return [float(found.get(name, math.nan)) for name in names]


def _figure(width: float, height: float, tight: bool = True) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="tight" if tight else None)


def _save(figure: Any, path: Path) -> None:
    import matplotlib

    suffix = path.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise UsageError(f"{path}: the name must end in .png or .svg")
    # a fixed salt and no date: the same data, the same file
    with matplotlib.rc_context({"svg.hashsalt": "stair-search", "svg.fonttype": "none"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if suffix == ".svg" else None)

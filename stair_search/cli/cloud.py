"""Tokens as a picture: words sized by their weight, the strongest first, in centred lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

WIDTH = 900
MARGIN = 24
LARGEST = 56.0
SMALLEST = 13.0
GAP = 0.35  # between words, as a share of the larger one's size
TITLE = 16.0
MOST = 80
STRONG, WEAK = (0x1F, 0x4E, 0x79), (0x9F, 0xB6, 0xC9)

Measure = Callable[[str, float], float]


class Word(NamedTuple):
    """A placed word: left end and baseline, in pixels. share: of the largest weight, 0 to 1."""

    text: str
    size: float
    x: float
    y: float
    share: float


def draw(path: Path, clouds: Sequence[tuple[str, Mapping[str, float]]]) -> None:
    """Draws titled clouds one below the other; the name's end says whether as SVG or PNG."""
    if path.suffix.lower() == ".svg":
        path.write_text(svg(clouds), "utf-8")
    else:
        _png(path, clouds)


def svg(clouds: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """The picture as a document of its own, without scripts or links."""
    words, height = _place(clouds, lambda text, size: 0.56 * size * len(text))
    shapes = "\n".join(
        f'<text x="{w.x:.1f}" y="{w.y:.1f}" font-size="{w.size:.1f}" fill="#{_hex(w.share)}">'
        f"{escape(w.text)}</text>"
        for w in words
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="Helvetica, Arial, sans-serif">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{shapes}\n</svg>\n'
    )


def _png(path: Path, clouds: Sequence[tuple[str, Mapping[str, float]]]) -> None:
    from PIL import Image, ImageDraw

    words, height = _place(clouds, lambda text, size: _font(size).getlength(text))
    picture = Image.new("RGB", (WIDTH, int(height)), "white")
    pen = ImageDraw.Draw(picture)
    for w in words:
        # older Pillow has no baseline anchor for its bitmap font, which it uses without FreeType
        pen.text((w.x, w.y), w.text, _colour(w.share), _font(w.size), anchor="ls")
    picture.save(path, "PNG")


def _font(size: float) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _place(
    clouds: Iterable[tuple[str, Mapping[str, float]]], measure: Measure
) -> tuple[list[Word], float]:
    """Every word of all clouds, and the height that they take."""
    placed: list[Word] = []
    top = float(MARGIN)
    for title, tokens in clouds:
        placed.append(Word(title, TITLE, MARGIN, top + TITLE, 1.0))
        top += 2 * TITLE
        for line in _lines(tokens, measure):
            size = max(word.size for word in line)
            top += 1.15 * size
            shift = (WIDTH - 2 * MARGIN - _end(line[-1], measure)) / 2
            placed += [w._replace(x=MARGIN + shift + w.x, y=top) for w in line]
        top += MARGIN
    return placed, top


def _lines(tokens: Mapping[str, float], measure: Measure) -> Iterable[list[Word]]:
    strongest = sorted(tokens.items(), key=lambda item: -item[1])[:MOST]
    line: list[Word] = []
    for token, weight in strongest:
        share = weight / strongest[0][1]
        size = SMALLEST + (LARGEST - SMALLEST) * share
        word = Word(token, size, 0.0, 0.0, share)
        if line:
            word = word._replace(x=_end(line[-1], measure) + GAP * line[-1].size)
            if _end(word, measure) > WIDTH - 2 * MARGIN:
                yield line
                line, word = [], word._replace(x=0.0)
        line.append(word)
    if line:
        yield line


def _end(word: Word, measure: Measure) -> float:
    return word.x + measure(word.text, word.size)


def _colour(share: float) -> tuple[int, int, int]:
    r, g, b = (
        round(weak + share * (strong - weak)) for strong, weak in zip(STRONG, WEAK, strict=True)
    )
    return r, g, b


def _hex(share: float) -> str:
    return bytes(_colour(share)).hex()

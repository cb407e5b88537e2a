"""The demo's page: hits with their reasons, in one HTML file that needs nothing beside it.

Whatever comes from photos (names, captions, tokens) is escaped, and the page's own policy forbids
scripts and anything from elsewhere.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from .text import printable

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..queries import Reason

THUMBNAIL = 360
BARS = 5
CLOUD = 14
LARGEST, SMALLEST = 25.0, 12.0


class Shot(NamedTuple):
    """A hit as the page shows it. image: a data URI."""

    name: str
    caption: str
    image: str
    score: float
    why: Sequence[Reason]


class Answer(NamedTuple):
    """A question with its hits. command: how to ask it in a shell. title: words, or what else."""

    title: str
    command: str
    hits: Sequence[Shot]


class Photo(NamedTuple):
    """A photo with its tokens, strongest first."""

    name: str
    image: str
    tokens: Mapping[str, float]


def page(lead: str, answers: Iterable[Answer], photos: Iterable[Photo], footer: str) -> str:
    """The whole page. lead, footer: text."""
    template = files(__package__).joinpath("demo_page.html").read_text("utf-8")
    return Template(template).substitute(
        lead=_text(lead),
        questions="\n".join(map(_answer, answers)),
        photos="\n".join(map(_photo, photos)),
        footer=_text(footer),
    )


def thumbnail(photo: Image) -> str:
    """A small JPEG as a data URI."""
    small = photo.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    file = BytesIO()
    small.save(file, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _answer(answer: Answer) -> str:
    # one scale for all hits of a question, so that a weak hit looks weak
    most = max((reason.score for hit in answer.hits for reason in hit.why), default=1.0)
    hits = (
        "\n".join(_card(hit, most) for hit in answer.hits)
        or '<p class="none">No photo matches.</p>'
    )
    return (
        f"<section>\n<h2>{_text(answer.title)}</h2>\n"
        f'<p class="how"><code>{_text(answer.command)}</code></p>\n'
        f'<div class="hits">\n{hits}\n</div>\n</section>'
    )


def _card(hit: Shot, most: float) -> str:
    strongest = sorted(hit.why, key=lambda reason: -reason.score)
    bars = "".join(_bar(reason, most) for reason in strongest[:BARS])
    rest = strongest[BARS:]
    more = (
        f'<p class="rest">and {len(rest)} more, {sum(r.score for r in rest):.2f} together</p>'
        if rest
        else ""
    )
    caption = f'<p class="caption">{_text(hit.caption)}</p>' if hit.caption else ""
    return (
        f'<article class="card"><img src="{escape(hit.image)}" alt="">'
        f'<div class="body"><div class="head"><span class="name" title="{_text(hit.name)}">'
        f'{_text(hit.name)}</span><span class="score">{hit.score:.2f}</span></div>'
        f'{caption}<ul class="why">{bars}</ul>{more}</div></article>'
    )


def _bar(reason: Reason, most: float) -> str:
    kind = ' class="of-image"' if reason.part == "image" else ""
    share = 100 * reason.score / most
    return (
        f'<li{kind} title="{_text(reason.part)}"><span class="token">{_text(reason.token)}</span>'
        f'<span class="track"><span class="fill" style="width:{share:.0f}%"></span></span>'
        f'<span class="number">{reason.score:.2f}</span></li>'
    )


def _photo(photo: Photo) -> str:
    strongest = list(photo.tokens.items())[:CLOUD]
    words = "".join(_word(token, weight / strongest[0][1]) for token, weight in strongest)
    return (
        f'<figure class="photo" style="margin:0" title="{_text(photo.name)}">'
        f'<img src="{escape(photo.image)}" alt="">'
        f'<figcaption class="cloud">{words or "no token"}</figcaption></figure>'
    )


def _word(token: str, share: float) -> str:
    size = SMALLEST + (LARGEST - SMALLEST) * share**2
    return (
        f'<span style="font-size:{size:.0f}px;opacity:{0.45 + 0.55 * share:.2f}">'
        f"{_text(token)}</span> "
    )


def _text(value: str) -> str:
    """Safe inside the page, in an attribute too."""
    return escape(printable(value))

"""`stair-search demo`: a first look at real photos, in the terminal and as a page."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from .command import Command, debug_option, model_option
from .output import note
from .places import path_of, shown

if TYPE_CHECKING:
    from ..engines.base import Engine
    from .demo_page import Answer
    from .questions import Asked

EXAMPLES = """
stair-search demo
stair-search demo ~/Pictures --out /tmp/first-look --open
"""

# Folders of photos inside of packages, and the names of those that are worth a look.
PACKAGED = {
    "interior_photos/images": "*",
    "skimage/data": "astronaut camera chelsea coffee coins motorcycle_left rocket",
    "sklearn/datasets/images": "china flower",
}
CARDS = 4
MOST_PHOTOS = 60


@click.command("demo", cls=Command, examples=EXAMPLES)
@click.argument("photos", required=False, type=click.Path(exists=True))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("stair-search-demo"),
    show_default=True,
    help="Folder of the index and the page.",
)
@model_option("The model that looks at the photos.")
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@debug_option
def command(photos: str | None, out: Path, model: str, show: bool) -> None:
    """Take a first look at real photos.

    Puts them into a small index, asks a few questions, and leaves a page of the hits. PHOTOS is
    a folder of yours. Without it the photos are some that come inside of packages.
    """
    from ..engines import connect
    from ..ingest import JobSettings, run
    from . import demo_questions
    from .demo_page import Photo, page
    from .ingest import lines
    from .progress import ProgressLine

    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    url, index = f"sqlite:{out / 'stair.db'}", _index_name(photos)
    sources = (photos,) if photos else tuple(map(str, packaged()))
    job = JobSettings(
        sources=sources, url=url, index=index, model=model, folder=out / f"job-{index}"
    )
    engine = connect(url)
    with ProgressLine() as progress:
        report = run(job, engine, progress=progress.of_ingest)
    for line in lines(report):
        note(line)
    if not report.seen:
        raise UsageError(f"{photos or 'the packages'}: no photo is there")
    held = dict(_held(engine, index))
    if not held:
        raise UsageError(f"{photos or 'the packages'}: no photo could be read, see {report.job}")
    questions = (
        list(demo_questions.of_photos(list(held.values())))
        if photos
        else demo_questions.OF_PACKAGES
    )
    answers = [
        _answer(engine, url, index, replace(question, model=model)) for question in questions
    ]
    seconds = time.monotonic() - started
    path = out / f"{index}.html"
    seen = [
        Photo(_name(uri), _thumbnail(uri), tokens)
        for uri, tokens in islice(held.items(), MOST_PHOTOS)
    ]
    text = page(_lead(len(held), photos), answers, seen, _footer(url, index, seconds))
    path.write_text(text, "utf-8")
    engine.close()
    click.echo(f"\nThe page of these hits: {path.absolute()}")
    if show:
        click.launch(str(path.absolute()))


def packaged() -> Iterator[Path]:
    """Photos inside of installed packages, which are found without being imported."""
    found = False
    for place, names in PACKAGED.items():
        package, _, inside = place.partition("/")
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for path in sorted((Path(spec.origin).parent / inside).glob("*.[jp][pn]g")):
            if names == "*" or path.stem in names.split():
                found = True
                yield path
    if not found:
        raise UsageError(
            "no package with photos is installed: pip install 'stair-search[demo]', or name a "
            "folder of yours: stair-search demo ~/Pictures"
        )


def _index_name(photos: str | None) -> str:
    """Each folder of photos has an index of its own, so that a second demo shows that one alone."""
    if photos is None:
        return "demo"
    return f"demo-{hashlib.sha256(str(Path(photos).resolve()).encode()).hexdigest()[:6]}"


def _held(engine: Engine, index: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Each photo's URI and its tokens, the strongest first."""
    from ..fields import Fields
    from ..queries.reasons import stored_weights
    from ..vocabulary import unescape

    fields = Fields()
    for _, source in engine.scan(index, [fields.image, fields.token]):
        weights = sorted(stored_weights(source[fields.token]).items(), key=lambda item: -item[1])
        yield source[fields.image], {unescape(name): weight for name, weight in weights}


def _answer(engine: Engine, url: str, index: str, question: Asked) -> Answer:
    """Asks, prints the hits, and gives them to the page."""
    from . import demo_questions
    from .demo_page import Answer, Shot
    from .hits import lines
    from .questions import build

    built = build(question, engine, index)
    found = engine.search(index, built.query, CARDS)
    command = demo_questions.command(question, url, index)
    click.echo(f"\n$ {command}")
    for line in lines(found, built.fields):
        click.echo(line)
    shots = [
        Shot(
            _name(hit.source[built.fields.image]),
            str(hit.source.get(built.fields.caption) or ""),
            _thumbnail(hit.source[built.fields.image]),
            hit.score,
            hit.why,
        )
        for hit in found.hits
    ]
    return Answer(demo_questions.title(question), command, shots)


def _name(uri: str) -> str:
    return PurePath(shown(uri)).name


@cache
def _thumbnail(uri: str) -> str:
    """Empty where the photo has gone since it was indexed."""
    from ..ingest.decode import decode
    from ..ingest.photo import PhotoError, Place
    from ..ingest.reading.local import read
    from .demo_page import thumbnail

    path = path_of(uri)
    try:
        return thumbnail(decode(read(Place(path)).data)) if path else ""
    except PhotoError:
        return ""


def _lead(photos: int, folder: str | None) -> str:
    whose = f"of {folder}" if folder else "that come inside of Python packages"
    return (
        f"A small model looked at {photos} photos {whose} and wrote down, for each, a few dozen "
        "words with weights. A question becomes weighted words too, and the search engine adds up "
        "the products of those that both hold. So each score is a sum that you can read: the bars "
        "are its parts."
    )


def _footer(url: str, index: str, seconds: float) -> str:
    return (
        f"Made by stair-search in {seconds:.0f} s, on this machine's CPU and without a network. "
        f"Ask it yourself: stair-search search YOUR WORDS --url {url} --index {index}"
    )

"""`stair-search search`: hits, each with its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import click

from ..errors import UsageError
from ..queries import RRF, Bool, Hybrid, Normalised, Search
from .clauses import facet
from .command import Command, debug_option, utf8
from .destination import Destination, destination_options
from .hits import as_dict, lines
from .output import Format, emit, format_option, note, to_json
from .policies import facets_allowed
from .questions import Asked, build, question_options

if TYPE_CHECKING:
    from ..engines import Engine, Hits

Fuse = Literal["sum", "rrf", "min_max", "l2"]

EXAMPLES = """
stair-search search dog on the beach
stair-search search "dog on the beach" --without person:0.3 --size 20
stair-search search --image my-dog.jpg --require ball
stair-search search '2:"sand dunes" + ./ref.jpg - person without:leash caption:(sunset OR dusk)^2'
stair-search search bus --match "caption:red bus^2" --filter licence=cc0 --format json
stair-search search --like holidays/0042.jpg --filter licence=cc0
stair-search search dog --facet stair_tokens:20 --facet licence --from 10
stair-search search bus --url https://search.example.org:9200 --show-query > query.json
"""


@click.command("search", cls=Command, examples=EXAMPLES)
@question_options
@click.option(
    "--size",
    type=click.IntRange(1, 10_000),
    default=10,
    show_default=True,
    metavar="N",
    help="Number of hits.",
)
@click.option(
    "--from",
    "start",
    type=click.IntRange(0, 10_000),
    default=0,
    metavar="N",
    help="Leave out the first N hits.",
)
@click.option("--min-score", type=float, metavar="X", help="Only hits that score X or more.")
@click.option(
    "--facet",
    "facets",
    callback=utf8,
    multiple=True,
    metavar="FIELD[:N]",
    help="Count the N most frequent values of a field among all hits (10).",
)
@click.option(
    "--highlight",
    callback=utf8,
    multiple=True,
    metavar="FIELD",
    help="Show a text field with the words that were found in <em>.",
)
@click.option(
    "--fuse",
    type=click.Choice(get_args(Fuse)),
    default="sum",
    show_default=True,
    help="How words, photo and text are made one list: by their scores, by ranks, or by scores on "
    "one scale. Beside the last three there are no facets, highlights and least scores.",
)
@click.option("--show-query", is_flag=True, help="Print the engine's query instead of hits.")
@destination_options
@format_option
@debug_option
def command(
    asked: Asked,
    destination: Destination,
    size: int,
    start: int,
    min_score: float | None,
    facets: tuple[str, ...],
    highlight: tuple[str, ...],
    fuse: Fuse,
    show_query: bool,
    format: Format,
) -> None:
    """Find photos by words, by a photo or by their text.

    QUESTION is plain words; weights, signs, photos and clauses may stand among them
    (docs/grammar.md), and the options beside it or alone. Each hit says which tokens it shares
    with the question and what each adds to its score.
    """
    with destination.open() as engine:
        question = build(asked, engine, destination.index)
        search = Search(
            question.query,
            size,
            start,
            min_score,
            facets=tuple(map(facet, facets)),
            highlight=highlight,
        )
        beside = {
            "--show-query": show_query,
            "--min-score": min_score is not None,
            "--facet": facets,
            "--highlight": highlight,
        }
        if fuse != "sum" and (clashing := [name for name, given in beside.items() if given]):
            raise UsageError(
                f"--fuse {fuse} makes one list of several and tells of its hits alone: leave out "
                f"{', '.join(clashing)}"
            )
        if show_query:
            body = engine.body(search, index=destination.index)
            click.echo(to_json(body, indent=2))
            note(_how_to_send(engine.info.product, engine.info.url, destination.index))
            return
        found = _found(engine, destination.index, search, question.query, fuse)
        found = facets_allowed(found, question.query, question.fields)
    emit(format, as_dict(found), lambda: lines(found, question.fields, start), rows="hits")
    if not found.hits:
        note("no hits")


def _found(engine: Engine, index: str, search: Search, asked: Bool, fuse: Fuse) -> Hits:
    if fuse == "sum":
        return engine.search(index, search)
    from ..engines.hybrid import search_hybrid

    by = RRF() if fuse == "rrf" else Normalised(fuse)
    last = search.start + search.size
    hybrid = Hybrid.of_question(asked, by, depth=max(100, last))
    found = search_hybrid(engine, index, hybrid, last)
    return found._replace(hits=found.hits[search.start :])


def _how_to_send(product: str, url: str, index: str) -> str:
    if product == "sqlite":
        return "SQLite takes no such body; this is what OpenSearch would be sent"
    return f"send it: curl -H 'content-type: application/json' {url}/{index}/_search -d @FILE"

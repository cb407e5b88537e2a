"""`stair-search explain`: why a document has its score, or why it was not found."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..engines.explain import Explanation
from .command import Command, debug_option, utf8
from .destination import Destination, destination_options
from .hits import reasons
from .output import Format, columns, emit, format_option
from .places import document_of
from .questions import Asked, build, question_options
from .text import one_line

EXAMPLES = """
stair-search explain dog on the beach --id holidays/0042.jpg
stair-search explain "dog on the beach" --without person:0.3 --id holidays/0042.jpg --format json
"""


MOST_LACKING = 12


@click.command("explain", cls=Command, examples=EXAMPLES)
@question_options
@click.option(
    "--id",
    "id",
    callback=utf8,
    required=True,
    metavar="ID",
    help="The document: its id, or the path of its photo.",
)
@destination_options
@format_option
@debug_option
def command(asked: Asked, destination: Destination, id: str, format: Format) -> None:
    """Say why a photo is a hit, or why it is none.

    Takes the question and rules of `search`. Tells what each token adds, which tokens of the
    question the document lacks, and every rule that shuts it out.
    """
    from ..engines.explain import explain

    with destination.open() as engine:
        question = build(asked, engine, destination.index)
        document = document_of(engine, destination.index, id)
        told = explain(engine, destination.index, question.query, document)
    emit(format, told._asdict() | {"why": reasons(told.why)}, lambda: _lines(told))


def _lines(told: Explanation) -> Iterator[str]:
    yield f"matched, score {told.score:.4f}" if told.matched else "not matched"
    for rule in told.excluded_by:
        yield f"excluded by: {one_line(rule)}"
    if told.why:
        rows = [("part", "token", "question", "image", "score")]
        for reason in told.why:
            image = "" if reason.image is None else f"{reason.image:.4f}"
            rows.append(
                (
                    one_line(reason.part),
                    one_line(reason.token),
                    f"{reason.query:.4f}",
                    image,
                    f"{reason.score:.4f}",
                )
            )
        yield from columns(rows)
    if told.lacks:
        more = f" and {len(told.lacks) - MOST_LACKING} more" * (len(told.lacks) > MOST_LACKING)
        yield f"lacks: {', '.join(map(one_line, told.lacks[:MOST_LACKING]))}{more}"

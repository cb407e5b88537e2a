"""`stair-search index create`: an empty index, or the body that makes it."""

from __future__ import annotations

import click

from ...errors import UsageError
from ...fields import Fields
from ..command import Command, debug_option, utf8
from ..destination import Destination, destination_options
from ..field_options import field_options
from ..output import Format, emit, format_option, note, to_json

EXAMPLES = """
stair-search index create
stair-search index create --index holidays --column taken=integer --shards 3 --replicas 1
stair-search index create --index products --several-photos --column price=float
stair-search index create --url https://search.example.org:9200 --dry-run > body.json
"""


@click.command("create", cls=Command, examples=EXAMPLES)
@field_options
@click.option(
    "--column",
    "columns",
    callback=utf8,
    multiple=True,
    metavar="NAME=TYPE",
    help="A further field: keyword, text, integer, float, boolean, …",
)
@click.option(
    "--several-photos", "several", is_flag=True, help="Documents of several photos each: products."
)
@click.option(
    "--token-field-type",
    "token_type",
    type=click.Choice(["rank_features", "sparse_vector"]),
    default="rank_features",
    show_default=True,
    help="How tokens are kept; sparse_vector is Elasticsearch's, from 8.15 on.",
)
@click.option(
    "--vector",
    "vectors",
    callback=utf8,
    multiple=True,
    metavar="NAME=NUMBERS",
    help="A field for vectors of so many numbers, compared by cosine.",
)
@click.option("--shards", type=click.IntRange(min=1), help="Number of shards.")
@click.option("--replicas", type=click.IntRange(min=0), help="Copies of each shard.")
@click.option("--dry-run", is_flag=True, help="Print the body, make nothing.")
@destination_options
@format_option
@debug_option
def command(
    fields: Fields,
    columns: tuple[str, ...],
    several: bool,
    token_type: str,
    vectors: tuple[str, ...],
    shards: int | None,
    replicas: int | None,
    dry_run: bool,
    destination: Destination,
    format: Format,
) -> None:
    """Make an empty index and print its body. Never touches an index that is there.

    `ingest` makes a missing index itself; this is for other names, types and settings.
    """
    from ...engines.checks import check_sparse_vector
    from ...mappings import index_body

    taken: set[str] = set()
    declared = {"--column": dict[str, str](), "--vector": dict[str, str]()}
    for option, texts in (("--column", columns), ("--vector", vectors)):
        for text in texts:
            name, kind = _further(option, text)
            if name in fields.own | taken or name.startswith("_") or "." in name:
                raise UsageError(
                    f"{option} {text}: {name!r} cannot be a further field (the index's own fields, "
                    f"a name given twice, dots and a leading _ are out)"
                )
            declared[option][name] = kind
            taken.add(name)
    with destination.open() as engine:
        if token_type == "sparse_vector":
            check_sparse_vector(engine.info)
        body = index_body(
            engine.info.product,
            fields,
            declared["--column"],
            shards,
            replicas,
            several,
            token_type,
            {name: int(numbers) for name, numbers in declared["--vector"].items()},
        )
        if not dry_run:
            engine.create(destination.index, body)
        elif engine.exists(destination.index):
            note(f"index {destination.index!r} is there already: without --dry-run this would fail")
        url = engine.info.url
    emit(format, body, lambda: [to_json(body, indent=2)])
    note(
        "nothing was made (--dry-run)" if dry_run else f"made index {destination.index!r} in {url}"
    )


def _further(option: str, text: str) -> tuple[str, str]:
    name, equals, kind = text.partition("=")
    if option == "--vector" and not (equals and name and kind.isdecimal()):
        raise UsageError(f"--vector {text}: it is NAME=NUMBERS, like clip=512")
    if not (equals and name and kind):
        raise UsageError(f"--column {text}: it is NAME=TYPE, like taken=integer")
    return name, kind

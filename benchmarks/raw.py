"""Ready-made documents by the engine's own client alone: what a bulk-bound ingest is held against.

    python -m benchmarks.raw [--documents 20000] [--url URL]

Prints documents per second for threads, chunks and forms of request: "update" is what ingest sends
(an upsert, which leaves fields alone that it does not name), "index" replaces documents.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from opensearchpy import OpenSearch, helpers

from benchmarks import jobs
from stair_search.engines import Engine, connect
from stair_search.fields import Fields
from stair_search.ingest.document import document
from stair_search.ingest.load import LOADING
from stair_search.ingest.photo import Photo, Place
from stair_search.mappings import index_body

Form = Literal["update", "index"]


class Way(NamedTuple):
    threads: int
    chunk: int
    form: Form = "update"


WAYS = [Way(threads, chunk) for threads in (2, 4, 8) for chunk in (128, 500, 1000)]


def documents(table: jobs.Table, count: int) -> Iterator[dict[str, Any]]:
    """As ingest makes them, at next to no cost: documents of one row share its tokens."""
    rows = []
    for row in table.rows:
        made = document(
            Photo("", "", Place(""), {}),
            row,
            content_hash="",
            width=jobs.SIDE,
            height=jobs.SIDE,
            model=table.fingerprint,
            vocabulary=table.vocabulary,
            fields=Fields(),
        )
        rows.append(made.fields)
    for n in range(count):
        uri = f"file:///tmp/stair-benchmark-00000000/photos/{n // 1000:03}/{n:06}.png"
        yield {**rows[n % len(rows)], "image": uri, "stair_hash": f"{n * 0x9E3779B97F4A7C15:064x}"}


def written(engine: Engine, table: jobs.Table, count: int, way: Way) -> float:
    """Documents per second, into a new index."""
    client = OpenSearch(engine.info.url, timeout=60, pool_maxsize=way.threads)
    body = index_body(engine.info.product)
    body["settings"]["index"] |= LOADING
    with jobs.index_of(engine.info.url) as index:
        engine.create(index, body)
        began = time.perf_counter()
        answers = helpers.parallel_bulk(
            client,
            _actions(index, table, count, way.form),
            thread_count=way.threads,
            chunk_size=way.chunk,
            queue_size=way.threads,
        )
        assert all(ok for ok, _ in answers)
        return count / (time.perf_counter() - began)


def _actions(index: str, table: jobs.Table, count: int, form: Form) -> Iterator[dict[str, Any]]:
    for made in documents(table, count):
        action: dict[str, Any] = {"_op_type": form, "_index": index, "_id": made["image"]}
        if form == "update":
            yield action | {"doc": made, "doc_as_upsert": True}
        else:
            yield action | {"_source": made}


def best(engine: Engine, table: jobs.Table, count: int) -> Way:
    """The quickest of the ways; the first time warms the engine."""
    written(engine, table, count, WAYS[0])
    return max(WAYS, key=lambda way: written(engine, table, count, way))


def main() -> None:
    parser = jobs.options(__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    given = parser.parse_args()
    engine = connect(jobs.engine_url(given))
    table = jobs.table()
    jobs.heading(engine, given, f"{given.documents:,} documents")
    for way in [WAYS[0], *WAYS, *(way._replace(form="index") for way in WAYS)]:
        rate = written(engine, table, given.documents, way)
        jobs.show({**way._asdict(), "documents_per_second": rate})


if __name__ == "__main__":
    main()

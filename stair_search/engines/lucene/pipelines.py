"""Documents through an ingest pipeline of the cluster on their way into an index.

In a bulk request engines ignore the name of a pipeline beside an update, even one that is not there
(elastic/elasticsearch#105804, opensearch-project/OpenSearch#10864). So they are asked what it makes
of the documents (`_simulate`), and that is what is written: in place, be a document new or not. A
document is what is sent of it; the pipeline does not see what else is stored under its id.

An index's own `default_pipeline` and `final_pipeline` engines do run on updates that may insert, as
ours may; these see the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stair_search.engines.base import Document, Outcome
from stair_search.engines.lucene.failures import reason

RIGHTS = (
    "running a pipeline on what is to be written takes read_pipeline (Elasticsearch) or "
    "cluster:admin/ingest/pipeline/simulate (OpenSearch); the index's default_pipeline takes none"
)


def simulation(index: str, documents: Sequence[Document]) -> dict[str, Any]:
    """The body of `POST /_ingest/pipeline/NAME/_simulate`.

    What is to be emptied (None) is not there for the pipeline.

    >>> simulation("photos", [Document("a", {"caption": "a dog", "licence": None})])
    {'docs': [{'_index': 'photos', '_id': 'a', '_source': {'caption': 'a dog'}}]}
    """
    return {"docs": [_sent(index, document) for document in documents]}


def _sent(index: str, document: Document) -> dict[str, Any]:
    routing = {} if document.routing is None else {"_routing": document.routing}
    source = {name: value for name, value in document.fields.items() if value is not None}
    return {"_index": index, "_id": document.id, **routing, "_source": source}


def made(
    pipeline: str, index: str, document: Document, told: Mapping[str, Any] | None
) -> Document | Outcome:
    """The document as the pipeline leaves it; why not, where it fails, drops it or sends it
    elsewhere: what the ledger knows of a photo is its id in the index of the job.
    """
    if told is None:
        return Outcome(document.id, 400, f"dropped by pipeline {pipeline!r}")
    if "error" in told:
        return Outcome(document.id, 400, f"pipeline {pipeline!r}: {reason(told['error'])}")
    found = told["doc"]
    for name, was in (("_index", index), ("_id", document.id), ("_routing", document.routing)):
        if found.get(name) != was:
            return Outcome(
                document.id,
                400,
                f"pipeline {pipeline!r} sets {name} to {found.get(name)!r} (it was {was!r}), and "
                f"ingest would not find it there again",
            )
    emptied = {name: None for name, value in document.fields.items() if value is None}
    return replace(document, fields={**emptied, **found["_source"]})

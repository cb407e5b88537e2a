"""What `doctor` asks a cluster beyond what every engine tells: health, limits, rights, blocks.

A role may not be allowed to ask; then the check says that it does not know, which is no fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..engines.base import Engine, RequestError
from ..engines.checks import MOST_CLAUSES
from .checks import Check

if TYPE_CHECKING:
    from ..engines.lucene.engine import Send

MIB = 2**20
LARGEST_REQUEST = 5 * MIB  # of ingest, see JobSettings.bulk_bytes
RIGHTS = ("read", "write", "create_index", "view_index_metadata")
REFRESH = "maintenance"  # Elasticsearch's right to refresh, which `write` does not include
CLAUSES = "indices.query.bool.max_clause_count"
BLOCKS = ("read_only", "read_only_allow_delete", "write", "read", "metadata")


def cluster_checks(engine: Engine, index: str) -> Iterator[Check]:
    """Every check, each in requests of its own."""
    send: Send = engine._send  # type: ignore[attr-defined]  # only doctor asks beyond the interface
    for name, check in {
        "health": _health,
        "request size": _request_size,
        "clauses": _clauses,
        "permissions": _permissions,
        "writable": _writable,
        "pipelines": _pipelines,
    }.items():
        try:
            ok, detail, remedy = check(send, index)
        except RequestError as error:
            ok, detail, remedy = True, f"not known: {error}", ""
        except (AttributeError, KeyError, TypeError, ValueError):  # a proxy, a service
            ok, detail, remedy = True, "not known: the answer is not an engine's", ""
        yield Check(name, ok, detail, "" if ok else remedy)


Finding = tuple[bool, str, str]


def _health(send: Send, index: str) -> Finding:
    found = send("GET", "/_cluster/health")
    detail = f"{found['status']}, {found['number_of_data_nodes']} data nodes"
    return (
        found["status"] != "red",
        detail,
        "some shards have no copy; GET /_cluster/health names them",
    )


def _request_size(send: Send, index: str) -> Finding:
    nodes = send("GET", "/_nodes/http")["nodes"].values()
    limit = min(node["http"]["max_content_length_in_bytes"] for node in nodes)
    detail = (
        f"at most {limit / MIB:.0f} MiB a request; ingest sends {LARGEST_REQUEST / MIB:.0f} MiB at "
        "most"
    )
    return (
        limit >= LARGEST_REQUEST,
        detail,
        "raise http.max_content_length; ingest halves meanwhile",
    )


def _clauses(send: Send, index: str) -> Finding:
    params = {"include_defaults": "true", "filter_path": f"*.{CLAUSES}"}
    told = send("GET", "/_cluster/settings", params=params)
    kinds = ("transient", "persistent", "defaults")
    found = [limit for kind in kinds if (limit := _at(told, f"{kind}.{CLAUSES}")) is not None]
    if not found:
        return True, f"set by the engine itself; {MOST_CLAUSES} are asked at most", ""
    limit = int(found[0])
    detail = f"at most {limit} tokens, words and rules a query; {MOST_CLAUSES} are asked at most"
    return (
        limit >= MOST_CLAUSES,
        detail,
        f"set {CLAUSES} to {MOST_CLAUSES} in opensearch.yml or elasticsearch.yml",
    )


def _permissions(send: Send, index: str) -> Finding:
    remedy = f"give the role these rights on {index!r}"
    try:
        asked = {"index": [{"names": [index], "privileges": [*RIGHTS, REFRESH]}]}
        told = send("POST", "/_security/user/_has_privileges", body=json.dumps(asked).encode())
    except RequestError as error:
        if error.status == 403:
            raise
        return _tried(send, index, remedy)
    held: Mapping[str, bool] = told["index"][index]
    lacking = [right for right in RIGHTS if not held[right]]
    detail = (
        f"{told['username']} may {', '.join(right for right in RIGHTS if held[right]) or 'nothing'}"
    )
    if lacking:
        detail += f", but not {', '.join(lacking)}"
    if not held[REFRESH]:
        detail += f"; without {REFRESH} it may not refresh, as ingest does at its end"
    return not lacking, detail, remedy


def _tried(send: Send, index: str, remedy: str) -> Finding:
    """Without an engine that tells: an update of a document that is not there writes nothing."""
    lacking = []
    for right, method, path, body in (
        ("search", "POST", f"/{quote(index, safe='')}/_search", b'{"size":0}'),
        ("write", "POST", f"/{quote(index, safe='')}/_update/stair-search-doctor", b'{"doc":{}}'),
    ):
        try:
            send(method, path, index=index, body=body)
        except RequestError as error:
            if error.status == 404 and "index" in str(error) and "document" not in str(error):
                return True, "the index is not there yet, so that nothing could be tried", ""
            if error.status in (401, 403) and "block" not in str(error):
                lacking.append(right)
    return (
        not lacking,
        f"may not {', '.join(lacking)}" if lacking else "may search and write",
        remedy,
    )


def _writable(send: Send, index: str) -> Finding:
    everywhere = {"include_defaults": "true", "filter_path": "*.cluster.blocks"}
    blocks = [
        f"cluster.blocks.{name}"
        for kind in send("GET", "/_cluster/settings", params=everywhere).values()
        for name, on in (_at(kind, "cluster.blocks") or {}).items()
        if name.startswith("read_only") and _on(on)
    ]
    try:
        settings = send("GET", f"/{quote(index, safe='')}/_settings", index=index)
    except RequestError as error:
        if error.status != 404:
            raise
        settings = {}
    for one in settings.values():
        told = one["settings"]["index"]
        blocks += [
            f"index.blocks.{name}" for name in BLOCKS if _on(told.get("blocks", {}).get(name))
        ]
        if _on(told.get("derived_source", {}).get("enabled")):
            blocks.append("index.derived_source.enabled (it refuses rank_features)")
    if not blocks:
        return True, "nothing is read-only", ""
    remedy = "make room on disk if it is full, then set them to null (PUT /INDEX/_settings)"
    return False, f"set: {', '.join(blocks)}", remedy


def _pipelines(send: Send, index: str) -> Finding:
    """Those that the index names itself."""
    try:
        settings = send("GET", f"/{quote(index, safe='')}/_settings", index=index)
    except RequestError as error:
        if error.status != 404:
            raise
        settings = {}
    named = {
        f"{kind} {name!r}": name
        for one in settings.values()
        for kind in ("default_pipeline", "final_pipeline")
        if (name := one["settings"]["index"].get(kind, "_none")) != "_none"
    }
    missing = [told for told, name in named.items() if not _there(send, name)]
    if missing:
        remedy = "make it (PUT /_ingest/pipeline/NAME), or set it to _none (PUT /INDEX/_settings)"
        return False, f"not there: {', '.join(missing)}", remedy
    if not named:
        return True, "the index has none of its own", ""
    seen = "run on all that ingest writes, and seeing nothing else of a document"
    return True, f"{', '.join(named)}: {seen}", ""


def _there(send: Send, pipeline: str) -> bool:
    try:
        send("GET", f"/_ingest/pipeline/{quote(pipeline, safe='')}")
    except RequestError as error:
        return error.status != 404
    return True


def _on(value: Any) -> bool:
    return str(value).lower() == "true"


def _at(settings: Mapping[str, Any], path: str) -> Any:
    found: Any = settings
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found

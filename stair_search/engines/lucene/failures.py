"""What an engine or the way to it says, as one line that names the place and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stair_search.engines.base import RequestError
from stair_search.engines.checks import no_index

CREDENTIALS = (
    "set ES_API_KEY, or ES_USERNAME and ES_PASSWORD, or OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD"
)
_READ_ONLY = "make it writable (index.blocks.*), or name another index"


def reason(error: Any) -> str:
    """An engine's own words.

    >>> reason({"type": "mapper_parsing_exception", "reason": "bad", "caused_by": {"reason": "x"}})
    'mapper_parsing_exception: bad; caused by x'
    """
    if not isinstance(error, Mapping):
        return str(error)
    said = ": ".join(str(error[key]) for key in ("type", "reason", "message") if error.get(key))
    shards = error.get("failed_shards") or []
    if shards and isinstance(shards[0], Mapping):  # the phase failed; the shard knows why
        return reason(shards[0].get("reason"))
    cause = error.get("caused_by")
    return f"{said}; caused by {reason(cause)}" if cause else said


def unreachable(place: str, error: BaseException) -> RequestError:
    """For a request that got no answer. Clients wrap what happened, so the causes are read too."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    text = "; ".join(dict.fromkeys(str(one) for one in chain))
    low = text.lower()
    if "certificate_verify_failed" in low or "certificate verify failed" in low:
        why = (
            "its certificate is not trusted; name the authority's file with --ca-certs, or switch "
            "the check off with --no-verify-certs"
        )
    elif "wrong_version_number" in low or "record layer failure" in low:
        why = "it does not speak TLS; write http:// instead of https://"
    elif "ssl" in low or "tls" in low:
        why = f"no TLS connection ({_short(text)})"
    elif "refused" in low:
        why = "connection refused; is the engine running there? --url names another"
    elif any(w in low for w in ("resolve", "name or service", "getaddrinfo", "nodename")):
        why = "no such host; check the name in --url"
    elif "timed out" in low or "timeout" in low:
        why = "no answer in time; try again, or give it longer with --timeout"
    elif any(w in low for w in ("disconnected", "reset by peer", "aborted", "incomplete")):
        why = "it closed the connection; if it wants TLS, write https:// instead of http://"
    else:
        why = _short(text)
    return RequestError(f"cannot reach {place}: {why}")


def refused(place: str, index: str | None, status: int, body: Any) -> RequestError:
    """For an answer that is an error. body: parsed JSON, or text."""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    said = _short(reason(error)) if error else ""
    kind = error.get("type", "") if isinstance(error, Mapping) else ""
    where = f"{place}: index {index!r}" if index else place
    if status == 401:
        line = f"{place} wants to know who asks (401); {CREDENTIALS}"
    elif kind == "cluster_block_exception":
        line = f"{where} may not be written to: {said}; {_READ_ONLY}"
    elif status == 403:
        line = f"{where}: not allowed (403): {said}; ask for a role that may"
    elif kind == "index_not_found_exception":
        line = no_index(place, index or "")
    elif kind == "resource_already_exists_exception":
        line = f"{where} exists already; nothing was changed"
    elif status == 413:
        line = f"{where}: the request is too large (413); send fewer documents at once"
    elif status == 429:
        line = f"{where}: too many requests (429): {said}; try again later"
    elif status >= 500:
        line = f"{where}: the engine failed ({status}): {said}; try again, or see its log"
    elif "[rank_features]" in said or "[rank_feature]" in said:
        line = (
            f"{where}: this engine has no rank_features ({status}): {said}; its module "
            f"mapper-extras is missing"
        )
    else:
        line = f"{where}: refused ({status}): {said}"
    return RequestError(line, status)


def no_json(place: str, index: str | None, said: object) -> RequestError:
    """For an answer that calls itself a success but is none, as of a proxy."""
    return refused(place, index, 502, f"what came is no JSON of an engine: {said}")


def _short(text: str) -> str:
    """One line of bearable length."""
    line = " ".join(text.split())
    return line if len(line) <= 400 else f"{line[:400]}…"

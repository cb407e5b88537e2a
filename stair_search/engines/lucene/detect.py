"""Which product and version answers at an address, and whether it is one that we can use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stair_search.engines.base import EngineInfo
from stair_search.engines.lucene.address import Address
from stair_search.engines.lucene.failures import CREDENTIALS, refused, unreachable
from stair_search.errors import DestinationError

# since when `rank_feature` has the function `linear`, which makes it a dot product
OLDEST = {"opensearch": (1, 1), "elasticsearch": (7, 12)}


def probe(address: Address) -> EngineInfo:
    """Asks the server what it is: `GET /`, by plain HTTP, before its client is chosen."""
    import urllib3  # both clients bring it

    options: dict[str, Any] = {}
    if address.scheme == "https":
        options = {
            "cert_reqs": "CERT_REQUIRED" if address.verify_certs else "CERT_NONE",
            "ca_certs": address.ca_certs or _authorities(),
        }
        if not address.verify_certs:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    try:
        with urllib3.PoolManager(timeout=address.timeout, retries=False, **options) as pool:
            answer = pool.request("GET", f"{address.url}/", headers=address.headers)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise unreachable(address.url, error) from error
    try:
        body = json.loads(answer.data)
    except ValueError:
        body = answer.data.decode("utf-8", "replace")[:200]
    return recognised(address.url, answer.status, answer.headers, body)


def recognised(place: str, status: int, headers: Mapping[str, str], body: Any) -> EngineInfo:
    """The server behind an answer to `GET /`. Raises DestinationError where we cannot use it."""
    if status == 401:
        raise refused(place, None, status, body)
    elastic = headers.get("x-elastic-product") == "Elasticsearch"
    version = body.get("version") if isinstance(body, Mapping) else None
    if status == 200 and isinstance(version, Mapping) and "number" in version:
        other = version.get("distribution") == "opensearch"
        product = "opensearch" if other else "elasticsearch"
        return _new_enough(EngineInfo(product, str(version["number"]), place))
    if elastic:  # a role, or a node without its main module, may not tell more
        return EngineInfo("elasticsearch", "", place)
    if status == 403:
        raise DestinationError(f"{place}: not allowed to see what it is (403); {CREDENTIALS}")
    if status >= 500 or status == 429:
        raise refused(place, None, status, body)
    raise DestinationError(
        f"{place} is neither OpenSearch nor Elasticsearch (GET / gave {status}); check --url"
    )


def _new_enough(info: EngineInfo) -> EngineInfo:
    oldest = OLDEST[info.product]
    if info.number < oldest:
        raise DestinationError(
            f"{info.url} is {info.product} {info.version}, which cannot score tokens: "
            f"{info.product} {'.'.join(map(str, oldest))} or newer is needed"
        )
    return info


def _authorities() -> str:
    import certifi

    return certifi.where()

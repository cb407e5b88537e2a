"""Which product and version answers at an address, and whether it is one that we can use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from stair_search.engines.lucene.address import Address
from stair_search.engines.lucene.failures import CREDENTIALS, refused, unreachable
from stair_search.errors import DestinationError

# since when `rank_feature` has the function `linear`, which makes it a dot product
OLDEST = {"opensearch": (1, 1), "elasticsearch": (7, 12)}


class Server(NamedTuple):
    """version: "3.6.0", or "" where the server may not be asked for it."""

    product: str
    version: str

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor version; an unknown one counts as new."""
        found = re.match(r"(\d+)\.(\d+)", self.version)
        return (int(found[1]), int(found[2])) if found else (99, 0)


def probe(address: Address) -> Server:
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


def recognised(place: str, status: int, headers: Mapping[str, str], body: Any) -> Server:
    """The server behind an answer to `GET /`. Raises DestinationError where we cannot use it."""
    if status == 401:
        raise refused(place, None, status, body)
    elastic = headers.get("x-elastic-product") == "Elasticsearch"
    version = body.get("version") if isinstance(body, Mapping) else None
    if status == 200 and isinstance(version, Mapping) and "number" in version:
        other = version.get("distribution") == "opensearch"
        server = Server("opensearch" if other else "elasticsearch", str(version["number"]))
        return _new_enough(place, server)
    if elastic:  # a role, or a node without its main module, may not tell more
        return Server("elasticsearch", "")
    if status == 403:
        raise DestinationError(f"{place}: not allowed to see what it is (403); {CREDENTIALS}")
    if status >= 500 or status == 429:
        raise refused(place, None, status, body)
    raise DestinationError(
        f"{place} is neither OpenSearch nor Elasticsearch (GET / gave {status}); check --url"
    )


def _new_enough(place: str, server: Server) -> Server:
    oldest = OLDEST[server.product]
    if server.number < oldest:
        raise DestinationError(
            f"{place} is {server.product} {server.version}, which cannot score tokens: "
            f"{server.product} {'.'.join(map(str, oldest))} or newer is needed"
        )
    return server


def _authorities() -> str:
    import certifi

    return certifi.where()

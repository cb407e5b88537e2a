"""Elasticsearch, through elasticsearch-py 8.19, which talks to 7.17, 8 and 9."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import elasticsearch as client_library
from elastic_transport import SerializationError, TransportError

from stair_search.engines.base import EngineInfo
from stair_search.engines.lucene.address import Address
from stair_search.engines.lucene.engine import LuceneEngine
from stair_search.engines.lucene.failures import no_json, refused, unreachable

# failures are raised, so they need not be logged to stderr as well
logging.getLogger("elastic_transport").addHandler(logging.NullHandler())
# a server without a password says so in a header of every answer
warnings.filterwarnings("ignore", message="Elasticsearch built-in security features")


def elasticsearch(address: Address, info: EngineInfo) -> LuceneEngine:
    options: dict[str, Any] = {}
    if address.scheme == "https":
        options = {"verify_certs": address.verify_certs, "ssl_show_warn": False}
        if address.ca_certs:
            options["ca_certs"] = address.ca_certs
    client = client_library.Elasticsearch(
        address.url,
        headers=address.headers,
        request_timeout=address.timeout,
        max_retries=0,  # who calls decides on retries
        retry_on_timeout=False,
        **options,
    )
    return LuceneEngine(info, _sender(address.url, client), client.close)


def _sender(place: str, client: client_library.Elasticsearch) -> Any:
    def send(
        method: str,
        path: str,
        *,
        index: str | None = None,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        lines: bool = False,
    ) -> Any:
        kind = "application/x-ndjson" if lines else "application/json"
        headers = {"accept": "application/json"} | ({"content-type": kind} if body else {})
        try:
            answer = client.perform_request(method, path, params=params, body=body, headers=headers)
        except (SerializationError, client_library.UnsupportedProductError) as error:
            raise no_json(place, index, error) from error
        except TransportError as error:
            raise unreachable(place, error) from error
        except client_library.ApiError as error:
            raise refused(place, index, error.meta.status, error.body) from error
        if not isinstance(answer.body, Mapping):
            raise no_json(place, index, answer.body)
        return answer.body

    return send

"""OpenSearch, through opensearch-py."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import opensearchpy
from opensearchpy.exceptions import ConnectionError as NoAnswer
from opensearchpy.exceptions import SerializationError, TransportError

from stair_search.engines.base import EngineInfo
from stair_search.engines.lucene.address import Address
from stair_search.engines.lucene.detect import recognised
from stair_search.engines.lucene.engine import LuceneEngine
from stair_search.engines.lucene.failures import no_json, refused, unreachable
from stair_search.errors import UsageError

# failures are raised, so they need not be logged to stderr as well
logging.getLogger("opensearch").addHandler(logging.NullHandler())


def opensearch(address: Address, info: EngineInfo) -> LuceneEngine:
    return _engine(address, info, _client(address))


def amazon(address: Address, region: str) -> LuceneEngine:
    """Amazon OpenSearch Service, each request signed with SigV4 from boto3's credentials."""
    try:
        import boto3
    except ImportError:
        raise UsageError(
            "requests to Amazon are signed with boto3, which is not here: "
            "pip install 'stair-search[aws]'"
        ) from None
    credentials = boto3.Session().get_credentials()
    if credentials is None:
        raise UsageError(
            "boto3 finds no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    signer = opensearchpy.Urllib3AWSV4SignerAuth(credentials, region, "es")
    client = _client(address, http_auth=signer)
    answer = _sender(address, client)("GET", "/")
    return _engine(address, recognised(address.url, 200, {}, answer), client)


def _engine(address: Address, info: EngineInfo, client: opensearchpy.OpenSearch) -> LuceneEngine:
    return LuceneEngine(info, _sender(address, client), client.close)


def _client(address: Address, **options: Any) -> opensearchpy.OpenSearch:
    secure = address.scheme == "https"
    if secure:
        options |= {"ca_certs": address.ca_certs, "verify_certs": address.verify_certs}
    return opensearchpy.OpenSearch(
        hosts=[{"host": address.host, "port": address.port, "url_prefix": address.prefix}],
        use_ssl=secure,
        ssl_show_warn=False,
        headers=address.headers,
        timeout=address.timeout,
        max_retries=0,  # who calls decides on retries
        pool_maxsize=8,
        **options,
    )


def _sender(address: Address, client: opensearchpy.OpenSearch) -> Any:
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
        try:
            answer = client.transport.perform_request(
                method, path, params=dict(params or {}), body=body, headers={"content-type": kind}
            )
        except SerializationError as error:
            raise no_json(address.url, index, error) from error
        except NoAnswer as error:
            raise unreachable(address.url, error) from error
        except TransportError as error:
            # `error` is the text where the answer was no JSON, as a proxy gives it
            said = error.info or error.error
            raise refused(address.url, index, int(error.status_code), said) from error
        if not isinstance(answer, Mapping):
            raise no_json(address.url, index, answer)
        return answer

    return send

"""What `doctor` makes of answers that the clusters of the tests do not give: rights, low limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from stair_search.cli.cluster_checks import RIGHTS, cluster_checks
from stair_search.engines import RequestError

FINE: dict[str, Any] = {
    "/_cluster/health": {"status": "green", "number_of_data_nodes": 3},
    "/_nodes/http": {"nodes": {"a": {"http": {"max_content_length_in_bytes": 10 * 2**20}}}},
    "/_cluster/settings": {},
    "/_security/user/_has_privileges": {
        "username": "me",
        "index": {"photos": dict.fromkeys((*RIGHTS, "maintenance"), True)},
    },
    "/photos/_settings": {"photos": {"settings": {"index": {}}}},
}


def found(answers: Mapping[str, Any]) -> dict[str, tuple[bool, str]]:
    class Engine:
        @staticmethod
        def _send(method: str, path: str, **_: Any) -> Any:
            answer = {**FINE, **answers}.get(path, RequestError(f"no handler for {path}", 400))
            if isinstance(answer, Exception):
                raise answer
            return answer

    checks = cluster_checks(Engine(), "photos")  # type: ignore[arg-type]
    return {check.name: (check.ok, check.detail) for check in checks}


def test_all_is_well() -> None:
    assert all(ok for ok, _ in found({}).values())
    assert found({})["permissions"] == (
        True,
        "me may read, write, create_index, view_index_metadata",
    )


@pytest.mark.parametrize(
    ("name", "answers", "told"),
    [
        ("health", {"/_cluster/health": {"status": "red", "number_of_data_nodes": 1}}, "red"),
        (
            "request size",
            {"/_nodes/http": {"nodes": {"a": {"http": {"max_content_length_in_bytes": 2**20}}}}},
            "at most 1 MiB",
        ),
        (
            "clauses",
            {
                "/_cluster/settings": {
                    "defaults": {"indices": {"query": {"bool": {"max_clause_count": "512"}}}}
                }
            },
            "at most 512",
        ),
        (
            "permissions",
            {
                "/_security/user/_has_privileges": {
                    "username": "me",
                    "index": {
                        "photos": {
                            "read": True,
                            "write": False,
                            "create_index": False,
                            "view_index_metadata": True,
                            "maintenance": True,
                        }
                    },
                }
            },
            "me may read, view_index_metadata, but not write, create_index",
        ),
        (
            "permissions",
            {
                "/_security/user/_has_privileges": RequestError("no handler", 400),
                "/photos/_search": {},
                "/photos/_update/stair-search-doctor": RequestError("not allowed (403)", 403),
            },
            "may not write",
        ),
        (
            "writable",
            {"/_cluster/settings": {"persistent": {"cluster": {"blocks": {"read_only": "true"}}}}},
            "cluster.blocks.read_only",
        ),
        (
            "writable",
            {
                "/photos/_settings": {
                    "photos-1": {"settings": {"index": {"derived_source": {"enabled": "true"}}}}
                }
            },
            "refuses rank_features",
        ),
    ],
)
def test_what_is_not_well(name: str, answers: dict[str, Any], told: str) -> None:
    ok, detail = found(answers)[name]
    assert not ok
    assert told in detail


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"mark": {}}, (True, "run on all that ingest writes")),
        (RequestError("refused (404)", 404), (False, "not there: default_pipeline 'mark'")),
        (RequestError("not allowed (403)", 403), (True, "run on all that ingest writes")),
    ],
)
def test_pipelines_of_the_index(there: Any, told: tuple[bool, str]) -> None:
    settings = {"default_pipeline": "mark", "final_pipeline": "_none"}
    ok, detail = found(
        {
            "/photos/_settings": {"photos": {"settings": {"index": settings}}},
            "/_ingest/pipeline/mark": there,
        }
    )["pipelines"]
    assert ok == told[0]
    assert told[1] in detail
    assert "final" not in detail


def test_a_right_to_refresh_is_a_hint() -> None:
    held = {"photos": {**dict.fromkeys(RIGHTS, True), "maintenance": False}}
    ok, detail = found({"/_security/user/_has_privileges": {"username": "me", "index": held}})[
        "permissions"
    ]
    assert ok
    assert "without maintenance" in detail


def test_an_index_name_stays_within_its_place_in_a_path() -> None:
    asked: list[str] = []

    class Engine:
        @staticmethod
        def _send(method: str, path: str, **_: Any) -> Any:
            asked.append(path)
            raise RequestError("no handler", 400)

    list(cluster_checks(Engine(), "photos/_close?x="))  # type: ignore[arg-type]
    of_index = [path for path in asked if "photos" in path]
    assert {path.split("/")[1] for path in of_index} == {"photos%2F_close%3Fx%3D"}
    assert {path.split("/")[2] for path in of_index} == {"_search", "_settings", "_update"}


def test_what_a_role_may_not_ask_is_no_fault() -> None:
    refused = RequestError("not allowed (403)", 403)
    told = found(dict.fromkeys(FINE, refused))
    assert all(ok for ok, _ in told.values())
    assert told["health"][1] == "not known: not allowed (403)"


@pytest.mark.parametrize("answer", [{}, [], {"status": 1}, "text"])
def test_an_answer_that_is_none_is_no_fault(answer: Any) -> None:
    told = found(dict.fromkeys(FINE, answer))
    assert all(ok for ok, _ in told.values())

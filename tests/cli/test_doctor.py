from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from stair_search.cli import checks

from .conftest import Cli


def examined(cli: Cli, *args: str, code: int) -> dict[str, dict[str, Any]]:
    """What doctor found, by name."""
    result = cli("doctor", *args, "--format", "json")
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    assert list(found) == ["checks"]
    for check in found["checks"]:
        assert list(check) == ["name", "ok", "detail", "remedy"]
        assert check["ok"] == (not check["remedy"]), check
        assert check["detail"]
    return {check["name"]: check for check in found["checks"]}


def with_starter(at: list[str]) -> list[str]:
    """The same place, asked with the model that knows photos."""
    return at[: at.index("--model")]


def test_all_is_well_on_an_index_yet_to_be_made(cli: Cli, engine_url: str, index_name: str) -> None:
    found = examined(cli, "--url", engine_url, "--index", index_name, code=0)
    assert "is not there yet" in found["index"]["detail"]
    assert "starter" in found["model"]["detail"]
    assert {"cpu", "photos", "reachable"} <= set(found)
    own = {"disk"} if engine_url.startswith("sqlite:") else {"clauses", "request size", "writable"}
    assert own <= set(found)


def test_an_index_of_another_model_is_told(cli: Cli, collection: list[str]) -> None:
    found = examined(cli, *with_starter(collection), code=4)
    assert not found["model fits"]["ok"]
    assert "tiny-1-" in found["model fits"]["detail"]


def test_a_server_that_is_down_ends_with_3(cli: Cli) -> None:
    found = examined(cli, "--url", "http://127.0.0.1:1", code=3)
    assert "refused" in found["reachable"]["detail"]
    assert "--url" in found["reachable"]["remedy"]


@contextmanager
def server(status: int, body: dict[str, Any]) -> Iterator[str]:
    """A server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, {}, "ES_API_KEY"),
        (200, {"version": {"number": "6.8.0"}}, "6.8.0"),
        (200, {"hello": "world"}, "neither OpenSearch nor Elasticsearch"),
    ],
)
@pytest.mark.parametrize("command", [["doctor"], ["search", "dog"], ["index", "show"]])
def test_what_a_server_may_answer(
    cli: Cli, status: int, body: dict[str, Any], told: str, command: list[str]
) -> None:
    with server(status, body) as url:
        result = cli(*command, "--url", url)
    assert result.exit_code == 3
    assert told in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("status", [401, 403, 500, 200])
@pytest.mark.parametrize("command", [["doctor"], ["search", "dog"], ["ingest", "."]])
def test_no_output_holds_a_secret(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, status: int, command: list[str]
) -> None:
    body = {"version": {"number": "3.6.0", "distribution": "opensearch"}}
    with server(status, body) as url:
        monkeypatch.setenv("OPENSEARCH_URL", url.replace("http://", "http://me:hunter2@"))
        result = cli("--debug", *command)
    assert result.exit_code in (3, 70)
    secret = base64.b64encode(b"me:hunter2").decode()
    assert "hunter2" not in result.output
    assert secret not in result.output


def test_a_read_only_index_is_told(cli: Cli, opensearch_url: str, index_name: str) -> None:
    at = ["--url", opensearch_url, "--index", index_name]
    assert cli("index", "create", *at).exit_code == 0

    def block(on: bool | None) -> None:
        request = urllib.request.Request(
            f"{opensearch_url}/{index_name}/_settings",
            json.dumps({"index.blocks.write": on}).encode(),
            {"content-type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(request).close()

    block(True)
    try:
        found = examined(cli, *at, code=3)
        assert "index.blocks.write" in found["writable"]["detail"]
    finally:
        block(None)


def test_a_token_field_of_another_type_is_told(cli: Cli, engine_url: str, index_name: str) -> None:
    from stair_search import connect

    engine = connect(engine_url)
    engine.create(index_name, {"mappings": {"properties": {"stair": {"type": "keyword"}}}})
    engine.close()
    found = examined(cli, "--url", engine_url, "--index", index_name, code=4)
    assert "keyword" in found["fields"]["detail"]


def test_a_container_that_grants_less_than_its_cores_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CGROUP", tmp_path / "cpu.max")
    assert checks.cpu().ok
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert checks.cpu().ok
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert not checks.cpu().ok
    assert "0.5" in checks.cpu().detail


def test_sqlite_in_a_folder_that_is_not_there(cli: Cli) -> None:
    found = examined(cli, "--url", "sqlite:/nowhere/stair.db", code=3)
    assert "mkdir" in found["disk"]["remedy"]


def test_the_folder_of_sqlite_is_the_one_that_is_used(cli: Cli) -> None:
    found = examined(cli, "--url", "sqlite://stair.db", code=0)
    assert found["disk"]["detail"].endswith(f"in {Path.cwd()}")
    found = examined(cli, "--url", "sqlite:///nowhere/stair.db", code=3)
    assert found["disk"]["remedy"] == "mkdir -p /nowhere"


def test_where_photos_are_encoded_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    at = ["--url", "sqlite:here.db"]
    found = examined(cli, *at, code=0)["photos"]["detail"]
    assert " ms on cpu in fp32; " in found and "onnxruntime 1." in found
    monkeypatch.setattr(checks, "gpus", lambda: 2)
    found = examined(cli, *at, code=0)["photos"]["detail"]
    assert "2 GPUs that the model does not use: it takes onnxruntime-gpu" in found

"""The nodes that other tests stand on do what the design takes from them."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.nodes import nodes
from tests.nodes.nodes import NODES, NodeError, Recipe, find_jdk


def call(method: str, url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, method=method, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.engines
@pytest.mark.parametrize("name", ["opensearch", "elasticsearch7"])
def test_rank_features_score_as_the_engines_page_says(
    name: str, request: pytest.FixtureRequest, index_name: str
) -> None:
    url = f"{request.getfixturevalue(f'{name}_url')}/{index_name}"
    call("PUT", url, {"mappings": {"properties": {"stair": {"type": "rank_features"}}}})
    call("PUT", f"{url}/_doc/1?refresh=true", {"stair": {"dog": 1.2, "grass": 0.7}})
    clauses = [
        {"rank_feature": {"field": f"stair.{token}", "linear": {}, "boost": boost}}
        for token, boost in {"dog": 2.5, "grass": 0.5}.items()
    ]
    found = call("POST", f"{url}/_search", {"query": {"bool": {"should": clauses}}})
    assert found["hits"]["hits"][0]["_score"] == 3.3476562  # 3.35 without Lucene's truncation


@pytest.mark.engines
@pytest.mark.parametrize("name", ["opensearch", "elasticsearch7"])
def test_reindex_is_there(name: str, request: pytest.FixtureRequest, index_name: str) -> None:
    url = request.getfixturevalue(f"{name}_url")
    call("PUT", f"{url}/{index_name}/_doc/1?refresh=true", {"a": 1})
    body = {"source": {"index": index_name}, "dest": {"index": f"{index_name}-2"}}
    assert call("POST", f"{url}/_reindex?refresh=true", body)["created"] == 1


def test_opensearch_has_neural_sparse_and_painless(opensearch_url: str, index_name: str) -> None:
    url = f"{opensearch_url}/{index_name}"
    call("PUT", url, {"mappings": {"properties": {"stair": {"type": "rank_features"}}}})
    call("PUT", f"{url}/_doc/1?refresh=true", {"stair": {"dog": 1.2}})
    sparse = {"neural_sparse": {"stair": {"query_tokens": {"dog": 2.0}}}}
    assert call("POST", f"{url}/_search", {"query": sparse})["hits"]["max_score"] == 2.3984375
    script = {"script": {"source": "ctx._source.stair = params.v", "params": {"v": {"cat": 1.0}}}}
    assert call("POST", f"{url}/_update/1", script)["result"] == "updated"


@pytest.mark.engines
@pytest.mark.slow
@pytest.mark.parametrize(("name", "major"), [("elasticsearch8", "8"), ("elasticsearch9", "9")])
def test_newer_elasticsearch_scores_sparse_vectors(
    name: str, major: str, request: pytest.FixtureRequest, index_name: str
) -> None:
    root = request.getfixturevalue(f"{name}_url")
    version = next(iter(call("GET", f"{root}/_nodes")["nodes"].values()))["version"]
    assert version.split(".")[0] == major
    url = f"{root}/{index_name}"
    call("PUT", url, {"mappings": {"properties": {"stair": {"type": "sparse_vector"}}}})
    call("PUT", f"{url}/_doc/1?refresh=true", {"stair": {"dog": 1.2}})
    query = {"sparse_vector": {"field": "stair", "query_vector": {"dog": 2.0}, "prune": False}}
    assert call("POST", f"{url}/_search", {"query": query})["hits"]["max_score"] == 2.3984375


NODE_OF_A_KILLED_PROCESS = """
import sys, time
from pathlib import Path
from tests.nodes.nodes import NODES, start
print(start(NODES["elasticsearch7"], Path(sys.argv[1])).url, flush=True)
time.sleep(600)
"""


@pytest.mark.engines
@pytest.mark.slow
def test_a_node_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", NODE_OF_A_KILLED_PROCESS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert nodes.answers(url)
        process.kill()
    deadline = time.monotonic() + 15
    while nodes.answers(url) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not nodes.answers(url)


def test_a_missing_jdk_is_named_with_the_remedy() -> None:
    with pytest.raises(NodeError, match=r"no JDK 900 to 901 found .*JAVA_HOME"):
        find_jdk(range(900, 902))


def test_a_missing_maven_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr(nodes, "find_jdk", lambda _: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NodeError, match=r"no mvn on the PATH.*apt-get install maven"):
        nodes.fetch(NODES["opensearch"])
    assert not NODES["opensearch"].home.exists()


def test_a_recipe_of_another_version_has_another_home() -> None:
    recipe = NODES["elasticsearch9"]
    other = Recipe(recipe.name, recipe.folder, "9.5.4", recipe.java, recipe.heap)
    assert other.home != recipe.home


@pytest.mark.engines
@pytest.mark.slow
def test_a_kept_node_is_found_again_and_keeps_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `make engines` and `make engines-stop` do."""
    monkeypatch.setattr(nodes, "KEPT", tmp_path)
    recipe = NODES["elasticsearch7"]
    assert nodes.kept(recipe) is None
    assert not nodes.release(recipe.name)
    try:
        node = nodes.keep(recipe)
        assert nodes.kept(recipe) == node
        assert nodes.keep(recipe) == node  # no second one
        call("PUT", f"{node.url}/a/_doc/1?refresh=true", {"a": 1})
        assert nodes.release(recipe.name)
        assert nodes.kept(recipe) is None
        assert call("GET", f"{nodes.keep(recipe).url}/a/_count")["count"] == 1
    finally:
        nodes.release(recipe.name)

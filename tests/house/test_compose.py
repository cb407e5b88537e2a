"""docker-compose.yml holds to the compose schema and its promises; where Docker is, it runs."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from stair_search import connect
from stair_search.engines import Document, Engine
from stair_search.errors import DestinationError
from stair_search.mappings import index_body
from stair_search.queries import Tokens

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
ENGINES = {"elasticsearch", "opensearch"}


def test_it_holds_to_the_compose_schema() -> None:
    # check-jsonschema carries the schema that the Compose Specification publishes.
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text()))


def test_the_schema_would_notice_a_mistake() -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    wrong = json.loads(json.dumps(COMPOSE))
    wrong["services"]["opensearch"]["healthcheck"]["retry"] = 3
    with pytest.raises(jsonschema.ValidationError, match="retry"):
        jsonschema.validate(wrong, json.loads(schema.read_text()))


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_each_engine_is_closed_checked_and_keeps_its_data(name: str) -> None:
    service = COMPOSE["services"][name]
    passwords = [v for k, v in service["environment"].items() if k.endswith("PASSWORD")]
    assert passwords
    assert all(value.startswith("${") and ":?" in value for value in passwords)  # no default
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "https://" in " ".join(service["healthcheck"]["test"])
    assert not service["image"].endswith(":latest")
    assert f"{name}-data" in COMPOSE["volumes"]
    assert service["volumes"][-1].startswith(f"{name}-data:/")


PASSWORD = "Tall-Dogs-9-Beaches"  # of a node that lives for one test


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both engines up, healthy, on ports of their own; the folder with their CAs."""
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "info"], capture_output=True).returncode
    ):
        pytest.skip("no Docker daemon: docker-compose.yml was held to its schema, and not run")
    from testcontainers.compose import DockerCompose

    folder = tmp_path_factory.mktemp("compose")
    (folder / ".env").write_text(
        "COMPOSE_PROJECT_NAME=stair-search-test\n"
        f"ES_PASSWORD={PASSWORD}\nOPENSEARCH_PASSWORD={PASSWORD}\n"
        "ELASTICSEARCH_PORT=19200\nOPENSEARCH_PORT=19201\n"
    )
    with DockerCompose(ROOT, "docker-compose.yml", env_file=str(folder / ".env"), wait=True) as up:
        for source in (
            "elasticsearch:/usr/share/elasticsearch/config/certs/ca/ca.crt",
            "opensearch:/usr/share/opensearch/config/root-ca.pem",
        ):
            copy = [*up.docker_compose_command(), "cp", source, str(folder)]
            subprocess.run(copy, cwd=ROOT, check=True)
        yield folder


@pytest.mark.docker
@pytest.mark.timeout(1200)  # pulls two images of a gigabyte each
@pytest.mark.parametrize(
    ("product", "port", "user", "ca"),
    [
        ("elasticsearch", 19200, "elastic", "ca.crt"),
        ("opensearch", 19201, "admin", "root-ca.pem"),
    ],
)
def test_the_engine_scores_tokens_with_security_on(
    product: str, port: int, user: str, ca: str, composed: Path
) -> None:
    url, ca_certs = f"https://localhost:{port}", str(composed / ca)
    with pytest.raises(DestinationError):
        connect(url, ca_certs=ca_certs).exists("photos")
    with pytest.raises(DestinationError):  # TLS is verified
        connect(url, username=user, password=PASSWORD).exists("photos")
    engine = connect(url, username=user, password=PASSWORD, ca_certs=ca_certs)
    assert engine.info.product == product
    assert scored(engine, "photos") == {"1": pytest.approx(3.3476562)}


def test_an_engine_without_security_scores_the_same(engine_url: str, index_name: str) -> None:
    assert scored(connect(engine_url), index_name) == {"1": pytest.approx(3.3476562)}


def scored(engine: Engine, index: str) -> dict[str, float]:
    engine.create(index, index_body(engine.info.product))
    document = {"stair": [{"dog": 1.2, "grass": 0.7}], "stair_model": "m"}
    assert all(outcome.ok for outcome in engine.bulk(index, [Document("1", document)]))
    engine.refresh(index)
    found = engine.search(index, Tokens.of({"dog": 2.5, "grass": 0.5}, "m"))
    return {hit.id: hit.score for hit in found.hits}

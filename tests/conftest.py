"""Fixtures that all tests share: real engines, real photos, and the rule that nothing is skipped
in silence under CI=true.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import urllib.error
import urllib.request
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import photos
from tests.nodes.nodes import NODES, URL_VARIABLES, NodeError, answers, kept, running

CI = os.environ.get("CI") == "true"
ROOT = Path(__file__).parents[1]
SHARED_DATA = Path(os.environ.get("STAIR_TEST_DATA") or ROOT.parent / "shared" / "data")
EVERYWHERE = ("sqlite", *NODES)
"""The embedded engine, and a node of each version."""

# --- engines ------------------------------------------------------------------------------------


def token_type(name: str) -> str:
    """How an engine of `EVERYWHERE` keeps tokens: our nodes of Elasticsearch 8 and 9 lack
    rank_features.
    """
    return "sparse_vector" if name in ("elasticsearch8", "elasticsearch9") else "rank_features"


class Engines:
    """The engines of this run: each is had when the first test asks for it, and kept to the end.

    Taken is the first that there is: the URL in the environment, the node that `make engines` left
    running in this clone, a node of our own, which ends with the tests.
    """

    def __init__(self, until: ExitStack) -> None:
        self._until = until
        self.urls: dict[str, str] = {}
        self._missing: dict[str, str] = {}

    def url(self, name: str) -> str:
        if name not in self.urls and name not in self._missing:
            try:
                self.urls[name] = self._have(name)
            except NodeError as error:
                self._missing[name] = str(error)
        if name in self._missing:
            pytest.skip(f"no {name}: {self._missing[name]}")
        return self.urls[name]

    def _have(self, name: str) -> str:
        if url := os.environ.get(URL_VARIABLES[name], "").rstrip("/"):
            if not answers(url):
                pytest.fail(f"{URL_VARIABLES[name]} is {url}, and nothing answers there")
            return url
        node = kept(NODES[name]) or self._until.enter_context(running(NODES[name]))
        return node.url

    def wipe(self, prefix: str) -> None:
        """Delete the indices whose names start so (by name: wildcards may be forbidden)."""
        for url in self.urls.values():
            for index in _http(
                "GET", f"{url}/_cat/indices/{prefix}*?format=json&expand_wildcards=all"
            ):
                _http("DELETE", f"{url}/{index['index']}")


def _http(method: str, url: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
        body = json.load(answer)
    return body if isinstance(body, list) else []


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    with ExitStack() as until:
        yield Engines(until)


@pytest.fixture
def opensearch_url(engines: Engines) -> str:
    """OpenSearch with k-NN and neural-search."""
    return engines.url("opensearch")


@pytest.fixture
def opensearch2_url(engines: Engines) -> str:
    """OpenSearch 2.19, the same way."""
    return engines.url("opensearch2")


@pytest.fixture
def elasticsearch7_url(engines: Engines) -> str:
    """Elasticsearch 7.17: rank_features, no painless."""
    return engines.url("elasticsearch7")


@pytest.fixture
def elasticsearch8_url(engines: Engines) -> str:
    """Elasticsearch 8.19; our own node lacks rank_features and `GET /`."""
    return engines.url("elasticsearch8")


@pytest.fixture
def elasticsearch9_url(engines: Engines) -> str:
    """Elasticsearch 9; our own node lacks rank_features and `GET /`."""
    return engines.url("elasticsearch9")


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("opensearch", marks=pytest.mark.engines),
        pytest.param("elasticsearch7", marks=pytest.mark.engines),
    ]
)
def engine_url(request: pytest.FixtureRequest, engines: Engines, tmp_path: Path) -> str:
    """What `--url` takes, for each of the three engines in turn."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'stair.db'}"
    return engines.url(request.param)


@pytest.fixture
def index_name(engines: Engines) -> Iterator[str]:
    """An index name that nobody else has; indices whose names start with it are wiped after."""
    name = f"stair-test-{uuid.uuid4().hex[:12]}"
    yield name
    engines.wipe(name)


# --- photos -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def package_photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some 57 real photos, JPEG and PNG, from installed packages, in one folder of this session."""
    folder = tmp_path_factory.mktemp("photos")
    for name, photo in photos.package_photos().items():
        shutil.copy(photo, folder / name)
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with coco-captions, flickr8k and the like, where this machine has it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data in {SHARED_DATA} (STAIR_TEST_DATA names another folder)")
    return SHARED_DATA


# --- what is run, in which order, and what may be skipped ---------------------------------------


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore ^C, and all that this starts in turn; so
    tests of ^C would fail there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    lines = []
    for name, recipe in NODES.items():
        if url := os.environ.get(URL_VARIABLES[name]):
            lines.append(f"{name}: {url} (from {URL_VARIABLES[name]})")
        elif node := kept(recipe):
            lines.append(f"{name}: {node.version} at {node.url} (make engines)")
        else:
            lines.append(f"{name}: {recipe.version} from Maven, started when a test asks")
    data = f"yes ({SHARED_DATA})" if SHARED_DATA.is_dir() else "no"
    script = "yes" if shutil.which("node") else "no (docs/front-ends.md: its JavaScript is not run)"
    return [*lines, f"shared data: {data}; CI: {'yes' if CI else 'no'}; Node: {script}"]


@pytest.hookimpl(tryfirst=True)  # before -m chooses by these marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    nodes = {f"{name}_url" for name in NODES}
    for item in items:
        if nodes & set(getattr(item, "fixturenames", ())):
            item.add_marker("engines")
    order = ("docker", "slow", "engines", "train", "ray")  # the quick ones first
    items.sort(key=lambda item: [item.get_closest_marker(name) is not None for name in order])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    may_skip = item.get_closest_marker("docker") or "shared_data" in getattr(
        item, "fixturenames", ()
    )
    if not may_skip:
        _no_silent_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _no_silent_skip(report)
    return report


def _no_silent_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Under CI=true a test that finds something missing has failed."""
    if CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"under CI=true nothing is skipped in silence: {reason}"

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stair_search.engines import Engine, connect
from stair_search.mappings import index_body


@pytest.fixture
def engine(engine_url: str) -> Iterator[Engine]:
    """Each of the three engines in turn."""
    found = connect(engine_url)
    yield found
    found.close()


@pytest.fixture
def index(engine: Engine, index_name: str) -> str:
    """An empty index of one shard."""
    engine.create(index_name, index_body(engine.info.product, shards=1, replicas=0))
    return index_name

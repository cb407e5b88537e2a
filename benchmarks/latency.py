"""Milliseconds from a question to its hits, on each engine, with the encoder's share apart.

    python -m benchmarks.latency [--photos 2000] [--questions 300] [--data FOLDER] [--url URL ...]

Photos: those of coco-captions in ../shared/data or in --data. Questions: their captions. One after
the other, one client, ten hits with their reasons; the first ten are not counted. Without --url:
SQLite and the nodes that `make engines` left running, where an index stair-latency stays.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.machine import heading, machine, row
from stair_search.encoders import load_encoder
from stair_search.engines import Engine, connect
from stair_search.mappings import index_body
from stair_search.queries import Match, Query, question
from tests.conftest import SHARED_DATA
from tests.engines.corpus import Corpus, corpus
from tests.nodes.nodes import NODES, kept

T = TypeVar("T")
INDEX = "stair-latency"
WARM = 10
SHELL_RUNS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=2_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--data", type=Path, default=SHARED_DATA, help="holds coco-captions")
    parser.add_argument("--url", action="append", help="an engine; may be given again")
    given = parser.parse_args()
    cache = Path(tempfile.gettempdir()) / "stair-latency"
    cache.mkdir(exist_ok=True)
    held = corpus(given.data, [], cache, given.photos)
    documents = held.documents
    texts = held.questions[: given.questions + WARM]
    print(f"{machine()}; {held.what}, {_tokens(held):.0f} tokens each; model {held.model}")

    encode = timed(load_encoder().encode_text, texts)
    asked = [held.asked(text) for text in texts]
    print(f"{len(texts) - WARM} questions, {np.mean([len(one) for one in asked]):.0f} tokens each")
    heading()
    row("encoder, one question", encode)
    tokens: list[Query] = [question(one, model=held.model) for one in asked]
    both: list[Query] = [
        question(one, model=held.model, match=[Match("caption", text, 0.3)])
        for one, text in zip(asked, texts, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        nodes = [
            node.url for name in ("opensearch", "elasticsearch7") if (node := kept(NODES[name]))
        ]
        for url in given.url or [f"sqlite:{folder}/stair.db", *nodes]:
            with filled(url, held) as engine:
                name = f"{engine.info.product} {engine.info.version}"
                for what, queries in (("tokens", tokens), ("tokens + text", both)):

                    def ask(query: Query, engine: Engine = engine) -> object:
                        return engine.search(INDEX, query)

                    row(f"{name}, {what}", timed(ask, queries))
                if url.startswith("sqlite:"):
                    shell = from_the_shell(url, texts)
        row("a search from the shell", shell)
    print(f"\n{len(documents)} photos; the shell's: SQLite, imports included, {len(shell)} runs")


@contextmanager
def filled(url: str, held: Corpus) -> Iterator[Engine]:
    engine = connect(url)
    if not engine.exists(INDEX):
        engine.create(INDEX, index_body(engine.info.product, shards=1, replicas=0))
    for start in range(0, len(held.documents), 500):
        outcomes = engine.bulk(INDEX, held.documents[start : start + 500])
        assert all(outcome.ok for outcome in outcomes), outcomes
    engine.refresh(INDEX)
    yield engine
    engine.close()


def timed(work: Callable[[T], object], given: Sequence[T]) -> list[float]:
    """Milliseconds of each, the first few left out."""
    taken = []
    for one in given:
        began = time.perf_counter()
        work(one)
        taken.append((time.perf_counter() - began) * 1000)
    return taken[WARM:]


def from_the_shell(url: str, texts: list[str]) -> list[float]:
    command = [str(Path(sys.executable).with_name("stair-search")), "search", "--url", url]
    command += ["--index", INDEX, "--format", "json"]
    return timed(
        lambda text: subprocess.run([*command, text], check=True, capture_output=True),
        texts[: SHELL_RUNS + WARM],
    )


def _tokens(held: Corpus) -> float:
    return float(np.mean([len(document.fields["stair"][0]) for document in held.documents]))


if __name__ == "__main__":
    main()

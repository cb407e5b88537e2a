"""What our side of a query costs, and searches end to end beside the same bodies sent by hand.

    python -m benchmarks.queries [--documents 100000] [--questions 100] [--url URL] [--kind KIND]

1. Our side alone, step by step, without a network: a question of words, alone or with a clause of
   text, a filter and an excluded token, is parsed, encoded by the starter's table, made a query
   and a body; ten hits of a recorded answer are read with their reasons. Time of the CPU, so that
   others on the machine do not count.
2. Each kind of query in four ways, in turns that rotate, one client: the body that `prepare` makes,
   sent as it is by opensearch-py or elasticsearch-py, and `engine.search`; both with the reasons
   and without. Ratio: ours to the client's. SQLite has no client to be held against.

Documents: photos of coco-captions in --data, then sums of two of them with random shares, so that
none needs encoding; a vector of 64 numbers is a random projection of the tokens. --nested: also an
index of a quarter as many documents of four photos each. Without --url: SQLite and the nodes that
`make engines` left running. Indices stay with --keep, for another run; else they are deleted.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import elasticsearch
import numpy as np
import opensearchpy
from numpy.typing import NDArray

from benchmarks.machine import heading, machine, row
from stair_search.encoders import Encoder, load_encoder
from stair_search.engines import Document, Engine, Hits, connect
from stair_search.engines.hybrid import search_hybrid
from stair_search.engines.lucene.engine import LuceneEngine, Prepared
from stair_search.errors import UsageError
from stair_search.ingest.load import LOADING
from stair_search.mappings import index_body
from stair_search.queries import (
    Bool,
    Facet,
    Hybrid,
    Match,
    Nearest,
    Query,
    Range,
    Search,
    Term,
    question,
)
from stair_search.queries.grammar import Grammar, Photo, Words, as_query, parse
from tests.conftest import SHARED_DATA
from tests.engines.corpus import COLUMNS, Corpus, corpus
from tests.nodes.nodes import NODES, kept

WARM = 10
NUMBERS = 64
BULK = 1_000
PHOTOS = 4
HEADERS = {"accept": "application/json", "content-type": "application/json"}

Call = Callable[[], object]
Taken = dict[str, list[float]]
Maker = Callable[["Question"], Search | Hybrid]


class Question(NamedTuple):
    """text: a caption; tokens: its tokens by name; vector: [NUMBERS]."""

    text: str
    tokens: dict[str, float]
    vector: tuple[float, ...]
    model: str

    @property
    def strongest(self) -> str:
        return max(self.tokens, key=lambda token: self.tokens[token])


# --- documents that need no encoding ------------------------------------------------------------


class Made:
    """Photos of the corpus and sums of two of them, always the same ones."""

    def __init__(self, held: Corpus, encoder: Encoder) -> None:
        self._held, self._vocabulary = held, encoder.vocabulary
        chance = np.random.default_rng(3)
        self._projection = chance.standard_normal((len(encoder.vocabulary.tokens), NUMBERS))

    @cached_property
    def _tokens(self) -> list[dict[str, float]]:
        return [document.fields["stair"][0] for document in self._held.documents]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {token: at for at, token in enumerate(self._vocabulary.tokens)}

    def vector(self, tokens: Mapping[str, float]) -> NDArray[np.float64]:
        rows = [self._places[token] for token in tokens if token in self._places]
        weights = [weight for token, weight in tokens.items() if token in self._places]
        found = np.asarray(weights) @ self._projection[rows] if rows else np.ones(NUMBERS)
        return np.asarray(found / np.linalg.norm(found), np.float64)

    def photos(self, count: int) -> Iterator[dict[str, Any]]:
        """Fields of each document."""
        chance, given = random.Random(7), self._held.documents
        for at in range(count):
            fields = dict(given[at % len(given)].fields)
            if at >= len(given):
                other = chance.choice(self._tokens)
                fields["stair"] = [_mixed(fields["stair"][0], other, chance.uniform(0.1, 0.9))]
            fields["dense"] = self.vector(fields["stair"][0]).round(5).tolist()
            yield fields

    def documents(self, count: int) -> Iterator[Document]:
        return (Document(str(at), fields) for at, fields in enumerate(self.photos(count)))

    def products(self, count: int) -> Iterator[Document]:
        """Documents of `PHOTOS` photos each, `count` photos in all."""
        photos = self.photos(count)
        for at, some in enumerate(zip(*[photos] * PHOTOS, strict=False)):
            below = [
                {name: one[name] for name in ("image", "stair", "stair_model", "width")}
                for one in some
            ]
            shown = {name: some[0][name] for name in ("caption", "split", "photographer")}
            yield Document(str(at), {**shown, "photos": below})


def _mixed(one: Mapping[str, float], other: Mapping[str, float], share: float) -> dict[str, float]:
    """The 96 strongest of the sum."""
    total = {token: share * weight for token, weight in one.items()}
    for token, weight in other.items():
        total[token] = total.get(token, 0.0) + (1 - share) * weight
    strongest = sorted(total.items(), key=lambda item: (-item[1], item[0]))[:96]
    return {token: round(weight, 6) for token, weight in strongest}


# --- engines and the clients they are held against ----------------------------------------------


@contextmanager
def filled(
    url: str, index: str, documents: Callable[[], Iterator[Document]], several: bool, keep: bool
) -> Iterator[Engine]:
    """The engine with an index of these documents."""
    engine = connect(url, timeout=300)
    try:
        if not engine.exists(index):
            engine.create(index, _body(engine, several))
            began, count = time.perf_counter(), 0
            for batch in _batches(documents(), BULK):
                outcomes = engine.bulk(index, batch)
                assert all(outcome.ok for outcome in outcomes), outcomes[0]
                count += len(batch)
            engine.refresh(index)
            taken = time.perf_counter() - began
            print(f"{engine.info.product} {engine.info.version}: {count} in {taken:.0f} s")
        yield engine
    finally:
        if not keep and engine.info.product != "sqlite":
            opensearchpy.OpenSearch(url).transport.perform_request("DELETE", f"/{index}")
        engine.close()


def _body(engine: Engine, several: bool) -> dict[str, Any]:
    info = engine.info
    modern = info.product == "elasticsearch" and not info.version.startswith("7.")
    body = index_body(
        info.product,
        columns={**COLUMNS, "caption": "text"},
        shards=1,
        several=several,
        token_type="sparse_vector" if modern else "rank_features",
        vectors={} if several or not _has_vectors(info.product, info.version) else _VECTORS,
    )
    body["settings"]["index"] |= LOADING
    return body


_VECTORS = {"dense": NUMBERS}


def _has_vectors(product: str, version: str) -> bool:
    """Elasticsearch 7 keeps vectors, but finds none within a query."""
    return product != "elasticsearch" or not version.startswith("7.")


class Bare:
    """The product's own client, which sends a body as somebody has written it."""

    def __init__(self, engine: LuceneEngine, index: str) -> None:
        url, self._index = engine.info.url, index
        self._opensearch = self._elastic = None
        if engine.info.product == "opensearch":
            self._opensearch = opensearchpy.OpenSearch(url, timeout=300)
        else:
            self._elastic = elasticsearch.Elasticsearch(url, request_timeout=300)

    def search(self, body: Mapping[str, Any]) -> Any:
        if self._opensearch:
            return self._opensearch.search(index=self._index, body=body)
        return self._send("_search", HEADERS, body)

    def search_many(self, bodies: Sequence[Mapping[str, Any]]) -> Any:
        lines = [line for body in bodies for line in ({}, body)]
        if self._opensearch:
            return self._opensearch.msearch(index=self._index, body=lines)
        return self._send("_msearch", {**HEADERS, "content-type": "application/x-ndjson"}, lines)

    def _send(self, path: str, headers: Mapping[str, str], body: Any) -> Any:
        assert self._elastic
        # 7.17 does not know the media type that `search` of this client sends
        return self._elastic.perform_request(
            "POST", f"/{self._index}/{path}", headers=headers, body=body
        )


# --- kinds of query -----------------------------------------------------------------------------


def kinds(product: str, version: str) -> dict[str, Maker]:
    found: dict[str, Maker] = {
        "tokens": lambda q: Search(_asked(q)),
        "tokens + text": lambda q: Search(_asked(q, match=[Match("caption", q.text, 0.3)])),
        "filters": lambda q: Search(
            _asked(q, rules=[Term("split", "train"), Range("likes", gte=5)])
        ),
        "require, without": lambda q: Search(
            _asked(q, require=[q.strongest], without={"person": 0.1})
        ),
        "facets": lambda q: Search(
            _asked(q), facets=(Facet("stair_tokens", 20), Facet("photographer"))
        ),
        "hybrid, RRF": lambda q: Hybrid.of(
            {"tokens": _asked(q), "text": Match("caption", q.text)}, depth=50
        ),
    }
    if _has_vectors(product, version):
        found["nearest 100"] = lambda q: Search(Nearest("dense", q.vector, k=100))
        found["tokens + nearest"] = lambda q: Search(_asked(q) | Nearest("dense", q.vector, k=100))
    if product == "opensearch":
        found["neural_sparse"] = lambda q: Search(_asked(q), neural_sparse=True)
    return found


def nested_kinds() -> dict[str, Maker]:
    return {
        "best photo": lambda q: Search(_asked(q, photos="photos")),
        "best photo + text": lambda q: Search(
            _asked(q, match=[Match("caption", q.text, 0.3)], photos="photos")
        ),
    }


def _asked(given: Question, **more: Any) -> Bool:
    return question(given.tokens, model=given.model, **more)


def calls(
    engine: Engine, bare: Bare | None, index: str, wanted: Search | Hybrid
) -> dict[str, Call]:
    """The ways to ask for the same."""
    found: dict[str, Call] = {}
    for why, name in ((False, "plain"), (True, "reasons")):
        found[f"{name}, ours"] = ours(engine, index, wanted, why)
        if bare and isinstance(engine, LuceneEngine):
            found[f"{name}, client"] = by_hand(engine, bare, index, wanted, why)
    return found


def ours(engine: Engine, index: str, wanted: Search | Hybrid, why: bool) -> Call:
    if isinstance(wanted, Hybrid):
        return lambda: search_hybrid(engine, index, wanted, why=why)
    search = _with(wanted, why)
    return lambda: engine.search(index, search)


def by_hand(
    engine: LuceneEngine, bare: Bare, index: str, wanted: Search | Hybrid, why: bool
) -> Call:
    if isinstance(wanted, Hybrid):
        searches = [Search(query, wanted.depth, why=why) for query in wanted.queries]
        bodies = [engine.prepare(index, search).body for search in searches]
        return lambda: bare.search_many(bodies)
    body = engine.prepare(index, _with(wanted, why)).body
    return lambda: bare.search(body)


def _with(search: Search, why: bool) -> Search:
    return Search(search.query, facets=search.facets, why=why, neural_sparse=search.neural_sparse)


def in_turns(rounds: Sequence[Mapping[str, Call]]) -> Taken:
    """Milliseconds of each way, the first rounds left out. Who comes first changes each round."""
    taken: Taken = {}
    for number, ways in enumerate(rounds):
        names = list(ways)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            began = time.perf_counter()
            ways[name]()
            if number >= WARM:
                taken.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    return taken


def end_to_end(
    engine: Engine, index: str, asked: Mapping[str, Maker], questions: Sequence[Question]
) -> None:
    print(f"\n{engine.info.product} {engine.info.version}, {engine.count(index)} documents, "
          f"{len(questions) - WARM} questions; ms, p50 / p95; {machine()}\n")  # fmt: skip
    print("| | client | ours | ratio | client, reasons | ours, reasons | ratio |")
    print("|---|---|---|---|---|---|---|")
    bare = Bare(engine, index) if isinstance(engine, LuceneEngine) else None
    for kind, make in asked.items():
        try:
            taken = in_turns([calls(engine, bare, index, make(one)) for one in questions])
        except UsageError as error:
            print(f"| {kind} | {error} |")
            continue
        print(f"| {kind} | {' | '.join(_cells(taken))} |", flush=True)


def _cells(taken: Taken) -> Iterator[str]:
    for name in ("plain", "reasons"):
        both = [taken.get(f"{name}, {who}") for who in ("client", "ours")]
        points = [np.percentile(times, [50, 95]) if times else None for times in both]
        for found in points:
            yield "–" if found is None else f"{found[0]:.1f} / {found[1]:.1f}"
        hand, own = points
        if hand is None or own is None:
            yield "–"
        else:
            yield " / ".join(f"{ratio:.2f}" for ratio in own / hand)


# --- our side alone -----------------------------------------------------------------------------

CLAUSES = "without:leash:0.2 caption:(sunset dog)^0.3 filter:split=train"
GRAMMAR = Grammar(text_fields={"caption"}, filter_fields={"split"})


def our_side(engine: LuceneEngine, index: str, encoder: Encoder, texts: Sequence[str]) -> None:
    """Of questions that are words alone, and of those with clauses."""
    for clauses in ("", CLAUSES):
        _alone(engine, index, encoder, [f"{text} {clauses}".strip() for text in texts], clauses)


def _alone(
    engine: LuceneEngine, index: str, encoder: Encoder, texts: Sequence[str], clauses: str
) -> None:
    taken: Taken = {}
    bare = Bare(engine, index)
    bodies = [_prepared(engine, index, encoder, text).body for text in texts]
    answers = [json.dumps(_plain(bare.search(body))) for body in bodies]
    gc.collect()
    gc.freeze()  # what was made ready is not to be looked through again and again
    for number, (text, answer) in enumerate(zip(texts, answers, strict=True)):
        times = _steps(engine, index, encoder, text, answer)
        if number >= WARM:
            for name, milliseconds in times.items():
                taken.setdefault(name, []).append(milliseconds)
    print(f"\nour side alone, {len(texts) - WARM} questions with {clauses!r}; ms of this thread's "
          f"CPU; {machine()}")  # fmt: skip
    heading()
    gc.unfreeze()
    for name, times_of in taken.items():
        row(name, times_of)


def _prepared(engine: LuceneEngine, index: str, encoder: Encoder, text: str) -> Prepared:
    asked = parse(text, GRAMMAR)
    return engine.prepare(index, _query(encoder, asked, None))


def _steps(
    engine: LuceneEngine, index: str, encoder: Encoder, text: str, answer: str
) -> dict[str, float]:
    """Milliseconds of each step of one question: of CPU, others on the machine apart."""
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.thread_time()
        made = work()
        found[name] = (time.thread_time() - began) * 1000
        return made

    asked = timed("grammar parsed", lambda: parse(text, GRAMMAR))
    words = next(part.text for part in asked.parts if isinstance(part, Words))
    tokens = timed("words encoded", lambda: _tokens(encoder, words))
    query = timed("query made", lambda: _query(encoder, asked, tokens))
    prepared: Prepared = timed("checked, compiled", lambda: engine.prepare(index, query))
    timed("body as JSON", lambda: json.dumps(prepared.body, separators=(",", ":")).encode())
    told = json.loads(answer)
    hits: Hits = timed("10 hits with reasons read", lambda: prepared.hits(told))
    assert len(hits.hits) <= 10
    found["all of these"] = sum(found.values())
    plain = engine.prepare(index, query, why=False)
    timed("10 hits without reasons", lambda: plain.hits(told))
    timed("(answer's JSON, by a client)", lambda: json.loads(answer))
    return found


def _tokens(encoder: Encoder, text: str) -> dict[str, float]:
    return encoder.vocabulary.to_dict(encoder.encode_text(text))


def _query(encoder: Encoder, asked: Any, tokens: dict[str, float] | None) -> Query:
    """tokens: of the words, encoded here if None."""

    def encode(part: Words | Photo) -> dict[str, float]:
        assert isinstance(part, Words)
        return _tokens(encoder, part.text) if tokens is None else tokens

    return as_query(asked, encode, model=encoder.fingerprint)


def _plain(answer: Any) -> Any:
    return answer if isinstance(answer, dict) else answer.body


def _batches(items: Iterator[Document], size: int) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def main() -> None:
    about, _, how = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=how, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--data", type=Path, default=SHARED_DATA, help="holds coco-captions")
    parser.add_argument("--url", action="append", help="an engine; may be given again")
    parser.add_argument("--kind", action="append", help="of query; may be given again")
    parser.add_argument("--nested", action="store_true", help="also documents of four photos")
    parser.add_argument("--keep", action="store_true", help="leave the indices for another run")
    given = parser.parse_args()
    cache = Path(tempfile.gettempdir()) / "stair-latency"
    cache.mkdir(exist_ok=True)
    encoder = load_encoder(threads=1)
    held = corpus(given.data, [], cache, 2_000)
    made = Made(held, encoder)
    texts = held.questions[: given.questions + WARM]
    asked = [
        Question(text, tokens, tuple(made.vector(tokens).tolist()), held.model)
        for text, tokens in ((text, held.asked(text)) for text in texts)
    ]
    print(f"{machine()}; {given.documents} documents of {held.what}; model {held.model}; "
          f"{np.mean([len(one.tokens) for one in asked]):.0f} tokens a question")  # fmt: skip
    index = f"stair-queries-{given.documents}"
    for url in given.url or [f"sqlite:{cache}/{index}.db", *_running()]:
        with filled(
            url, index, lambda: made.documents(given.documents), False, given.keep
        ) as engine:
            if isinstance(engine, LuceneEngine):
                our_side(engine, index, encoder, texts)
            every = kinds(engine.info.product, engine.info.version)
            some = {name: make for name, make in every.items() if name in (given.kind or every)}
            end_to_end(engine, index, some, asked)
        if given.nested:
            name = f"{index}-nested"
            with filled(
                url, name, lambda: made.products(given.documents), True, given.keep
            ) as engine:
                end_to_end(engine, name, nested_kinds(), asked)
        if url.startswith("sqlite:") and not given.keep:
            Path(url.removeprefix("sqlite:")).unlink()


def _running() -> list[str]:
    nodes = (kept(NODES[name]) for name in NODES)
    return [node.url for node in nodes if node]


if __name__ == "__main__":
    main()

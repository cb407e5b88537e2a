"""What text, tokens and a dense vector find alone, and what they find fused.

    python -m benchmarks.hybrid [--data ../shared/data] [--choosing 400]

- flickr8k: each photo of the test split is a document of its first caption (text), its tokens and
  a dense vector; the other captions ask. Weights are chosen on the val split, asked the same way.
- products: each product is a document of its title (text), and of its photo's tokens and vector;
  its description asks. Every fifth description chooses weights, the others are measured; all
  products are in the index both times.

tokens: of the starter, questions by its table. dense: CLIP, 512 numbers, on the same frozen towers,
which taught the starter (`python -m stair_search.training.starter`; trained here, in minutes, where
its run is not there), questions by its network. Neither has seen a product.

`sum` is one query, `a | b | c` with boosts. RRF, min_max and l2 fuse the 100 best of each part.
Weights are named where they are not 1. Text and tokens are scored by the embedded engine, vectors
by its arithmetic: all documents, exactly. Intervals: 95 %, photos drawn again.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import logging
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.family.frozen import FrozenEncoder
from benchmarks.machine import machine
from stair_search.encoders import Encoder, load_encoder
from stair_search.engines import Document
from stair_search.engines.embedded import SqliteEngine
from stair_search.engines.embedded.evaluate import Evaluation
from stair_search.engines.vectors import scores as similarities
from stair_search.evaluation.bootstrap import interval, replicates
from stair_search.evaluation.encode import encode_photos, encode_texts
from stair_search.evaluation.pairs import read_pairs
from stair_search.evaluation.retrieval import CUTS, ranks_of
from stair_search.ingest.decode import decode
from stair_search.mappings import index_body
from stair_search.queries import RRF, All, Hybrid, Match, Normalised, Query, Tokens
from stair_search.queries.fusion import fused
from stair_search.tokens import TokenWeights
from stair_search.training.data import read_data
from stair_search.training.starter import pipeline
from stair_search.training.starter.pairs import write_pairs

log = logging.getLogger(__name__)

TEXT, TOKENS, DENSE = PARTS = ("BM25", "tokens", "dense")
DEPTH = 100
PRODUCTS = 1_000
"""Those that are in the index: encoding takes a CPU minutes."""
INDEX = "photos"
SUMS = {TEXT: (0.003, 0.01, 0.03, 0.1, 0.3), TOKENS: (1.0,), DENSE: (0.3, 1.0, 3.0, 10.0, 30.0)}
"""Boosts that are tried: a score of BM25 is some 10 here, one of tokens 0.5, vectors' from 0.5 to
1, of which little says anything."""
SHARES = {TEXT: (0.25, 0.5, 1.0, 2.0), TOKENS: (1.0,), DENSE: (0.5, 1.0, 2.0)}
"""Weights that are tried of ranks and of normalised scores."""
FUSIONS: dict[str, RRF | Normalised] = {
    "RRF": RRF(),
    "min_max": Normalised("min_max"),
    "l2": Normalised("l2"),
}

Weights = Mapping[str, float]
Scores = NDArray[np.float32]
Ranks = NDArray[np.int64]
Found = list[tuple[str, float]]
Rows = dict[str, Ranks]
"""Of each system, by what its row says."""


class Gallery(NamedTuple):
    """Documents: photos, each with a text."""

    photos: list[Path]
    texts: list[str]


class Questions(NamedTuple):
    """owner: for each text the place of the one right photo."""

    texts: list[str]
    owner: list[int]

    def at(self, places: Sequence[int]) -> Questions:
        return Questions([self.texts[at] for at in places], [self.owner[at] for at in places])


class Task(NamedTuple):
    """Questions to choose weights by and those that are measured, with names of what they ask."""

    choosing: tuple[str, tuple[Gallery, Questions]]
    measured: tuple[str, tuple[Gallery, Questions]]


class Models(NamedTuple):
    starter: Encoder
    clip: FrozenEncoder
    cache: Path


# --- what is asked of what ----------------------------------------------------------------------


def flickr8k(data: Path, count: int) -> Task:
    gallery, questions = _captioned(data, "val")
    some = sorted(random.Random(0).sample(range(len(questions.texts)), count))
    choosing = ("flickr8k-val", (gallery, questions.at(some)))
    return Task(choosing, ("flickr8k-test", _captioned(data, "test")))


def _captioned(data: Path, split: str) -> tuple[Gallery, Questions]:
    folder = data / "flickr8k"
    pairs = read_pairs(folder / "captions.csv", folder / "images", split)
    first: dict[int, str] = {}
    questions = Questions([], [])
    for caption, photo in zip(pairs.captions, pairs.owner, strict=True):
        if first.setdefault(photo, caption) is not caption:
            questions.texts.append(caption)
            questions.owner.append(photo)
    return Gallery(pairs.photos, [first[at] for at in range(len(pairs.photos))]), questions


def products(data: Path, count: int) -> Task:
    folder = data / "products"
    with (folder / "products.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))[:PRODUCTS]
    gallery = Gallery(
        [folder / "images" / row["image"] for row in rows], [row["title"] for row in rows]
    )
    every = Questions([row["description"] for row in rows], list(range(len(rows))))
    fifth = every.at(range(0, len(rows), 5)[:count])
    others = every.at([at for at in range(len(rows)) if at % 5])
    return Task(("products", (gallery, fifth)), ("products", (gallery, others)))


# --- encoding and indexing ----------------------------------------------------------------------


def models(data: Path, runs: Path, states: Path, cache: Path) -> Models:
    pairs = read_data(write_pairs(data, runs / "pairs.csv"), data)
    clip = pipeline.run("small-clip", pairs, runs / "small-clip", states, ())
    return Models(load_encoder(threads=2), FrozenEncoder(clip, states), cache)


def photo_tokens(held: Models, name: str, photos: Sequence[Path]) -> list[TokenWeights]:
    """Encoded once, then read from the cache."""
    model = held.starter.fingerprint.replace("/", "-")
    kept = held.cache / f"{model}-{name}-{len(photos)}.npz"
    if not kept.exists():
        log.info("%s: %d photos to tokens", name, len(photos))
        tokens = encode_photos(held.starter, photos, decode)
        np.savez(
            kept,
            counts=[len(one) for one in tokens],
            ids=np.concatenate([one.ids for one in tokens]),
            weights=np.concatenate([one.weights for one in tokens]),
        )
    with np.load(kept) as found:
        ends = np.cumsum(found["counts"])[:-1]
        pairs = zip(np.split(found["ids"], ends), np.split(found["weights"], ends), strict=True)
        return [TokenWeights(ids, weights) for ids, weights in pairs]


def documents(held: Models, name: str, gallery: Gallery) -> Iterator[Document]:
    """The photo's place is the document's name."""
    tokens = photo_tokens(held, name, gallery.photos)
    for at, (text, one) in enumerate(zip(gallery.texts, tokens, strict=True)):
        fields = {
            "text": text,
            "stair": [held.starter.vocabulary.to_features(one)],
            "stair_model": held.starter.fingerprint,
        }
        yield Document(str(at), fields)


@contextmanager
def indexed(made: Sequence[Document]) -> Iterator[SqliteEngine]:
    with tempfile.TemporaryDirectory() as folder:
        engine = SqliteEngine(f"{folder}/stair.db")
        engine.create(INDEX, index_body("sqlite", columns={"text": "text"}))
        outcomes = engine.bulk(INDEX, made)
        assert all(outcome.ok for outcome in outcomes)
        yield engine
        engine.close()


def every_score(engine: SqliteEngine, queries: Sequence[Query]) -> NDArray[np.float32]:
    """[queries, documents]: what the engine gives each document, 0 where it is no hit. `search`
    gives as many, but reads each hit's document, too.
    """
    found = []
    with engine._reading(INDEX) as (db, index):
        for query in queries:
            one = Evaluation(db, index.number, index.documents, index.mapping)
            found.append(one.find(query).scores)
    return np.stack(found)


def scores_of(held: Models, name: str, gallery: Gallery, questions: Questions) -> Scores:
    """[questions, parts, documents], parts as in PARTS."""
    photos = np.asarray(held.clip.encode_photos(gallery.photos), np.float32)
    vectors = np.asarray(held.clip.encode_texts(questions.texts), np.float32)
    dense = np.stack([similarities("cosine", photos, one) for one in vectors])
    tokens = encode_texts(held.starter, questions.texts)
    asked = [
        Tokens.of(held.starter.vocabulary.to_dict(one), held.starter.fingerprint) for one in tokens
    ]
    with indexed(list(documents(held, name, gallery))) as engine:
        text = every_score(engine, [Match("text", one) for one in questions.texts])
        sparse = every_score(engine, asked)
    return np.stack([text, sparse, dense.astype(np.float32)], 1)


# --- asking and fusing --------------------------------------------------------------------------


def best_of(scores: NDArray[np.floating], most: int) -> Found:
    """Ids and scores of the best, as an engine gives them: of equals the first document first."""
    order = np.argsort(-scores, kind="stable")[:most]
    return [(str(at), float(scores[at])) for at in order if scores[at] > 0]


class Asked:
    """Questions and what every document scores for each part. lists: the best of each part."""

    def __init__(self, scores: Scores, owner: Sequence[int]) -> None:
        self.scores, self.owner = scores, list(owner)
        self.photos = scores.shape[2]
        self.lists = [[best_of(part, DEPTH) for part in one] for one in scores]

    def single(self, part: str) -> Ranks:
        at = PARTS.index(part)
        return self._ranks([lists[at] for lists in self.lists])

    def sum(self, weights: Weights) -> Ranks:
        """As an engine scores `a | b`: what is no hit of a part adds nothing."""
        factors = np.array([weights.get(part, 0.0) for part in PARTS])
        total = np.einsum("p,qpn->qn", factors, self.scores)
        return self._ranks([best_of(one, max(CUTS)) for one in total])

    def fused(self, by: RRF | Normalised, weights: Weights) -> Ranks:
        """As `search_hybrid` does with what it has asked for."""
        places = [PARTS.index(part) for part in weights]
        hybrid = Hybrid.of({part: All() for part in weights}, by, weights)
        ranked = (fused(hybrid, [lists[at] for at in places]) for lists in self.lists)
        return self._ranks([[(one.id, one.score) for one in found] for found in ranked])

    def _ranks(self, found: Sequence[Found]) -> Ranks:
        rankings = [[int(name) for name, _ in one[: max(CUTS)]] for one in found]
        return ranks_of(rankings, [{owner} for owner in self.owner])

    def hits(self, ranks: Ranks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of each photo: how many of its questions found it by each cut, and how many it has."""
        hits, asked = np.zeros((self.photos, len(CUTS))), np.zeros(self.photos)
        np.add.at(hits, self.owner, ranks[:, None] <= np.array(CUTS))
        np.add.at(asked, self.owner, 1)
        return hits[asked > 0], asked[asked > 0]


def ask(held: Models, name: str, what: tuple[Gallery, Questions]) -> Asked:
    gallery, questions = what
    scores = scores_of(held, name, gallery, questions)
    log.info("%s: %d questions asked of each part", name, len(questions.texts))
    return Asked(scores, questions.owner)


def systems() -> Iterator[tuple[str, ...]]:
    """Pairs of parts, and all three."""
    yield from itertools.combinations(PARTS, 2)
    yield PARTS


def grid(names: Sequence[str], tried: Mapping[str, Sequence[float]]) -> Iterator[Weights]:
    """Weights that are tried, those of tokens (or else BM25) being 1."""
    if TOKENS in names:
        values = [tried[name] for name in names]
        return (dict(zip(names, some, strict=True)) for some in itertools.product(*values))
    text, dense = names
    ratios = {b / a for a, b in itertools.product(tried[text], tried[dense])}
    return ({text: 1.0, dense: float(f"{ratio:.3g}")} for ratio in sorted(ratios))


def best(
    names: Sequence[str],
    tried: Mapping[str, Sequence[float]],
    ranks: Callable[[Weights], Ranks],
) -> Weights:
    """The weights of the highest mean of R@1, R@5 and R@10."""
    return max(grid(names, tried), key=lambda one: _mean_recall(ranks(one)))


def chosen(held: Asked) -> dict[tuple[str, tuple[str, ...]], Weights]:
    """Weights by what fuses and what is fused."""
    found: dict[tuple[str, tuple[str, ...]], Weights] = {}
    for names in systems():
        found["sum", names] = best(names, SUMS, held.sum)
        for how, by in FUSIONS.items():
            found[how, names] = best(names, SHARES, partial(held.fused, by))
        log.info("weights chosen for %s", " + ".join(names))
    return found


def measured(held: Asked, weights: Mapping[tuple[str, tuple[str, ...]], Weights]) -> Rows:
    """The ranks of every system, by what its row says."""
    rows = {name: held.single(name) for name in PARTS}
    for names in systems():
        what = " + ".join(names)
        own = weights["sum", names]
        rows[f"{what}, sum {_told(own)}"] = held.sum(own)
        for how, by in FUSIONS.items():
            rows[f"{what}, {how}"] = held.fused(by, dict.fromkeys(names, 1.0))
            own = weights[how, names]
            if len(set(own.values())) > 1:
                rows[f"{what}, {how} {_told(own)}"] = held.fused(by, own)
    return rows


# --- telling ------------------------------------------------------------------------------------


def table(held: Asked, rows: Rows) -> Iterator[str]:
    yield "| | R@1 | R@5 | R@10 |"
    yield "|---|---|---|---|"
    for name, ranks in rows.items():
        hits, questions = held.hits(ranks)
        drawn = replicates(hits, questions)
        figures = 100 * hits.sum(0) / questions.sum()
        cells = " | ".join(
            f"{figure:.1f} ({low:.1f} to {high:.1f})"
            for figure, (low, high) in zip(figures, map(interval, drawn.T), strict=True)
        )
        yield f"| {name} | {cells} |"


def gains(held: Asked, rows: Rows, before: Rows) -> Iterator[str]:
    """Of fusions against the best of their parts alone, photos drawn alike for both. before: rows
    of the questions that chose the weights, which also choose the best.
    """

    def best_row(names: Iterable[str]) -> str:
        return max(names, key=lambda name: _mean_recall(before[name]))

    def fusion(names: Sequence[str]) -> str:
        return best_row(name for name in rows if name.partition(",")[0] == " + ".join(names))

    pairs = [(fusion(names), best_row(names)) for names in systems()]
    for one, other in (*pairs, (fusion(PARTS), fusion((TEXT, TOKENS)))):
        yield f"- {one}, minus {other}: {difference(held, rows[one], rows[other])}"


def difference(held: Asked, one: Ranks, other: Ranks) -> str:
    (ours, questions), (theirs, _) = held.hits(one), held.hits(other)
    drawn = replicates(ours, questions) - replicates(theirs, questions)
    points = 100 * (ours - theirs).sum(0) / questions.sum()
    return ", ".join(
        f"R@{cut} {point:+.1f} ({low:+.1f} to {high:+.1f})"
        for cut, point, (low, high) in zip(CUTS, points, map(interval, drawn.T), strict=True)
    )


def _mean_recall(ranks: Ranks) -> float:
    return float(np.mean([(ranks <= cut).mean() for cut in CUTS]))


def _told(weights: Weights) -> str:
    return ":".join(f"{weight:g}" for weight in weights.values())


def main() -> None:
    about, _, how = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=how, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=pipeline.RUNS)
    parser.add_argument("--states", type=Path, default=pipeline.STATES)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "stair-hybrid")
    parser.add_argument("--choosing", type=int, default=400, help="questions to choose weights by")
    parser.add_argument("--task", action="append", choices=["flickr8k", "products"])
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    data = given.data.resolve()
    given.cache.mkdir(parents=True, exist_ok=True)
    held = models(data, given.runs.expanduser(), given.states.expanduser(), given.cache)
    makers = {"flickr8k": flickr8k, "products": products}
    for name in given.task or makers:
        task = makers[name](data, given.choosing)
        some, whole = (ask(held, *part) for part in (task.choosing, task.measured))
        weights = chosen(some)
        rows, before = measured(whole, weights), measured(some, weights)
        print(f"\n{name}: {whole.photos} photos, {len(whole.owner)} questions; weights by "
              f"{len(some.owner)} others; percent; {machine()}\n")  # fmt: skip
        print("\n".join(table(whole, rows)), "", *gains(whole, rows, before), sep="\n", flush=True)


if __name__ == "__main__":
    main()

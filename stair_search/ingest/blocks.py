"""Photos on their way between processes: a block of them is one row of an Arrow table.

A photo travels as its pickled `Work` beside flat columns, what has become of it as its pickled
`Result`; tokens as two list columns, since a dict would become a struct with a field for each.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stair_search.tokens import TokenWeights

from .photo import GroupWork, Prepared, Result, Work

_BINARIES = pa.list_(pa.large_binary())

WORKS = pa.schema([("works", _BINARIES)])

_DECODED = [
    ("results", _BINARIES),
    ("works", _BINARIES),
    ("hashes", pa.list_(pa.string())),
    ("widths", pa.list_(pa.int32())),
    ("heights", pa.list_(pa.int32())),
    ("decode_ms", pa.list_(pa.float64())),
    ("read_ms", pa.float64()),
]
DECODED = pa.schema([*_DECODED, ("pixels", pa.large_binary()), ("shape", pa.list_(pa.int32()))])
ENCODED = pa.schema(
    [
        *_DECODED,
        ("encode_ms", pa.list_(pa.float64())),
        ("reasons", pa.list_(pa.string())),
        ("ids", pa.list_(pa.list_(pa.int32()))),
        ("weights", pa.list_(pa.list_(pa.float32()))),
        ("device", pa.string()),
    ]
)
WRITTEN = pa.schema(
    [
        ("results", _BINARIES),
        ("read_ms", pa.float64()),
        ("bulk_ms", pa.float64()),
        ("refused", pa.string()),
        ("device", pa.string()),
    ]
)

Answer = TokenWeights | str
"""A photo's tokens, or why it has none."""


def of_works(works: Sequence[Work | GroupWork]) -> pa.Table:
    return _row({"works": _pickled(works)}, WORKS)


def works_of(table: pa.Table) -> Iterator[Any]:
    return _unpickled(table, "works")


class Decoded(NamedTuple):
    """photos: that are to be encoded; final: what needs no more, and the documents that photos
    share, each before its photos. read_ms: waited for servers.
    """

    photos: list[Prepared]
    final: list[Result | GroupWork]
    read_ms: float


def of_decoded(found: Decoded) -> pa.Table:
    photos = found.photos
    pixels = np.stack([photo.pixels for photo in photos]) if photos else np.empty(0, np.uint8)
    told = {"pixels": pixels.tobytes(), "shape": pixels.shape}
    return _row({**_columns(found), **told}, DECODED)


def decoded_of(table: pa.Table) -> Decoded:
    shape = _column(table, "shape")
    pixels = np.frombuffer(table["pixels"][0].as_buffer(), np.uint8).reshape(shape)
    final = list(_unpickled(table, "results"))
    return Decoded(_photos(table, pixels), final, table["read_ms"][0].as_py())


def of_encoded(
    found: Decoded, answers: Sequence[Answer], encode_ms: Sequence[float], device: str
) -> pa.Table:
    """device: that has encoded them."""
    tokens = [None if isinstance(answer, str) else answer for answer in answers]
    return _row(
        {
            **_columns(found),
            "encode_ms": encode_ms,
            "reasons": [answer if isinstance(answer, str) else None for answer in answers],
            "ids": [None if one is None else one.ids for one in tokens],
            "weights": [None if one is None else one.weights for one in tokens],
            "device": device,
        },
        ENCODED,
    )


class Encoded(NamedTuple):
    """photos: with their tokens and the milliseconds that encoding took; their pixels are gone."""

    photos: list[tuple[Prepared, Answer, float]]
    final: list[Result | GroupWork]
    read_ms: float
    device: str


def encoded_of(table: pa.Table) -> Encoded:
    answers: list[Answer] = [
        reason if ids is None else TokenWeights(np.array(ids, np.int32), np.array(w, np.float32))
        for reason, ids, w in zip(
            *(_column(table, name) for name in ("reasons", "ids", "weights")), strict=True
        )
    ]
    photos = _photos(table, [np.empty(0, np.uint8)] * len(answers))
    return Encoded(
        list(zip(photos, answers, _column(table, "encode_ms"), strict=True)),
        list(_unpickled(table, "results")),
        table["read_ms"][0].as_py(),
        table["device"][0].as_py(),
    )


class Written(NamedTuple):
    """refused: why the destination takes no more."""

    results: list[Result]
    read_ms: float
    bulk_ms: float
    refused: str | None
    device: str


def of_written(written: Written) -> pa.Table:
    return _row({**written._asdict(), "results": _pickled(written.results)}, WRITTEN)


def written_of(table: pa.Table) -> Iterator[Written]:
    """Of each row."""
    for row in table.to_pylist():
        yield Written(**row | {"results": [pickle.loads(one) for one in row["results"]]})


def _columns(found: Decoded) -> dict[str, Any]:
    return {
        "results": _pickled(found.final),
        "works": _pickled([photo.work for photo in found.photos]),
        "hashes": [photo.content_hash for photo in found.photos],
        "widths": [photo.width for photo in found.photos],
        "heights": [photo.height for photo in found.photos],
        "decode_ms": [photo.decode_ms for photo in found.photos],
        "read_ms": found.read_ms,
    }


def _photos(table: pa.Table, pixels: Any) -> list[Prepared]:
    columns = (_column(table, name) for name in ("hashes", "widths", "heights"))
    rows = zip(works_of(table), *columns, pixels, _column(table, "decode_ms"), strict=True)
    return [Prepared(*row) for row in rows]


def _row(values: dict[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([values], schema)


def _column(table: pa.Table, name: str) -> list[Any]:
    values: list[Any] = table[name][0].as_py()
    return values


def _pickled(items: Iterable[Work | Result | GroupWork]) -> list[bytes]:
    return [pickle.dumps(item) for item in items]


def _unpickled(table: pa.Table, name: str) -> Iterator[Any]:
    return map(pickle.loads, _column(table, name))

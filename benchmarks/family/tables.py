"""Mean and deviation over seeds, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import data

Told = dict[str, Any]
Rows = Mapping[str, Sequence[Told]]
"""Name of a model to what was measured, a seed each."""

CUTS = ("R@1", "R@5", "R@10")
TOPS = ("top-1", "top-10", "top-50", "top-100")


def spread(values: Sequence[float]) -> str:
    """Mean ± deviation of seeds.

    >>> spread([1.0, 3.0])
    '2.0 ± 1.4'
    """
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def table(head: Sequence[str], rows: Rows, cells: Sequence[Callable[[Told], Any]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for name, seeds in rows.items():
        texts = []
        for cell in cells:
            values = [cell(told) for told in seeds]
            texts.append("–" if None in values else spread(values))
        yield "| " + " | ".join([name, *texts]) + " |"


def retrieval(rows: Rows, name: str) -> Iterator[str]:
    """name: of a captioned set."""

    def figure(way: str, cut: str) -> Callable[[Told], float]:
        return lambda told: float(told[name]["retrieval"][way][cut])

    head = ["model", *(f"t→i {cut}" for cut in CUTS), *(f"i→t {cut}" for cut in CUTS), "mR"]
    cells: list[Callable[[Told], Any]] = [
        figure(way, cut) for way in ("text_to_image", "image_to_text") for cut in CUTS
    ]
    cells.append(lambda told: float(told[name]["retrieval"]["mR"]))
    for side in ("image", "text"):
        head.append(f"{side} tokens")
        cells.append(
            lambda told, side=side: (  # type: ignore[misc]
                told[name]["retrieval"]["active_tokens"][side] if told[name]["sparsity"] else None
            )
        )
    yield from table(head, rows, cells)


def ahead(rows: Rows, name: str, ours: str, theirs: str) -> str:
    """R@1 of one model minus that of another, over seeds; nothing where one was not trained."""
    if ours not in rows or theirs not in rows:
        return ""
    told = []
    for way, arrow in (("text_to_image", "text→image"), ("image_to_text", "image→text")):
        a, b = (
            [told_one[name]["retrieval"][way]["R@1"] for told_one in rows[model]]
            for model in (ours, theirs)
        )
        told.append(f"{arrow} {np.mean(a) - np.mean(b):+.1f}")
    return f"{ours} minus {theirs} at R@1 on {name}: {', '.join(told)} points"


def interpretability(rows: Rows, name: str, which: str) -> Iterator[str]:
    """which: "labels", or "any" and "each" of the nouns."""

    def figure(top: str) -> Callable[[Told], float]:
        def value(told: Told) -> float:
            found = told[name]["interpretability"]
            found = found["labels"] if which == "labels" else found["nouns"][which]
            return float(found[top])

        return value

    yield from table(["model", *TOPS], rows, [figure(top) for top in TOPS])


def classes(rows: Rows) -> Iterator[str]:
    head = ["model", "zero-shot top-1", "zero-shot top-5", "linear probe top-1"]
    yield from table(
        head,
        rows,
        [
            lambda told: float(told[data.CLASSES]["classification"]["top-1"]),
            lambda told: float(told[data.CLASSES]["classification"]["top-5"]),
            lambda told: float(told[data.CLASSES]["probe"]["top-1"]),
        ],
    )


def shares(rows: Rows, names: Sequence[str]) -> Iterator[str]:
    """MR of models without a text encoder, as percent of the full model's of the same seed: of the
    taught one where they were taught.
    """

    def share(full: str, name: str, seed: int, told: Told) -> float:
        whole = rows[full][seed][name]["retrieval"]["mR"]
        return 100 * float(told[name]["retrieval"]["mR"]) / float(whole)

    yield "| text side | " + " | ".join(names) + " |"
    yield "|---|" + "---|" * len(names)
    for row, seeds in rows.items():
        if "text-free" in row or "mask" in row:
            full = "STAIR taught by CLIP" if "taught" in row else "STAIR"
            if full not in rows:
                continue
            cells = [
                spread([share(full, name, seed, told) for seed, told in enumerate(seeds)])
                for name in names
            ]
            yield f"| {row} | " + " | ".join(cells) + " |"

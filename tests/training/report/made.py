"""A report of a training that never was, with hostile captions in it."""

from __future__ import annotations

import math
import random

from stair_search.training.report.page import (
    Interval,
    Measures,
    PhotoReport,
    Recall,
    Report,
    Sparsity,
    StageReport,
    Words,
)

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> "\'& \u202egnp.exe'


def interval(value: float) -> Interval:
    return Interval(value, max(0.0, value - 3), min(100.0, value + 3))


def recall(first: float) -> Recall:
    return Recall(interval(first), interval(min(100, first * 2)), interval(min(100, first * 2.6)))


def measures(first: float, tokens: int | None = None) -> Measures:
    chance = random.Random(round(first))
    sparsity = tokens and Sparsity(
        [max(0, round(chance.gauss(tokens, tokens / 4))) for _ in range(300)],
        [max(0, round(chance.gauss(tokens / 3, tokens / 9))) for _ in range(1500)],
        3120,
        30522,
    )
    words = Words(interval(41.0), interval(78.0), 2210) if tokens else None
    return Measures(300, 1500, recall(first), recall(first + 3), words, sparsity or None)


def curve(start: float, end: float, steps: int) -> list[tuple[float, float]]:
    return [
        (float(x), end + (start - end) * math.exp(-4 * x / steps)) for x in range(10, steps, 10)
    ]


def made_report() -> Report:
    stages = [
        StageReport(
            "1-masked",
            "STAIR",
            False,
            3000,
            412.0,
            {"batch": "128", "learning rate": "0.002", "trains": "image, text"},
            {"image": 0.001, "text": 0.001},
            {"contrastive": curve(4.8, 2.1, 3000), "flops_image": curve(9.0, 0.2, 3000)},
            {
                "text to image R@1": curve(1, 21, 3000),
                "active tokens a photo": curve(900, 130, 3000),
            },
            measures=measures(21.4, 130),
        ),
        StageReport(
            "2-frozen image side",
            "STAIR",
            False,
            3000,
            380.0,
            {"batch": "128"},
            {"image": 0.001, "text": 0.001},
            {"contrastive": curve(2.2, 1.6, 3000), "flops_image": curve(0.2, 0.15, 3000)},
            {"text to image R@1": curve(21, 29, 3000)},
            measures=measures(28.9, 104),
        ),
        StageReport(
            "3-free",
            "STAIR",
            False,
            3000,
            7300.0,
            {"batch": "128"},
            {"image": 0.001, "text": 0.001},
            {"contrastive": curve(1.7, 1.2, 3000), "flops_image": [(5.0, float("nan"))]},
            {"text to image R@1": curve(29, 36, 3000)},
            measures=measures(36.2, 96),
        ),
        StageReport(
            "clip",
            "CLIP",
            True,
            9000,
            900.0,
            {"batch": "128", "dimensions": "512"},
            terms={"contrastive": curve(4.8, 1.0, 9000)},
            validation={"text to image R@1": curve(1, 34, 9000)},
            measures=measures(34.1),
        ),
    ]
    tokens = {"dog": 1.9, "beach": 1.4, "sand": 1.1, "##shore": 0.8, "wave": 0.5, "run": 0.2}
    photos = [
        PhotoReport(
            f"photos/{HOSTILE}.jpg" if place == 0 else f"photos/{place}.jpg",
            [HOSTILE if place == 0 else f"a dog on beach number {place}", "second caption"],
            {
                "1-masked": {**tokens, **{f"token{i}": 0.1 for i in range(30)}},
                "2-frozen image side": dict(tokens),
                "3-free": {} if place == 2 else dict(list(tokens.items())[:3]),
            },
        )
        for place in range(4)
    ]
    return Report(
        f"my-model {HOSTILE}",
        [
            ("Photos", "3,000 to train on, 300 held out, of /data/photos"),
            ("Towers", "efficientnet-lite2 (frozen), minilm (frozen)"),
            ("Device", "CPU, 2 threads"),
        ],
        stages,
        photos,
        ["2-frozen image side: the captions' side gives no token for 12 of 1,500 captions."],
        ["300 held-out photos: a difference of less than 4 points in R@1 may be chance."],
        ["stair-search ingest photos/ --model my-model/light"],
    )

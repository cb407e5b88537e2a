"""Run in a process of its own: spoils good files and reads bad ones, and tells what became of them.

    python -m tests.ingest.odd_photos_fuzz 300

Prints a JSON object; whatever any library prints besides goes to stderr, where nothing may stand.
A crash in a C library, memory and time are those of this process alone.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
import zlib

from stair_search.ingest.decode import decode
from stair_search.ingest.photo import PhotoError
from tests.ingest.bad_files import BAD, content
from tests.ingest.odd_photos import GOOD, WHOLE, whole

LEAST = [None, 1, 16]


def spoiled(data: bytes, chance: random.Random) -> bytes:
    """One byte is another one, is missing or too many, or the rest is missing."""
    at = chance.randrange(len(data))
    what = chance.choice(["flip", "cut", "insert", "drop"])
    if what == "cut":
        return data[:at]
    new = b"" if what == "drop" else bytes([chance.choice([0, 255, chance.randrange(256)])])
    return data[:at] + new + data[at + (what != "insert") :]


def peak() -> int:
    """MiB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(times: int) -> None:
    slowest, slowest_name = 0.0, ""
    read: dict[str, int] = {}
    escaped: list[str] = []

    def take(name: str, data: bytes, least: int | None) -> None:
        nonlocal slowest, slowest_name
        started = time.perf_counter()
        try:
            photo = decode(data, least)
            assert photo.mode == "RGB", photo.mode
            read[name] = read.get(name, 0) + 1
        except PhotoError as error:
            if not str(error).isprintable():
                escaped.append(f"{name}: {str(error)!r}")
        except Exception as error:
            escaped.append(f"{name}: {error!r}")
        if time.perf_counter() - started > slowest:
            slowest, slowest_name = time.perf_counter() - started, name

    for name, make in GOOD.items():
        take(f"good {name}", make()[0], None)
    for kind in WHOLE:
        chance = random.Random(zlib.crc32(kind.encode()))
        for n in range(times):
            take(f"spoiled {kind}", spoiled(whole(kind), chance), LEAST[n % 3])
    usual = peak()
    for name in BAD:
        take(f"bad {name}", content(name), None)
    told = {
        "read": read,
        "escaped": escaped,
        "slowest": [slowest_name, slowest],
        "usual_mib": usual,
        "peak_mib": peak(),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(int(sys.argv[1]))

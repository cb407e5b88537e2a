from __future__ import annotations

from collections.abc import Iterable

from stair_search.cli.failed import LONGEST, MOST, MOST_KINDS, reasons
from stair_search.ingest import Failure


def told(words: Iterable[str]) -> list[str]:
    failed = (Failure(f"id{n}", f"file:///{n}.jpg", reason) for n, reason in enumerate(words))
    return list(reasons(failed))


def test_reasons_are_counted_the_most_frequent_first() -> None:
    assert told(["no image file", "too large", "too large"]) == [
        "- 2 × too large (file:///1.jpg)",
        "- 1 × no image file (file:///0.jpg)",
    ]


def test_names_numbers_and_values_make_no_reason_of_their_own() -> None:
    (line,) = told(
        f"id{n}: list.csv, line {n}: 'long {n}' is no long (in /photos/{n}/a.jpg)" for n in range(9)
    )
    assert line.startswith("- 9 × id0: list.csv, line 0: 'long 0' is no long")


def test_there_are_few_lines_and_all_photos_are_counted() -> None:
    kinds = [chr(0x4E00 + n) for n in range(MOST_KINDS + 50)]  # letters, no numbers
    *lines, rest = told([*kinds, *kinds[:7]])
    assert len(lines) == MOST
    assert sum(int(line.split()[1]) for line in [*lines, rest]) == len(kinds) + 7


def test_a_reason_cannot_move_the_cursor_or_fill_the_screen() -> None:
    (line,) = told(["\x1b[2J\nred" + "x" * 1_000])
    assert line.isprintable()
    assert len(line) < LONGEST + 40

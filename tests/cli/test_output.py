from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from stair_search.cli.cloud import svg
from stair_search.cli.output import columns, emit, emit_long, to_json
from stair_search.cli.places import path_of, shown
from stair_search.cli.progress import ProgressLine, describe
from stair_search.cli.text import cut, one_line, printable, width
from stair_search.ingest import Progress


@pytest.mark.parametrize("evil", ["\x1b[2J", "\x9b31m", "\r", "\x07", "\u202e", "\u2028", "\udcff"])
def test_nothing_in_a_text_can_move_the_cursor(evil: str) -> None:
    safe = printable(f"a{evil}b")
    assert safe.isprintable()
    assert safe.startswith("a")
    assert safe.endswith("b")


def test_text_fits_its_columns() -> None:
    assert one_line(" a\n\n b\t") == "a b"
    assert (width("狗"), width("e\u0301"), width("dog")) == (2, 1, 3)
    assert cut("short", 5) == "short"
    assert width(cut("狗狗狗狗狗", 6)) <= 6


def test_json_can_hold_a_file_name_in_odd_bytes() -> None:
    odd = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    line = to_json({"input": odd})
    line.encode()
    assert json.loads(line) == {"input": odd}
    assert to_json({"input": "café"}) == '{"input": "café"}'


def test_columns_line_up() -> None:
    assert list(columns([("a", "b"), ("long", "x")])) == ["a     b", "long  x"]


def test_places() -> None:
    assert path_of("https://host/a.jpg") is None
    assert path_of("file:///a%FF.jpg") == "/a\udcff.jpg"
    assert shown("file:///nowhere/a%0A.jpg") == "/nowhere/a .jpg"


def test_a_cloud_is_escaped() -> None:
    picture = svg([("<x>", {"<script>": 1.0, "dog": 0.5})])
    assert "<script>" not in picture
    assert "&lt;script&gt;" in picture


def test_progress_is_a_line_every_ten_seconds_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]
    show = ProgressLine(terminal=False, clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        show.of_ingest(Progress(seen=second, indexed=second, seconds=second))
    show.of_ingest(Progress(notice="made index"))
    out, told = capsys.readouterr()
    assert out == ""
    assert [line.split(",")[0] for line in told.splitlines()] == ["10 s", "20 s", "made index"]


def test_progress_is_redrawn_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine(terminal=True) as show:
        show.of_ingest(Progress(seen=1))
        show.of_ingest(Progress(seen=2))
    out, told = capsys.readouterr()
    assert out == ""
    assert told.count("\n") == 0
    assert told.endswith("\x1b[K")
    assert "2 photos seen" in told


def test_progress_tells_rate_and_bottleneck() -> None:
    line = describe(
        Progress(seen=30, indexed=20, failed=1, seconds=4, bottleneck="encode: busy 97 %")
    )
    assert line == (
        "4 s, 30 photos seen, 20 indexed (5.0/s), 0 unchanged, 1 failed, encode: busy 97 %"
    )


@pytest.mark.parametrize("ids", [[], ["a"], ["a", 'b"\n', b"caf\xe9".decode("utf-8", "replace")]])
def test_json_piece_by_piece_is_the_same_json(
    ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"expected": 3, "missing": ids, "stale": []}
    long: dict[str, int | Iterable[str]] = {**told, "missing": iter(ids)}  # type: ignore[dict-item]
    emit_long("json", long, list)
    emit("json", told, list)
    one, other = capsys.readouterr().out.split("\n}\n")[:2]
    assert one == other
    long["missing"] = iter(ids)
    emit_long("ndjson", long, list)
    emit("ndjson", told, list)
    one, other = capsys.readouterr().out.splitlines()
    assert one == other


def test_ndjson_of_a_list_is_a_line_an_item(capsys: pytest.CaptureFixture[str]) -> None:
    emit("ndjson", [{"job": "a"}, {"job": "b"}], list)
    emit("ndjson", {"checks": [{"ok": True}, {"ok": False}]}, list, rows="checks")
    emit("ndjson", {"total": 1}, list)
    assert [len(json.loads(line)) for line in capsys.readouterr().out.splitlines()] == [1] * 5

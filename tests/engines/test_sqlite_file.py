"""The SQLite file: shared by processes, locked, full, damaged, foreign, read-only."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from stair_search.engines import Document, Engine, RequestError, connect
from stair_search.engines.embedded import SqliteEngine
from stair_search.engines.embedded.database import Database
from stair_search.errors import DestinationError
from stair_search.mappings import index_body
from stair_search.queries import All, HasToken, Match, Term, question

DOG = {"stair": [{"dog": 1.0, "beach": 0.5}], "stair_model": "m", "caption": "a dog"}
ASK = question({"dog": 1.0}, model="m", match=[Match("caption", "dog")])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one photo."""
    path = tmp_path / "stair.db"
    engine = connect(f"sqlite:{path}")
    engine.create("photos", index_body("sqlite"))
    assert engine.bulk("photos", [Document("a", DOG)])[0].ok
    engine.close()
    return path


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    found = connect(f"sqlite:{path}", timeout=0.2)
    yield found
    found.close()


def refusal(engine: Engine, message: str) -> str:
    with pytest.raises(DestinationError, match=message) as raised:
        engine.search("photos", ASK)
    line = str(raised.value)
    assert "\n" not in line
    assert engine.info.url in line
    return line


def test_a_closed_file_is_one_file(path: Path) -> None:
    assert [one.name for one in path.parent.iterdir()] == ["stair.db"]


def test_an_index_of_no_name_elsewhere(engine: Engine) -> None:
    engine.create("other", index_body("sqlite"))
    engine.bulk("other", [Document("b", DOG)])
    assert [engine.count(name) for name in ("photos", "other")] == [1, 1]
    assert [hit.id for hit in engine.search("other", ASK).hits] == ["b"]


def test_readers_read_while_a_writer_writes(engine: Engine, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM postings")
        assert engine.search("photos", ASK).total == 1
        writer.execute("ROLLBACK")


def test_a_locked_file(engine: Engine, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            RequestError, match=r"locked by another process for more than 0\.2 s"
        ) as e:
            engine.bulk("photos", [Document("b", DOG)])
        assert e.value.status == 503  # may be tried again
        other.execute("ROLLBACK")
    assert engine.bulk("photos", [Document("b", DOG)])[0].ok


def test_a_full_disk_loses_nothing(engine: Engine, path: Path) -> None:
    assert isinstance(engine, SqliteEngine)
    with engine._database.reading() as db:  # the limit holds for a connection
        (pages,) = db.execute("PRAGMA page_count").fetchone()
    engine._database._connection().execute(f"PRAGMA max_page_count = {pages + 5}")
    many = [Document(f"{i}", {**DOG, "caption": f"{i} " * 200}) for i in range(500)]
    with pytest.raises(DestinationError, match="disk is full; make room and run the command again"):
        engine.bulk("photos", many)
    assert engine.count("photos") == 1
    assert engine.search("photos", ASK).total == 1
    engine.close()
    assert connect(f"sqlite:{path}").bulk("photos", many)[0].ok


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff" + bytes(5_000))
    engine = connect(f"sqlite:{path}")
    refusal(engine, "no SQLite database; name another file")
    before = path.read_bytes()
    with pytest.raises(DestinationError, match="no SQLite database"):
        engine.create("photos", index_body("sqlite"))
    assert path.read_bytes() == before


def test_a_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE indexes (name)")
    engine = connect(f"sqlite:{path}")
    refusal(engine, "not one of this version of stair-search")
    with pytest.raises(DestinationError, match="not one of this version"):
        engine.create("photos", index_body("sqlite"))


def test_an_empty_file_is_taken_as_new(tmp_path: Path) -> None:
    path = tmp_path / "stair.db"
    path.touch()
    engine = connect(f"sqlite:{path}")
    refusal(engine, "no index 'photos'.*ingest")
    engine.create("photos", index_body("sqlite"))
    assert engine.count("photos") == 0


def test_a_file_whose_maker_was_killed_is_taken_as_new(tmp_path: Path) -> None:
    path = tmp_path / "stair.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size == 4_096
    engine = connect(f"sqlite:{path}")
    refusal(engine, "no index 'photos'.*ingest")
    engine.create("photos", index_body("sqlite"))
    assert engine.bulk("photos", [Document("a", DOG)])[0].ok
    assert connect(f"sqlite:{path}").search("photos", ASK).total == 1


def test_a_file_whose_maker_was_killed_before_the_switch_to_wal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stair.db"
    engine = connect(f"sqlite:{path}")
    with monkeypatch.context() as patched:
        patched.setattr(Database, "_write_ahead", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.create("photos", index_body("sqlite"))
    engine.create("photos", index_body("sqlite"))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def make(folder: str, name: str, files: int, together: Barrier) -> None:
    for i in range(files):
        together.wait()
        connect(f"sqlite:{folder}/{i}.db").create(name, index_body("sqlite"))


@pytest.mark.slow
def test_several_processes_make_the_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(4, timeout=20)
    makers = [
        context.Process(target=make, args=(str(tmp_path), name, 25, together)) for name in "wxyz"
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0] * 4
    for i in range(25):
        engine = connect(f"sqlite:{tmp_path}/{i}.db")
        assert all(engine.exists(name) for name in "wxyz")


@pytest.mark.parametrize(
    "evil",
    [
        "CREATE TRIGGER t AFTER INSERT ON documents BEGIN DELETE FROM postings; END",
        "CREATE VIEW v AS SELECT load_extension('/tmp/evil.so')",
        "CREATE TABLE extra (x, y GENERATED ALWAYS AS (hex(x)))",
    ],
)
def test_a_file_with_more_than_our_tables_is_not_opened(path: Path, evil: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(evil)
    refusal(connect(f"sqlite:{path}"), "not one of this version")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE postings SET offsets = x'00' WHERE term = 'dog'",
        "UPDATE postings SET count = 9 WHERE term = 'dog'",
        "UPDATE postings SET offsets = x'ffff' WHERE term = 'dog'",
        "UPDATE postings SET offsets = x'0900' WHERE term = 'dog'",
        "UPDATE postings SET count = 2, offsets = x'00000000', vals = NULL WHERE term = 'dog'",
        "UPDATE postings SET offsets = 'text' WHERE term = 'dog'",
        "UPDATE postings SET vals = x'00' WHERE term = 'dog'",
        "UPDATE postings SET chunk = -1 WHERE term = 'dog'",
        "UPDATE postings SET chunk = 'x' WHERE term = 'dog'",
        "UPDATE documents SET source = 'no json'",
        "UPDATE documents SET source = '[]'",
        "UPDATE documents SET source = x'ff'",
        "DELETE FROM documents",
        "DELETE FROM lengths",
        "UPDATE lengths SET words = 0",
        "UPDATE lengths SET words = 'many'",
        "UPDATE indexes SET mapping = '{}'",
        "UPDATE indexes SET mapping = '{\"properties\": 3}'",
        "UPDATE indexes SET documents = 99999999999999",
        "UPDATE indexes SET documents = 'x'",
    ],
)
def test_damage_is_told_and_nothing_else(path: Path, damage: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(damage).rowcount
        db.commit()
    refusal(connect(f"sqlite:{path}"), "the file is damaged.*ingest into another file")


def test_a_forged_number_claims_no_memory(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE documents SET number = 99999999999998")
        db.execute("UPDATE indexes SET documents = 99999999999999")
        db.commit()
    refusal(connect(f"sqlite:{path}"), "the file is damaged.*more documents than it can hold")


def test_a_torn_file(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refusal(connect(f"sqlite:{path}"), "damaged|malformed")


def test_no_folder(tmp_path: Path) -> None:
    engine = connect(f"sqlite:{tmp_path}/none/stair.db")
    refusal(engine, "no index 'photos'")
    with pytest.raises(DestinationError, match=r"no folder .*none; make it first"):
        engine.create("photos", index_body("sqlite"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    refusal(connect(f"sqlite:{tmp_path}"), "is a folder")


def test_a_read_only_place_can_be_searched(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the answer of the system is feigned."""
    monkeypatch.setattr(os, "access", lambda *given: False)
    engine = connect(f"sqlite:{path}")
    assert engine.search("photos", ASK).total == 1
    assert [one.name for one in path.parent.iterdir()] == ["stair.db"]
    with pytest.raises(DestinationError, match="may not be written to; change its permissions"):
        engine.bulk("photos", [Document("b", DOG)])


def test_odd_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a b?mode=ro#%41.db", ":memory:", "ü.db"):
        connect(f"sqlite:{name}").create("photos", index_body("sqlite"))
        assert (tmp_path / name).stat().st_size > 0
        assert connect(f"sqlite:{name}").exists("photos")
    absolute = tmp_path / "c.db"
    connect(f"sqlite://{absolute}").create("photos", index_body("sqlite"))
    assert absolute.exists()


def write(path: str, name: str) -> None:
    engine = connect(f"sqlite:{path}")
    for i in range(20):
        assert engine.bulk("photos", [Document(f"{name}-{i}", DOG), Document("same", DOG)])[0].ok


def test_several_processes_write(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(str(path), name)) for name in "xyz"]
    for writer in writers:
        writer.start()
    reader = connect(f"sqlite:{path}")
    seen = 0
    while any(writer.is_alive() for writer in writers):
        total = reader.search("photos", ASK, 0).total
        assert total == reader.count("photos") or total < reader.count("photos")
        assert total >= seen  # never a step back
        seen = total
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert reader.count("photos") == reader.search("photos", ASK).total == 3 * 20 + 2


def test_killed_in_the_middle_of_a_write(path: Path) -> None:
    code = textwrap.dedent(f"""
        import os
        from stair_search.engines import connect, Document
        from stair_search.engines.embedded import postings
        apply = postings.Changes.apply
        def die(self, db, owner):
            apply(self, db, owner)
            os.kill(os.getpid(), 9)
        postings.Changes.apply = die
        connect({f"sqlite:{path}"!r}).bulk("photos", [Document("b", {DOG!r})])
    """)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    engine = connect(f"sqlite:{path}")
    assert engine.count("photos") == engine.search("photos", ASK).total == 1
    assert engine.bulk("photos", [Document("b", DOG)])[0].ok
    assert engine.search("photos", ASK).total == 2


def tables(path: Path) -> list[object]:
    with closing(sqlite3.connect(path)) as db:
        names = ("documents", "postings", "lengths")
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in names]


def test_deleting_leaves_the_tables_of_a_fresh_file(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown where the test fails
    dice = random.Random(seed)
    worn = connect(f"sqlite:{tmp_path}/worn.db")
    worn.create("photos", index_body("sqlite"))
    words = ["dog", "cat", "beach", "bus"]

    def document(name: str) -> Document:
        some = dice.sample(words, dice.randint(1, 3))
        fields = {"stair": [dict.fromkeys(some, dice.uniform(0.1, 2))], "stair_model": "m"}
        caption = " ".join(dice.choices(words, k=dice.randint(0, 4)))
        return Document(name, {**fields, "caption": caption, "split": dice.choice("ab")})

    ids = [f"d{n}" for n in range(30)]
    for _ in range(40):
        worn.bulk("photos", [document(name) for name in dice.sample(ids, dice.randint(0, 8))])
        there = {name for name, _ in worn.scan("photos", [])}
        gone = dice.sample(ids, dice.randint(0, 8))
        assert {o.id for o in worn.delete("photos", gone) if o.ok} == there & set(gone)
    left = list(worn.scan("photos", ["stair", "stair_model", "caption", "split"]))
    fresh = connect(f"sqlite:{tmp_path}/fresh.db")
    fresh.create("photos", index_body("sqlite"))
    fresh.bulk("photos", [Document(*one) for one in left])
    assert tables(tmp_path / "worn.db") == tables(tmp_path / "fresh.db")
    worn.delete("photos", ids)
    assert tables(tmp_path / "worn.db") == [[], [], []]
    assert worn.count("photos") == 0


def test_rewriting_leaves_the_postings_of_a_fresh_file(tmp_path: Path) -> None:
    """However documents came to be what they are, the tables are the same."""
    first = {**DOG, "split": ["a", "b"], "width": 3, "deep": {"er": "x"}}
    second = {"stair": [{"cat": 2.0, "dog": 0.25}], "caption": "Two cats, two!", "split": "b"}
    third = {"caption": None, "width": 4, "deep": {"er": ["y", "z"]}}
    rewritten, fresh = (connect(f"sqlite:{tmp_path}/{name}.db") for name in ("one", "two"))
    for engine in (rewritten, fresh):
        engine.create("photos", index_body("sqlite"))
    for fields in (first, second, third):
        rewritten.bulk("photos", [Document("a", fields), Document("b", first)])
    fresh.bulk("photos", [Document("a", {**first, **second, **third}), Document("b", first)])
    assert tables(tmp_path / "one.db")[1:] == tables(tmp_path / "two.db")[1:]
    assert rewritten.get("photos", "a") == fresh.get("photos", "a")


def test_more_documents_than_a_chunk_holds(engine: Engine) -> None:
    many = [
        Document(f"{i}", {**DOG, "stair": [{"dog": 1.0 + i // 8999}], "n": str(i % 3)})
        for i in range(9_000)
    ]
    for start in range(0, len(many), 3_000):
        assert all(o.ok for o in engine.bulk("photos", many[start : start + 3_000]))
    hits = engine.search("photos", question({"dog": 1.0}, model="m"), 2)
    assert (hits.total, [hit.id for hit in hits.hits][:1]) == (9_001, ["8999"])
    assert engine.search("photos", Term("n", "1"), 0).total == 3_000
    engine.bulk("photos", [Document("5000", {"stair": [{"cat": 1.0}]})])
    assert engine.search("photos", HasToken("dog", "m"), 0).total == 9_000
    assert engine.search("photos", All(), 0).total == 9_001


def test_sources_are_json_that_people_can_read(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        (source,) = db.execute("SELECT source FROM documents").fetchone()
    assert json.loads(source) == DOG

"""Several photos a document: a list that groups them by a key."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from stair_search.engines import Document, Engine, Outcome, connect
from stair_search.errors import ModelError, UsageError
from stair_search.fields import Fields
from stair_search.ingest import failures, retry, verify
from stair_search.ingest.audit import audit
from stair_search.ingest.columns import Columns
from stair_search.ingest.groups import Found, cut
from stair_search.ingest.photo import GroupWork, Photo, Place, Result, Work, uri_of
from stair_search.ingest.sources import Sources
from stair_search.ingest.takedown import lift, take_down
from stair_search.mappings import index_body, photos_in
from stair_search.queries import HasToken, no_photo_with, question
from tests.ingest.conftest import Job, MakeJob, counts, make_photo
from tests.ingest.standin import ColourEncoder

HEADER = "product,image,caption,shop,price"
ROWS = [
    "shoe,red.png,a red shoe,S1,10",
    "hat,blue.png,a blue hat,S2,7",
    "shoe,green.png,,S2,10",
    "shoe,black.png,dark,S1,12",
    "hat,red.png,a red hat,S2,7",
]
COLUMNS = 'group = "product"\n[fields]\nshop = "keyword"\nprice = "long"\n'


class Shop:
    """A list of products in a folder of photos, and a job over it."""

    def __init__(self, folder: Path, make_job: MakeJob, **settings: Any) -> None:
        self.folder, self.list = folder, folder / "products.csv"
        for colour in ("red", "green", "blue", "black"):
            self.paint(colour, colour)
        self.rows = list(ROWS)
        self.write()
        (folder / "columns.toml").write_text(COLUMNS)
        self.job: Job = make_job(self.list, columns=folder / "columns.toml", **settings)

    def paint(self, name: str, colour: str) -> None:
        make_photo(self.folder / f"{name}.png", colour)

    def write(self, *rows: str) -> None:
        self.rows = list(rows) or self.rows
        self.list.write_text("\n".join([HEADER, *self.rows]) + "\n")

    def change(self, old: str, new: str) -> None:
        self.write(*(row.replace(old, new) for row in self.rows))

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        return self.job.documents("photos", "shop", "price", "caption")

    def images(self, product: str) -> list[str]:
        return [Path(photo["image"]).stem for photo in self.documents[product]["photos"]]

    def verified(self, documents: int) -> bool:
        return verify(self.job.settings.home, self.job.engine) == (documents, documents, [], [])

    def failures(self) -> dict[str, str]:
        """id/image -> reason."""
        found = failures(self.job.settings.home)
        return {f"{one.id}/{Path(one.uri).stem}": one.reason for one in found}


@pytest.fixture
def shop(tmp_path: Path, make_job: MakeJob) -> Shop:
    return Shop(tmp_path / "shop", make_job)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the documents that are written, in order."""
    from stair_search.engines.embedded import SqliteEngine

    written: list[str] = []
    bulk = SqliteEngine.bulk

    def noted(
        self: SqliteEngine, index: str, documents: list[Document], pipeline: str | None = None
    ) -> list[Outcome]:
        written.extend(document.id for document in documents)
        return bulk(self, index, documents)

    monkeypatch.setattr(SqliteEngine, "bulk", noted)
    return written


class TestDocuments:
    def test_photos_of_one_key_make_a_document(self, shop: Shop) -> None:
        assert counts(shop.job()) == (5, 0, 0)
        documents = shop.documents
        assert set(documents) == {"shoe", "hat"}
        assert photos_in(shop.job.engine.mapping("photos")) == "photos"
        shoe = documents["shoe"]
        assert (shoe["shop"], shoe["price"]) == (["S1", "S2"], [10, 12])
        assert documents["hat"]["price"] == 7
        assert "caption" not in shoe
        first, second, third = shoe["photos"]
        assert [first["caption"], second.get("caption"), third["caption"]] == [
            "a red shoe", None, "dark"
        ]  # fmt: skip
        assert first["image"] == uri_of(shop.folder / "red.png")
        assert set(second) == {
            "stair", "stair_tokens", "stair_model", "stair_hash", "image", "width", "height"
        }  # fmt: skip
        assert shop.images("hat") == ["blue", "red"]  # a photo may be in several products
        assert shop.verified(2)

    def test_they_are_found(self, shop: Shop, encoder: ColourEncoder) -> None:
        shop.job()
        query = question({"green0": 1.0}, model=encoder.fingerprint, photos="photos")
        hits = shop.job.engine.search("photos", query).hits
        assert {hit.id for hit in hits} == {"shoe", "hat"}
        rule = HasToken("blue7", encoder.fingerprint, None, "photos.stair")
        (hit,) = shop.job.engine.search("photos", no_photo_with(rule)).hits
        assert hit.id == "shoe"

    def test_other_names(self, tmp_path: Path, make_job: MakeJob) -> None:
        fields = Fields(token="look", photos="views", caption="says")
        shop = Shop(tmp_path / "other", make_job, fields=fields)
        assert counts(shop.job()) == (5, 0, 0)
        hat = shop.job.documents("views")["hat"]
        assert {"look", "look_hash", "says"} <= set(hat["views"][0])
        assert shop.verified(2)
        assert counts(shop.job()) == (0, 5, 0)

    def test_a_long_key(self, shop: Shop) -> None:
        key = "k" * 600
        shop.change("hat,", f"{key},")
        shop.job()
        (hashed,) = shop.documents.keys() - {"shoe"}
        assert hashed.startswith("sha256:")
        assert shop.verified(2)


class TestLaterRuns:
    def test_nothing_has_changed(self, shop: Shop, writes: list[str]) -> None:
        shop.job()
        writes.clear()
        assert counts(shop.job()) == (0, 5, 0)
        os.utime(shop.folder / "red.png", ns=(1, 1))
        assert counts(shop.job()) == (0, 5, 0)
        assert writes == []
        assert shop.job.encoder.encoded() == 5

    def test_one_photo_has_changed(self, shop: Shop, writes: list[str]) -> None:
        shop.job()
        before = shop.documents
        writes.clear()
        shop.paint("green", "white")
        assert counts(shop.job(dry_run=True)) == (1, 4, 0)
        assert counts(shop.job()) == (1, 4, 0)
        assert shop.job.encoder.encoded() == 6
        assert writes == ["shoe"]
        old, new = before["shoe"]["photos"], shop.documents["shoe"]["photos"]
        assert [a == b for a, b in zip(old, new, strict=True)] == [True, False, True]
        assert "blue7" in new[1]["stair"][0]
        assert shop.verified(2)
        assert counts(shop.job()) == (0, 5, 0)

    def test_what_is_said_of_them_has_changed(self, shop: Shop, writes: list[str]) -> None:
        shop.job()
        writes.clear()
        shop.change("a red shoe,S1,10", "scarlet,S3,9")
        assert counts(shop.job()) == (1, 4, 0)
        assert (writes, shop.job.encoder.encoded()) == (["shoe"], 5)
        shoe = shop.documents["shoe"]
        assert (shoe["shop"], shoe["price"]) == (["S3", "S2", "S1"], [9, 10, 12])
        assert shoe["photos"][0]["caption"] == "scarlet"
        shop.change("a blue hat,S2,7", ",,")
        shop.change("a red hat,S2,7", ",,")
        assert counts(shop.job()) == (2, 3, 0)
        hat = shop.documents["hat"]
        assert hat["shop"] is None and hat["price"] is None
        assert "caption" not in hat["photos"][0]
        assert counts(shop.job()) == (0, 5, 0)
        assert shop.job.encoder.encoded() == 5

    def test_photos_that_come_and_leave(self, shop: Shop, writes: list[str]) -> None:
        shop.job()
        writes.clear()
        shop.write(*shop.rows[:-1])
        assert counts(shop.job()) == (0, 4, 0)
        assert (writes, shop.images("hat")) == (["hat"], ["blue"])
        assert shop.verified(2)
        shop.write(*shop.rows, "hat,green.png,a green hat,S2,7", "sock,green.png,,S1,1")
        assert counts(shop.job()) == (2, 4, 0)
        assert shop.images("hat") == ["blue", "green"]
        assert shop.job.encoder.encoded() == 7
        shop.write(*shop.rows[:-1])  # a product that is gone is left as it is
        writes.clear()
        assert counts(shop.job()) == (0, 5, 0)
        assert (writes, set(shop.documents)) == ([], {"shoe", "hat", "sock"})
        assert shop.verified(3)

    def test_killed_before_the_ledger_is_told(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from stair_search.ingest.ledger import Ledger

        shop.job()
        shop.paint("green", "white")
        shop.write(*(row for row in shop.rows if "black" not in row))
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "record", lambda *_, **__: None)
            shop.job()
        assert shop.images("shoe") == ["red", "green"]
        assert not shop.verified(2)
        assert counts(shop.job())[2] == 0
        assert shop.images("shoe") == ["red", "green"]
        assert shop.verified(2)

    def test_an_index_made_anew_is_filled_from_the_ledger(
        self, shop: Shop, tmp_path: Path, make_job: MakeJob
    ) -> None:
        shop.job()
        shop.paint("black", "gray")
        (tmp_path / "stair.db").unlink()
        shop.job.engine.close()
        shop.job.engine = connect(shop.job.settings.url)
        for photo in ("blue", "red"):
            (shop.folder / f"{photo}.png").unlink()
        assert counts(shop.job()) == (2, 0, 3)  # what fails now stays as it was
        assert shop.job.encoder.encoded() == 6
        assert (shop.images("shoe"), shop.images("hat")) == (
            ["red", "green", "black"], ["blue", "red"]
        )  # fmt: skip
        assert shop.verified(2)

    def test_an_index_made_anew_for_what_may_not_be_written_again(
        self, shop: Shop, tmp_path: Path
    ) -> None:
        shop.job()
        policy = tmp_path / "policy.toml"
        policy.write_text('[forbid]\nred7 = "no red"\n')
        (tmp_path / "stair.db").unlink()
        shop.job.engine.close()
        shop.job.engine = connect(shop.job.settings.url)
        for photo in ("blue", "red"):
            (shop.folder / f"{photo}.png").unlink()
        assert counts(shop.job(policy=policy)) == (2, 0, 3)
        assert set(shop.documents) == {"shoe"}
        assert shop.images("shoe") == ["green", "black"]

    def test_a_policy(self, shop: Shop, tmp_path: Path, encoder: ColourEncoder) -> None:
        shop.job()
        policy = tmp_path / "policy.toml"
        policy.write_text('[forbid]\nred7 = "no red"\n')
        (shop.folder / "green.png").write_text("no photo")
        assert counts(shop.job(policy=policy)) == (4, 0, 1)
        # what may not be written again is left out until it can be made anew
        assert shop.images("shoe") == ["red", "black"]
        words = shop.job.encoder.vocabulary
        assert list(audit(shop.job.settings.home, shop.job.engine, vocabulary=words)) == []
        assert shop.verified(2)
        held = list(audit(shop.job.settings.home, shop.job.engine, ("blue7",), words))
        assert [(one.id, one.image) for one in held] == [("hat", uri_of(shop.folder / "blue.png"))]
        shop.paint("green", "green")
        policy.write_text('[forbid]\nred0 = "nor this"\n')
        again = retry(shop.job.settings.home, shop.job.engine, encoder=encoder)
        assert counts(again) == (1, 0, 0)  # by the policy that the job has kept
        assert shop.images("shoe") == ["red", "green", "black"]


class TestDocumentsThatGo:
    def test_a_product_that_is_gone(self, shop: Shop) -> None:
        shop.job()
        shop.write(*(row for row in ROWS if not row.startswith("hat")))
        shop.job()
        assert set(shop.documents) == {"shoe", "hat"}
        report = shop.job(delete_missing=True)
        assert (report.deleted, report.unchanged) == (1, 3)
        assert set(shop.documents) == {"shoe"}
        assert shop.verified(1)

    def test_a_photo_that_is_gone_is_no_missing_document(self, shop: Shop) -> None:
        shop.job()
        shop.write(*(row for row in ROWS if "red.png" not in row))
        assert shop.job(delete_missing=True).deleted == 0
        assert (shop.images("shoe"), shop.images("hat")) == (["green", "black"], ["blue"])
        assert shop.verified(2)

    def test_lifted_before_the_next_run(self, shop: Shop) -> None:
        shop.job()
        take_down(shop.job.engine, "photos", ["hat"])
        assert lift(shop.job.engine, "photos", ["hat", "shoe"]) == 1
        assert counts(shop.job()) == (2, 3, 0)
        assert shop.images("hat") == ["blue", "red"]
        assert shop.verified(2)

    def test_what_no_photo_is_left_of_stays_until_it_is_deleted(self, shop: Shop) -> None:
        shop.job()
        shop.write(*(row.replace("blue.png", "no.png") for row in ROWS if "hat,red" not in row))
        assert counts(shop.job()) == (0, 3, 1)
        assert shop.images("hat") == ["blue", "red"]
        shop.write(*(row for row in ROWS if not row.startswith("hat")))
        assert shop.job(delete_missing=True).deleted == 1
        assert shop.verified(1)

    def test_a_takedown(self, shop: Shop) -> None:
        shop.job()
        assert take_down(shop.job.engine, "photos", ["hat"]).deleted == 1
        shop.paint("blue", "green")
        assert counts(shop.job()) == (0, 5, 0)
        assert set(shop.documents) == {"shoe"}
        assert shop.verified(1)
        lift(shop.job.engine, "photos", ["hat"])
        assert counts(shop.job()) == (2, 3, 0)
        assert shop.images("hat") == ["blue", "red"]
        assert shop.verified(2)


@pytest.mark.engines
def test_one_routing_is_the_products(shop: Shop, engines: Any, index_name: str) -> None:
    url = engines.url("opensearch")
    shop.job.engine = connect(url)
    (shop.folder / "columns.toml").write_text(f'routing = "shop"\n{COLUMNS}')
    told: dict[str, Any] = {"url": url, "index": index_name, "folder": shop.folder / "routed"}
    shop.write(*(row.replace("shoe,green.png,,S2", "shoe,green.png,,S9") for row in ROWS))
    assert counts(shop.job(**told)) == (4, 0, 1)
    (reason,) = failures(shop.folder / "routed")
    assert reason.reason == "it is routed by 'S9', and the document that it shares by 'S1'"
    shop.change("S9", "S1")
    assert counts(shop.job(**told)) == (1, 4, 0)
    shop.change("S1", "S7")  # would be another document on another shard
    assert counts(shop.job(**told)) == (0, 2, 3)
    assert shop.job.engine.count(index_name) == 2


class TestBadRows:
    def test_a_row_that_is_mended_says_again_what_it_said(self, shop: Shop) -> None:
        shop.job()
        before = shop.documents["shoe"]
        shop.write(*(row.replace("S2,10", "S2,ten").replace("dark", "night") for row in ROWS))
        assert counts(shop.job()) == (1, 3, 1)
        assert shop.documents["shoe"]["shop"] == "S1"
        shop.write(*ROWS)
        shop.job()
        assert shop.documents["shoe"] == before
        assert shop.verified(2)

    def test_a_row_that_cannot_be_read_takes_no_photo_out(self, shop: Shop) -> None:
        shop.job()
        before = shop.documents
        shop.list.write_bytes(
            shop.list.read_bytes().replace(b"shoe,green.png,", b"shoe,gr\xe9n.png,")
        )
        assert counts(shop.job()) == (0, 2, 3)
        assert shop.documents == before
        assert "may be in one" in shop.failures()["shoe/red"]
        shop.write()
        assert counts(shop.job()) == (0, 5, 0)
        assert shop.verified(2)

    def test_what_a_photo_says_that_never_worked_is_not_the_documents(self, shop: Shop) -> None:
        shop.write(*ROWS, "hat,no.png,,S9,99")
        assert counts(shop.job()) == (5, 0, 1)
        assert (shop.documents["hat"]["price"], shop.documents["hat"]["shop"]) == (7, "S2")


class TestFailures:
    def test_one_photo_does_not_lose_the_document(self, shop: Shop, writes: list[str]) -> None:
        (shop.folder / "green.png").write_text("no photo")
        shop.change("hat,red.png", "hat,nowhere.png")
        assert counts(shop.job()) == (3, 0, 2)
        assert shop.images("shoe") == ["red", "black"]
        assert shop.images("hat") == ["blue"]
        assert set(shop.failures()) == {"shoe/green", "hat/nowhere"}
        assert shop.verified(2)
        writes.clear()
        assert counts(shop.job()) == (0, 3, 2)
        assert writes == []
        shop.paint("green", "green")
        assert counts(retry(shop.job.settings.home, shop.job.engine, encoder=shop.job.encoder)) == (
            1, 0, 1
        )  # fmt: skip
        assert writes == ["shoe"]
        assert shop.images("shoe") == ["red", "green", "black"]
        assert shop.verified(2)

    def test_a_photo_that_fails_later_stays_as_it_was(self, shop: Shop, writes: list[str]) -> None:
        shop.job()
        before = shop.documents["shoe"]["photos"]
        (shop.folder / "green.png").write_text("no photo")
        writes.clear()
        assert counts(shop.job()) == (0, 4, 1)
        assert writes == []
        shop.paint("black", "gray")
        assert counts(shop.job()) == (1, 3, 1)
        after = shop.documents["shoe"]["photos"]
        assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False]
        assert set(shop.failures()) == {"shoe/green"}
        assert shop.verified(2)

    def test_a_group_whose_photos_all_fail_makes_no_document(self, shop: Shop) -> None:
        shop.change("blue.png", "nowhere.png")
        shop.change("hat,red.png", "hat,columns.toml")
        assert counts(shop.job()) == (3, 0, 2)
        assert set(shop.documents) == {"shoe"}
        assert shop.verified(1)

    def test_the_last_photo_leaves_and_the_new_one_fails(self, shop: Shop) -> None:
        shop.job()
        shop.write(*shop.rows[:1], "hat,nowhere.png,,S2,7")
        assert counts(shop.job()) == (0, 1, 1)
        assert shop.images("hat") == ["blue", "red"]  # no document is without photos
        assert shop.verified(2)
        assert counts(shop.job()) == (0, 1, 1)
        make_photo(shop.folder / "nowhere.png", "white")
        assert counts(shop.job()) == (1, 1, 0)
        assert shop.images("hat") == ["nowhere"]
        assert shop.verified(2)

    def test_bad_rows(self, shop: Shop) -> None:
        shop.write(*shop.rows, ",blue.png,,S1,1", "shoe,blue.png,,S1,much", "shoe,,,S1,1")
        assert counts(shop.job()) == (5, 0, 3)
        said = shop.failures()
        assert any(
            "column 'product', which groups the photos, is empty" in r for r in said.values()
        )
        assert "'much' is no long" in said["shoe/blue"]
        assert any("no image is named" in reason for reason in said.values())
        assert shop.images("shoe") == ["red", "green", "black"]

    def test_a_document_that_the_engine_refuses(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (shop.folder / "black.png").write_text("no photo")
        shop.job()
        shop.paint("green", "white")
        bulk = type(shop.job.engine).bulk

        def refused(
            self: Engine, index: str, documents: list[Document], pipeline: str | None = None
        ) -> list[Outcome]:
            good = bulk(self, index, [one for one in documents if one.id != "shoe"])
            return [*good, *(Outcome("shoe", 400, "no") for one in documents if one.id == "shoe")]

        with monkeypatch.context() as patch:
            patch.setattr(type(shop.job.engine), "bulk", refused)
            assert counts(shop.job()) == (0, 2, 3)
        said = shop.failures()
        assert said["shoe/red"] == said["shoe/green"] == "sqlite: no"
        assert "sqlite" not in said["shoe/black"]
        assert counts(shop.job()) == (1, 3, 1)
        assert shop.verified(2)

    def test_too_many_photos(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stair_search.ingest.manifest.MOST_PHOTOS", 2)
        assert counts(shop.job()) == (4, 0, 1)
        assert shop.images("shoe") == ["red", "green"]
        (reason,) = shop.failures().values()
        assert "group 'shoe' has over 2 photos" in reason

    def test_a_group_in_two_lists(self, shop: Shop, make_job: MakeJob) -> None:
        other = shop.folder / "more.csv"
        other.write_text(f"{HEADER}\nhat,green.png,,S1,1\nsock,green.png,,S1,1\n")
        job = make_job(shop.list, other, columns=shop.folder / "columns.toml")
        assert counts(job()) == (6, 0, 1)
        assert "name all in one list" in next(iter(shop.failures().values()))
        assert shop.images("hat") == ["blue", "red"]

    def test_verify_sees_what_differs(self, shop: Shop) -> None:
        shop.job()
        engine, home = shop.job.engine, shop.job.settings.home
        photos = shop.documents["shoe"]["photos"]
        for change, stale in (
            (photos[:2], ["shoe"]),
            ([*photos[:2], photos[2] | {"stair_hash": "0" * 64}], ["shoe"]),
            ([], ["shoe"]),
            (photos[::-1], []),
        ):
            engine.bulk("photos", [Document("shoe", {"photos": change})])
            assert verify(home, engine) == (2, 2, [], stale)
            again = retry(home, engine, encoder=shop.job.encoder)
            assert counts(again) == ((3, 0, 0) if stale else (0, 0, 0))
            assert shop.images("shoe") == (["red", "green", "black"] if stale else
                                           ["black", "green", "red"])  # fmt: skip
        assert shop.job.encoder.encoded() == 5
        of_another = [photos[0] | {"stair_model": "other"}, *photos[1:]]
        engine.bulk("photos", [Document("shoe", {"photos": of_another})])
        assert verify(home, engine) == (2, 2, [], ["shoe"])


class TestRefused:
    @pytest.mark.parametrize(
        ("rest", "message"),
        [({"captions": "products.csv"}, "--captions"), ({"more": "."}, "has no such column")],
    )
    def test_other_sources(
        self, shop: Shop, make_job: MakeJob, rest: dict[str, str], message: str
    ) -> None:
        given = {name: shop.folder / value for name, value in rest.items()}
        more = [given.pop("more")] if "more" in given else []
        job = make_job(shop.list, *more, columns=shop.folder / "columns.toml", **given)
        with pytest.raises(UsageError, match=f"groups photos by 'product', and .*{message}"):
            job()

    def test_an_index_of_the_other_kind(self, shop: Shop, make_job: MakeJob) -> None:
        engine = shop.job.engine
        engine.create("one", index_body("sqlite"))
        with pytest.raises(ModelError, match="holds one photo a document, not several photos"):
            shop.job(index="one", folder=shop.folder / "a")
        shop.job()
        with pytest.raises(ModelError, match="holds several photos a document, not one photo"):
            make_job(shop.folder / "red.png", folder=shop.folder / "b")()
        body = index_body("sqlite")
        del body["mappings"]["properties"]["stair"]
        body["mappings"]["properties"]["photos"] = {
            "type": "nested", "properties": {"their": {"type": "keyword"}}
        }  # fmt: skip
        engine.create("theirs", body)
        with pytest.raises(ModelError, match=r"a list of the index's own.*--photos-field"):
            shop.job(index="theirs", folder=shop.folder / "c")

    def test_an_id_beside_a_group(self, shop: Shop) -> None:
        (shop.folder / "columns.toml").write_text('group = "product"\nid = "sku"\n')
        with pytest.raises(UsageError, match="the id of a document is its group"):
            shop.job()


def test_ndjson(tmp_path: Path, make_job: MakeJob) -> None:
    rows = [{"image": f"{n}.png", "product": n % 2, "tags": ["a", f"t{n}"]} for n in range(4)]
    for n in range(4):
        make_photo(tmp_path / f"{n}.png", f"rgb({n}, 0, 0)")
    (tmp_path / "list.ndjson").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "columns.toml").write_text('group = "product"\n')
    job = make_job(tmp_path / "list.ndjson", columns=tmp_path / "columns.toml")
    assert counts(job()) == (4, 0, 0)
    documents = job.documents("product", "tags", "photos")
    assert documents["1"]["tags"] == ["a", "t1", "t3"]
    assert documents["1"]["product"] == "1"  # kept, as every further column is
    assert len(documents["0"]["photos"]) == 2


def test_groups_stand_together_in_the_order_of_their_first_rows(tmp_path: Path) -> None:
    rows = ["b,1.png", "a,2.png", "b,3.png", "c,1.png", "a,2.png", "a,1.png", "b,1.png"]
    (tmp_path / "list.csv").write_text("\n".join(["product,image", *rows]))
    sources = Sources([str(tmp_path / "list.csv")], None, Fields(), Columns(group="product"))
    found = [(photo.group, Path(photo.uri).stem) for photo in sources]
    assert found == [("b", "1"), ("b", "3"), ("a", "2"), ("a", "1"), ("c", "1")]
    assert (len(sources.lists[0]), sources.largest_group) == (5, 2)


def test_blocks_do_not_part_a_group() -> None:
    def photo(n: int, group: str | None = None) -> Photo:
        return Photo(str(n), f"u{n}", Place(""), {}, None, group)

    def group(id: str, *photos: Photo) -> GroupWork:
        ids = tuple(one.id for one in photos)
        return GroupWork(id, photos, {}, (), ids, {}, False, (), (), ())

    one = [photo(n, "one") for n in range(5)]
    two = [photo(n, "two") for n in range(5, 7)]
    found: list[Found] = [
        Result(photo(8), "unchanged"),
        group("one", *one),
        *(Work(each, None, "") for each in one),
        Work(photo(9), None, ""),
        group("two", *two),
        *(Work(each, None, "") for each in two),
        group("three"),
    ]
    assert list(cut(iter(found), lambda: 2)) == [found[:7], found[7:11], found[11:]]
    assert list(cut([], lambda: 2)) == []


def test_a_request_is_bounded_in_photos(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    bulk = type(shop.job.engine).bulk

    def noted(
        self: Engine, index: str, documents: list[Document], pipeline: str | None = None
    ) -> list[Outcome]:
        sizes.append(sum(len(document.fields["photos"]) for document in documents))
        return bulk(self, index, documents)

    monkeypatch.setattr(type(shop.job.engine), "bulk", noted)
    shop.job(bulk_documents=4)
    assert sorted(sizes) == [2, 3]


@pytest.mark.engines
def test_in_a_cluster(shop: Shop, engines: Any, index_name: str, encoder: ColourEncoder) -> None:
    for name in ("opensearch", "elasticsearch7"):
        url = engines.url(name)
        shop.job.engine = connect(url)
        told: dict[str, Any] = {
            "url": url, "index": index_name, "folder": shop.folder / name
        }  # fmt: skip
        shop.paint("green", "green")
        assert counts(shop.job(**told)) == (5, 0, 0)
        shop.paint("green", "white")
        assert counts(shop.job(**told)) == (1, 4, 0)
        assert verify(shop.folder / name, shop.job.engine) == (2, 2, [], [])
        shoe = dict(shop.job.engine.scan(index_name, ["photos"]))["shoe"]
        assert [Path(one["image"]).stem for one in shoe["photos"]] == ["red", "green", "black"]
        assert list(audit(shop.folder / name, shop.job.engine, ("red7",), encoder.vocabulary))
        shop.job.engine.bulk(index_name, [Document("hat", {"photos": shoe["photos"][:1]})])
        assert verify(shop.folder / name, shop.job.engine).stale == ["hat"]
        shop.job.engine.close()

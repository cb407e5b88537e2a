from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.ingest import failures
from stair_search.ingest.photo import Photo, id_of, uri_of
from stair_search.ingest.sources import Sources
from tests.ingest.conftest import MakeJob, counts, make_photo

AS_NOBODY = """
import os, sys
from stair_search.errors import UsageError
from stair_search.fields import Fields
from stair_search.ingest.sources import Sources

photos, shut = sys.argv[1:]
if os.geteuid() == 0:  # root may enter everything
    os.seteuid(65534)
for photo in Sources([photos], None, Fields()):
    print(photo.uri.partition("photos/")[2], photo.problem)
try:
    Sources([shut], None, Fields())
except UsageError as error:
    print(error)
"""


def found(*names: Path, captions: Path | None = None) -> list[Photo]:
    return list(Sources([str(name) for name in names], captions, Fields()))


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


class TestFolders:
    def test_everything_below_in_an_order_that_stays(self, photos: Path) -> None:
        names = [Path(photo.place.address).relative_to(photos) for photo in found(photos)]
        assert [str(n) for n in names] == [
            "0.jpg",
            "1.jpg",
            "2.jpg",
            "below/0.jpg",
            "below/1.png",
            "below/2.webp",
        ]

    def test_same_names_in_two_folders_are_two_photos(self, photos: Path) -> None:
        ids = {photo.id for photo in found(photos) if photo.place.address.endswith("0.jpg")}
        assert ids == {uri_of(photos / "0.jpg"), uri_of(photos / "below" / "0.jpg")}

    def test_what_is_no_photo_by_name_and_content_is_left_out(self, photos: Path) -> None:
        (photos / "notes.txt").write_text("not a photo")
        (photos / ".hidden.jpg").write_bytes((photos / "0.jpg").read_bytes())
        make_photo(photos / ".thumbnails" / "0.jpg")
        os.mkfifo(photos / "pipe")
        (photos / "really-a-photo.dat").write_bytes((photos / "below" / "2.webp").read_bytes())
        names = {Path(photo.place.address).name for photo in found(photos)}
        assert names == {"0.jpg", "1.jpg", "2.jpg", "1.png", "2.webp", "really-a-photo.dat"}

    def test_a_loop_of_links_ends(self, photos: Path) -> None:
        (photos / "below" / "up").symlink_to(photos)
        (photos / "self.jpg").symlink_to("self.jpg")
        paths = [photo.place.address for photo in found(photos)]
        assert len(paths) == 7  # the link to itself counts by its name, and cannot be read

    def test_a_link_and_its_file_are_one_photo(self, photos: Path) -> None:
        (photos / "link.jpg").symlink_to(photos / "0.jpg")
        assert len({photo.id for photo in found(photos)}) == 6

    def test_a_name_in_odd_bytes_survives(self, tmp_path: Path) -> None:
        raw = os.fsencode(tmp_path) + b"/caf\xe9 #1%.jpg"
        photo = make_photo(tmp_path / "a.jpg")
        photo.rename(os.fsdecode(raw))
        (one,) = found(tmp_path)
        assert os.fsencode(one.place.address) == raw
        assert one.id.isascii()
        assert unquote_to_bytes(one.uri.removeprefix("file://")) == raw

    def test_a_long_name_has_a_hash_as_id(self) -> None:
        long = "file:///" + "x" * 600
        assert len(id_of(long)) < 100
        assert id_of(long) == id_of(long) != id_of(long + "y")

    def test_a_missing_source_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="'nowhere': there is no such file or folder"):
            Sources(["nowhere"], None, Fields())
        with pytest.raises(UsageError, match="''"):
            Sources([""], None, Fields())

    def test_a_folder_that_cannot_be_read_is_told_and_the_others_go_on(
        self, photos: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listed = os.scandir

        def scandir(path: Path) -> Any:
            if path.name == "below":
                raise PermissionError(13, "Permission denied")
            return listed(path)

        monkeypatch.setattr(os, "scandir", scandir)  # root may read everything
        *others, last = found(photos)
        assert len(others) == 3
        assert last.uri == uri_of(photos / "below")
        assert last.problem == "the folder cannot be read: Permission denied"

    def test_what_may_not_be_entered_is_told_and_the_others_go_on(self) -> None:
        with tempfile.TemporaryDirectory() as name:  # pytest's own are closed to all but its user
            shut, photos = Path(name, "shut"), Path(name, "photos")
            make_photo(shut / "inside" / "0.jpg")
            make_photo(photos / "0.jpg")
            make_photo(photos / "listed" / "1.jpg")
            (photos / "listed" / "below").mkdir()
            (photos / "listed" / "notes.txt").write_text("no photo")
            (photos / "link").symlink_to(shut / "inside")
            Path(name).chmod(0o755)
            shut.chmod(0)
            (photos / "listed").chmod(0o444)  # its names may be read, and nothing more
            done = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, str(photos), str(shut / "inside")],
                capture_output=True,
                text=True,
            )
            shut.chmod(0o700)
            (photos / "listed").chmod(0o700)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            "0.jpg None",
            "link cannot be read: Permission denied",
            "listed/1.jpg None",
            "listed/below the folder cannot be read: Permission denied",
            f"source {str(shut / 'inside')!r}: cannot be read: Permission denied",
        ]

    def test_a_source_named_itself_always_counts(self, tmp_path: Path) -> None:
        note = tmp_path / ".notes.txt"
        note.write_text("x")
        assert [photo.place.address for photo in found(note)] == [str(note)]


class TestManifests:
    def test_rows_of_one_image_are_one_photo(self, photos: Path) -> None:
        csv = write(
            photos / "c.csv",
            "image,caption,split",
            "0.jpg,a red thing,test",
            "below/1.png,,train",
            '0.jpg,"red, all over",test',
            "./0.jpg,a red thing,test",
        )
        first, second = found(csv)
        assert first.id == uri_of(photos / "0.jpg")
        assert first.columns == {"caption": ["a red thing", "red, all over"], "split": "test"}
        assert second.columns == {"split": "train"}
        assert Sources([str(csv)], None, Fields()).types == {"split": "keyword"}

    def test_images_lie_beside_the_csv_below_images_or_anywhere(
        self, tmp_path: Path, photos: Path
    ) -> None:
        inside = make_photo(tmp_path / "images" / "x.jpg")
        csv = write(tmp_path / "c.csv", "image", "x.jpg", str(photos / "0.jpg"), "photos/1.jpg")
        assert [photo.place.address for photo in found(csv)] == [
            str(inside),
            str(photos / "0.jpg"),
            str(photos / "1.jpg"),
        ]

    def test_ids_and_a_bom(self, photos: Path) -> None:
        csv = photos / "c.csv"
        csv.write_bytes(b"\xef\xbb\xbfid,image\nA1,0.jpg\n,1.jpg\n")
        assert [photo.id for photo in found(csv)] == ["A1", uri_of(photos / "1.jpg")]

    def test_captions_join_by_file_or_by_relative_name(self, tmp_path: Path, photos: Path) -> None:
        captions = write(
            tmp_path / "c.csv",
            "image,caption",
            "below/1.png,white",
            f"{photos / '0.jpg'},red",
            "1.png,of no folder",
        )
        told = {Path(p.place.address).name: p.columns for p in found(photos, captions=captions)}
        assert told["1.png"] == {"caption": "white"}
        assert told["0.jpg"] in ({"caption": "red"}, {})  # two files of this name
        by_path = {p.place.address: p.columns for p in found(photos, captions=captions)}
        assert by_path[str(photos / "0.jpg")] == {"caption": "red"}
        assert by_path[str(photos / "below" / "0.jpg")] == {}

    def test_a_row_that_is_wrong_costs_its_photo_alone(self, photos: Path) -> None:
        csv = write(photos / "c.csv", "image,caption", "0.jpg,a,b", ",nothing", "1.jpg,good")
        first, second, third = found(csv)
        assert first.problem is not None
        assert first.problem.endswith("c.csv, line 2: 3 cells under 2 columns")
        assert second.problem is not None
        assert second.problem.endswith("line 3: no image is named")
        assert third.problem is None

    def test_a_later_row_that_is_wrong_is_told_too(self, photos: Path) -> None:
        csv = write(photos / "c.csv", "image,caption", "0.jpg,red", "0.jpg,a,b", "1.jpg,green")
        first, second = found(csv)
        assert first.problem is not None
        assert first.problem.endswith("line 3: 3 cells under 2 columns")
        assert second.problem is None
        told = {
            Path(p.place.address).name: p.problem for p in found(photos / "0.jpg", captions=csv)
        }
        assert told == {"0.jpg": first.problem}

    def test_a_wrong_row_in_a_file_with_odd_bytes_in_its_name(self, photos: Path) -> None:
        csv = write(Path(os.fsdecode(os.fsencode(photos) + b"/\xff.csv")), "image", "0.jpg,a")
        (photo,) = found(csv)
        assert photo.problem is not None
        assert photo.problem.endswith("/\\udcff.csv, line 2: 2 cells under 1 columns")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"file,caption\n", "no column 'image'; found: 'file', 'caption'"),
            (b"image;caption\n", "found: 'image;caption'; commas separate the columns"),
            (b"image,stair\n", "'stair' is a field that stair-search fills itself"),
            (b"image,stair_model\n", "'stair_model' is a field that stair-search fills"),
            (b"image,width\n", "'width' is a field"),
            (b"image,a.b\n", "'a.b' cannot be a field"),
            (b"image,_id\n", "'_id' cannot be a field"),
            (b"image,a,a\n", "'a' stands twice"),
            (b"image,\n", "column 2 has no name"),
            (b"\n", "no column 'image'; found: "),
            ("image\n0.jpg\n".encode("utf-16"), "is UTF-16"),
            (b"im\xe9ge\n", "line 1, which names the columns: byte 0xe9 is not UTF-8"),
        ],
    )
    def test_a_csv_that_cannot_be_used(self, photos: Path, content: bytes, message: str) -> None:
        csv = photos / "c.csv"
        csv.write_bytes(content)
        with pytest.raises(UsageError) as raised:
            found(csv)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        ("rows", "reason"),
        [
            (b"0.jpg,caf\xe9\n", "line 2: byte 0xe9 is not UTF-8"),
            (b"0.jpg,a\0b\n", "line 2: a NUL byte"),
            (b"0.jpg," + b"x" * 200_000 + b"\n", "line 2: field larger than field limit"),
            (b"0.jpg," + b"x" * 2**21 + b"\n", "line 2: over 1,048,576 bytes"),
            (b'0.jpg,"a" b\n', "line 2: "),
            (b'0.jpg,"' + b"never closed\n" * 20_000, "larger than field limit (131072) (to line"),
        ],
    )
    def test_a_row_that_cannot_be_read_costs_itself_alone(
        self, photos: Path, rows: bytes, reason: str
    ) -> None:
        csv = photos / "c.csv"
        csv.write_bytes(b"image,caption\n" + rows + b"1.jpg,green\n")
        *bad, good = found(csv)
        assert bad[0].problem is not None and reason in bad[0].problem
        assert good.uri == uri_of(photos / "1.jpg") and good.columns == {"caption": "green"}

    def test_a_quote_that_is_never_closed_costs_what_it_swallows(self, photos: Path) -> None:
        csv = write(photos / "c.csv", "image,caption", "0.jpg,red", '1.jpg,"green', "2.jpg,blue")
        good, bad = found(csv)
        assert good.problem is None
        assert bad.problem is not None and bad.problem.endswith(
            "unexpected end of data (to line 4)"
        )

    def test_an_id_that_stands_twice(self, photos: Path, make_job: MakeJob) -> None:
        csv = write(photos / "c.csv", "image,id", "0.jpg,A", "1.jpg,A", "2.jpg,B", "2.jpg,C")
        job = make_job(csv)
        assert counts(job()) == (1, 0, 2)
        told = {failure.uri: failure.reason for failure in failures(job.settings.home)}
        assert told[uri_of(photos / "1.jpg")] == (
            f"its id 'A' is that of {uri_of(photos / '0.jpg')} already"
        )
        assert told[uri_of(photos / "2.jpg")].endswith(
            "line 5: its id is 'C', and 'B' in a row before"
        )
        assert counts(job()) == (0, 1, 2)

    def test_a_bad_row_of_captions_is_told(self, photos: Path) -> None:
        csv = photos / "c.csv"
        csv.write_bytes(b"image,caption\n0.jpg,red\n1.jpg,caf\xe9\n")
        first, bad = found(photos / "0.jpg", captions=csv)
        assert first.columns == {"caption": "red"}
        assert bad.problem is not None and "line 3: byte 0xe9" in bad.problem

    def test_captions_are_not_forgotten_in_silence(self, photos: Path, make_job: MakeJob) -> None:
        csv = write(photos / "c.csv", "image,caption", "0.jpg,red")
        job = make_job(photos, captions=csv)
        job()
        with pytest.raises(
            UsageError, match=r"has captions: give --captions .*/c\.csv to keep them"
        ):
            job(captions=None)
        none = write(photos / "none.csv", "image")
        assert counts(job(captions=none)) == (1, 5, 0)
        assert not job.documents("caption")[uri_of(photos / "0.jpg")].get("caption")

    def test_a_csv_is_taken_before_folders(self, photos: Path) -> None:
        csv = write(photos / "c.csv", "image,caption", "below/1.png,white")
        assert found(photos, csv)[0].columns == {"caption": "white"}

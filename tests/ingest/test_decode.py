from __future__ import annotations

import contextlib
import errno
import io
import os
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from stair_search.ingest.decode import decode, prepare
from stair_search.ingest.photo import Loaded, Photo, PhotoError, Place, Prepared, Result, Work
from stair_search.ingest.read import read
from stair_search.ingest.reading import local
from stair_search.ingest.reading.reader import Reader

pillow_heif.register_heif_opener()  # to write them

READER = Reader()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def photo(package_photos: list[Path]) -> Image.Image:
    path = next(path for path in package_photos if path.name.endswith("flower.jpg"))
    return Image.open(path).convert("RGB")


def near(a: Image.Image, b: Image.Image) -> float:
    """Mean difference of two photos, 0 to 255."""
    assert a.mode == b.mode == "RGB"
    assert a.size == b.size
    return float(np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean())


class TestWhatIsRead:
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("JPEG", {"quality": 95}),
            ("JPEG", {"quality": 95, "progressive": True}),
            ("PNG", {}),
            ("WEBP", {"lossless": True}),
            ("BMP", {}),
            ("TIFF", {}),
            ("TIFF", {"compression": "tiff_lzw"}),
            ("JPEG2000", {}),
            ("PPM", {}),
            ("AVIF", {"quality": 90}),
            ("HEIF", {"quality": 90}),
        ],
    )
    def test_formats(self, photo: Image.Image, kind: str, options: dict[str, Any]) -> None:
        assert near(decode(saved(photo, kind, **options)), photo) < 3

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation(self, photo: Image.Image, orientation: int) -> None:
        turn = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }
        exif = Image.Exif()
        exif[0x0112] = orientation
        lying = photo.transpose(turn[orientation]) if orientation > 1 else photo
        assert near(decode(saved(lying, "PNG", exif=exif)), photo) == 0

    @pytest.mark.filterwarnings("ignore::UserWarning:PIL")
    def test_broken_exif_is_no_reason_to_refuse(self, photo: Image.Image) -> None:
        data = saved(photo, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        assert decode(data).size == photo.size

    def test_heic_is_turned_once(self, photo: Image.Image) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        lying = photo.transpose(Image.Transpose.ROTATE_90)
        assert near(decode(saved(lying, "HEIF", quality=90, exif=exif.tobytes())), photo) < 3

    def test_heic_without_its_plugin(self, photo: Image.Image, tmp_path: Path) -> None:
        (tmp_path / "a.heic").write_bytes(saved(photo, "HEIF"))
        script = (
            "import sys; sys.modules['pillow_heif'] = None\n"
            "from stair_search.ingest.decode import decode\n"
            "from stair_search.ingest.photo import PhotoError\n"
            "try: decode(open(sys.argv[1], 'rb').read())\n"
            "except PhotoError as error: print(error)"
        )
        told = subprocess.check_output([sys.executable, "-c", script, tmp_path / "a.heic"])
        assert told == b"HEIC needs: pip install 'stair-search[heic]'\n"

    def test_cie_lab(self, photo: Image.Image) -> None:
        rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(photo, rgb, lab, outputMode="LAB")
        assert image is not None
        assert near(decode(saved(image, "TIFF")), photo) < 3

    def test_cmyk(self, photo: Image.Image) -> None:
        assert near(decode(saved(photo.convert("CMYK"), "JPEG", quality=95)), photo) < 5

    def test_grey_of_one_eight_and_sixteen_bits(self, photo: Image.Image) -> None:
        grey = photo.convert("L")
        assert near(decode(saved(grey, "PNG")), grey.convert("RGB")) == 0
        one = photo.convert("1")
        assert near(decode(saved(one, "PNG")), one.convert("RGB")) == 0
        deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        assert deep.mode == "I;16"
        for kind in ("PNG", "TIFF"):
            assert near(decode(saved(deep, kind)), grey.convert("RGB")) < 1

    def test_floats_are_scaled(self) -> None:
        ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(4, 0)
        seen = np.asarray(decode(saved(Image.fromarray(ramp * 3), "TIFF")))
        assert seen.min() == 0
        assert seen.max() == 255

    def test_transparency_lies_over_white(self, photo: Image.Image) -> None:
        clear = photo.copy()
        clear.putalpha(0)
        white = Image.new("RGB", photo.size, "white")
        for kind in ("PNG", "WEBP"):
            assert near(decode(saved(clear, kind)), white) < 1
        palette = Image.new("P", (8, 8), 0)
        palette.putpalette([255, 0, 0, 0, 0, 255])
        for kind in ("PNG", "GIF"):
            seen = decode(saved(palette, kind, transparency=0))
            assert near(seen, Image.new("RGB", (8, 8), "white")) == 0
        grey = Image.new("LA", (8, 8), (0, 0))
        assert near(decode(saved(grey, "PNG")), Image.new("RGB", (8, 8), "white")) == 0

    def test_first_frame_of_an_animation(self) -> None:
        frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "green", "blue")]
        for kind in ("GIF", "WEBP", "PNG", "TIFF"):
            data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
            assert near(decode(data), frames[0]) < 2, kind

    def test_one_pixel_and_a_strip(self) -> None:
        assert decode(saved(Image.new("RGB", (1, 1)), "PNG")).size == (1, 1)
        assert decode(saved(Image.new("RGB", (1, 9000)), "PNG")).size == (1, 9000)


class TestLargeJpegs:
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_come_smaller(self, photo: Image.Image, mode: str, progressive: bool) -> None:
        large = photo.resize((1600, 1200)).convert(mode)
        data = saved(large, "JPEG", quality=95, progressive=progressive)
        small = decode(data, 200)
        assert small.size == (400, 300)
        assert near(small, large.convert("RGB").resize((400, 300))) < 4

    @pytest.mark.parametrize("least", [1, 99, 100, 101, 150, 300, 301, 599, 601, 9999])
    def test_not_too_small(self, photo: Image.Image, least: int) -> None:
        large = photo.resize((803, 601))
        seen = decode(saved(large, "JPEG"), least)
        assert min(seen.size) >= min(least, 601)
        assert seen.size[0] / seen.size[1] == pytest.approx(803 / 601, rel=0.01)

    def test_others_do_not(self, photo: Image.Image) -> None:
        for kind in ("PNG", "WEBP", "TIFF", "HEIF"):
            assert decode(saved(photo, kind), 16).size == photo.size

    def test_of_several_the_first(self, photo: Image.Image) -> None:
        other = Image.new("RGB", photo.size)
        data = saved(photo, "MPO", save_all=True, append_images=[other])
        assert near(decode(data, photo.height // 2), photo.resize((320, 214))) < 6

    def test_cut_ones_are_refused(self, photo: Image.Image) -> None:
        data = saved(photo, "JPEG")
        with pytest.raises(PhotoError, match="truncated"):
            decode(data[: len(data) // 2], 16)

    @pytest.mark.parametrize("orientation", [1, 3, 6, 8])
    def test_the_document_tells_the_whole_size(
        self, photo: Image.Image, tmp_path: Path, orientation: int
    ) -> None:
        # at an eighth both sides are 51 pixels: the small photo does not say how it was turned
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / "a.jpg"
        photo.resize((408, 403)).save(path, exif=exif)
        seen: list[tuple[int, int]] = []
        done = prepare(work_of(path), lambda image: kept(image, seen), 16)
        assert isinstance(done, Prepared)
        assert seen == [(51, 51)]
        assert (done.width, done.height) == ((403, 408) if orientation > 4 else (408, 403))


def work_of(path: Path) -> Loaded | Result:
    return read(Work(Photo("a", "file:///a", Place(str(path)), {}), None, ""), READER)


def kept(image: Image.Image, seen: list[tuple[int, int]]) -> NDArray[np.uint8]:
    seen.append(image.size)
    return np.zeros((16, 16, 3), np.uint8)


class TestPrepare:
    def test_an_encoder_that_fails_costs_the_photo(self, tmp_path: Path) -> None:
        def refuse(image: Image.Image) -> NDArray[np.uint8]:
            raise ValueError("too\nthin")

        path = tmp_path / "a.png"
        Image.new("RGB", (9, 9)).save(path)
        done = prepare(work_of(path), refuse, 16)
        assert isinstance(done, Result)
        assert done.reason == "cannot be prepared: ValueError: too thin"

    def test_large_photos_come_one_at_a_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stair_search.ingest.decode.LARGE", 80)
        Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
        here, most = 0, 0

        def count(image: Image.Image) -> NDArray[np.uint8]:
            nonlocal here, most
            here += 1
            most = max(most, here)
            time.sleep(0.01)
            here -= 1
            return np.zeros((16, 16, 3), np.uint8)

        with ThreadPoolExecutor(8) as pool:
            done = list(
                pool.map(lambda _: prepare(work_of(tmp_path / "a.png"), count, 16), range(16))
            )
        assert all(isinstance(one, Prepared) for one in done)
        assert most == 1

    def test_no_memory(self, tmp_path: Path) -> None:
        def eat(image: Image.Image) -> NDArray[np.uint8]:
            raise MemoryError

        path = tmp_path / "a.png"
        Image.new("RGB", (9, 9)).save(path)
        done = prepare(work_of(path), eat, 16)
        assert isinstance(done, Result)
        assert done.reason == "too large: there is not enough memory for it"


def png_claiming(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        whole = name + body
        return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


class TestWhatIsRefused:
    @pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_truncated_files(self, photo: Image.Image, kind: str, share: float) -> None:
        data = saved(photo, kind)
        with pytest.raises(PhotoError) as raised:
            decode(data[: int(len(data) * share)])
        assert "\n" not in str(raised.value)

    def test_truncated_although_another_library_allows_it(
        self, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        with pytest.raises(PhotoError, match="truncated"):
            decode(saved(photo, "JPEG")[:9000])

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "empty file"),
            (b"hello, world\n" * 99, "not a photo: the content is text"),
            (b"\x93\0\x94" * 99, "not a photo: the content is none of JPEG, PNG"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a photo"),
            (b"\0" * 4096, "not a photo"),
            (png_claiming(50_000, 50_000), "too large: "),
            (png_claiming(20_000, 9_000), "too large: Image size (180000000 pixels)"),
            (png_claiming(100, 100), "truncated"),
        ],
    )
    def test_reasons(self, data: bytes, reason: str) -> None:
        with pytest.raises(PhotoError) as raised:
            decode(data)
        assert str(raised.value).startswith(reason)

    @pytest.mark.filterwarnings("ignore::UserWarning:PIL")
    def test_flipped_bytes_cost_that_photo_alone(self, photo: Image.Image) -> None:
        # whatever Pillow raises on it, nothing but PhotoError comes out
        rng = np.random.default_rng(0)
        small = photo.resize((64, 48))
        for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
            whole = np.frombuffer(saved(small, kind), np.uint8)
            for _ in range(60):
                bad = whole.copy()
                places = rng.integers(0, min(len(bad), 400), 4)
                bad[places] = rng.integers(0, 256, 4)
                with contextlib.suppress(PhotoError):
                    assert decode(bad.tobytes()).mode == "RGB"


class TestFiles:
    def reason(self, path: Path) -> str:
        with pytest.raises(PhotoError) as raised:
            local.read(Place(str(path)))
        return str(raised.value)

    def test_reasons(self, tmp_path: Path) -> None:
        make: dict[str, tuple[Callable[[Path], object], str]] = {
            "missing": (lambda path: None, "no such file"),
            "dangling": (
                lambda path: path.symlink_to("gone"),
                "a link to a file that is not there",
            ),
            "loop": (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels"),
            "folder": (lambda path: path.mkdir(), "not a file but a folder"),
            "pipe": (lambda path: os.mkfifo(path), "not a file but a named pipe"),
            "empty": (lambda path: path.touch(), "empty file"),
            "device": (lambda path: path.symlink_to("/dev/zero"), "not a file but a device"),
        }
        for name, (act, reason) in make.items():
            path = tmp_path / f"{name}.jpg"
            act(path)
            assert self.reason(path).startswith(reason)

    def test_a_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as end:
            end.bind("s.jpg")
            assert self.reason(Path("s.jpg")) == "not a file but a socket"

    def test_a_file_of_gigabytes_is_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "large.jpg"
        with path.open("wb") as file:
            file.truncate(2**33)  # takes no room on the disk
        assert self.reason(path).startswith("too large: 8,589,934,592 bytes")

    def test_a_file_that_is_closed_to_us(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "closed.jpg"
        path.write_bytes(b"a")
        path.chmod(0)
        if os.geteuid() == 0:  # root reads it all the same

            def refuse(*_: object) -> int:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

            monkeypatch.setattr(os, "open", refuse)
        assert self.reason(path) == "cannot be read: Permission denied"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has a file that root cannot read")
    def test_a_file_that_cannot_be_read(self) -> None:
        assert self.reason(Path("/proc/self/mem")).startswith(("cannot be read", "empty file"))

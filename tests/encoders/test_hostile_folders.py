"""Folders that no trainer wrote: what is wrong is named, nothing of theirs is run."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stair_search.encoders
from stair_search.encoders import load_encoder
from stair_search.encoders.folder import Source
from stair_search.encoders.package_file import package_file
from stair_search.errors import ModelError

FOLDER = Path(stair_search.encoders.__file__).parent / "starter"
PHOTO = np.zeros((1, 260, 260, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The starter without its neural text encoder."""
    mine = shutil.copytree(FOLDER, tmp_path / "mine", ignore=shutil.ignore_patterns("text.onnx"))
    about = json.loads((mine / "model.json").read_text())
    del about["files"]["text.onnx"]
    (mine / "model.json").write_text(json.dumps(about))
    return mine


def change(folder: Path, **parts: Any) -> None:
    """Settings of model.json, with the digests of the files as they are now."""
    path = folder / "model.json"
    about = json.loads(path.read_text())
    for name, value in parts.items():
        about[name] = {**about[name], **value} if isinstance(value, dict) else value
    for name in ("image.onnx", "text.npz", "vocab.txt"):
        if (folder / name).exists():
            about["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(about))


def ask(folder: Path) -> None:
    load_encoder(str(folder)).encode_text("dog")


def look(folder: Path) -> None:
    load_encoder(str(folder), threads=1).encode_images(PHOTO)


@pytest.mark.parametrize(
    "name", ["../vocab.txt", "/etc/passwd", "a\\b", "..", "", "c:x", "x\0y", "sub/text.npz"]
)
def test_a_file_outside_of_the_folder_is_refused_by_name(folder: Path, name: str) -> None:
    change(folder, files={name: "0"})
    with pytest.raises(ModelError, match=r"is no name of a file beside model\.json"):
        load_encoder(str(folder))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"image": {"size": 10**9}}, "image: size is a whole number from 1 to 4096"),
        ({"image": {"size": 0}}, "image: size"),
        ({"image": {"size": True}}, "image: size"),
        ({"image": {"size": "260"}}, "image: size"),
        ({"image": {"top_k": -1}}, "image: top_k"),
        ({"image": {"resize": "stretch"}}, "resize is 'stretch', not of squash, crop"),
        ({"image": {"resample": "eval"}}, "not of bilinear, bicubic, lanczos"),
        ({"image": {"crop": 0}}, "crop is a share"),
        ({"image": {"code": "x"}}, "unexpected keyword argument 'code'"),
        ({"text": {"ratio": 2}}, "ratio is a share from 0 to 1, not 2"),
        ({"text": {"ratio": "much"}}, "describes no model"),
        ({"text": {"top_k": 1.5}}, "text: top_k"),
        ({"text": {"length": 10**7}}, "text: length"),
        ({"text": {"default": "neural"}}, "no sha256 of text.onnx, the default text encoder"),
        ({"text": {"default": "magic"}}, "default is 'magic', not static or neural"),
        ({"text": {"tower": {"package": "os"}}}, "describes no model"),
        ({"files": 3}, "describes no model"),
    ],
)
def test_settings_that_cannot_be(folder: Path, parts: dict[str, Any], said: str) -> None:
    if parts == {"files": 3}:
        about = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps({**about, **parts}))
    else:
        change(folder, **parts)
    with pytest.raises(ModelError, match=r"model\.json describes no model") as caught:
        load_encoder(str(folder))
    assert said in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'"x"', b"null"])
def test_a_model_json_that_is_none(folder: Path, raw: bytes) -> None:
    (folder / "model.json").write_bytes(raw)
    with pytest.raises(ModelError, match=r"model\.json describes no model"):
        load_encoder(str(folder))


def table(path: Path, **changes: Any) -> None:
    with np.load(path) as given:
        parts = {name: given[name] for name in given.files} | changes
    with path.open("wb") as file:
        np.savez(file, **parts)


class Trap:
    """What a pickle of it would do."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ids": np.array([Trap()], dtype=object)}, "no text table"),
        ({"starts": np.zeros(5, np.int32)}, r"over a vocabulary of 30522: shapes \(5,\)"),
        ({"starts": np.full(30_523, 7, np.int32)}, "starts that are no rows"),
        ({"starts": np.zeros(30_523, np.float32)}, "types float32"),
        ({"weights": np.zeros(3, np.float16)}, "shapes"),
    ],
)
def test_tables_that_cannot_be(folder: Path, changes: dict[str, Any], said: str) -> None:
    table(folder / "text.npz", **changes)
    change(folder)
    with pytest.raises(ModelError, match=said):
        ask(folder)


def test_entries_of_a_table_that_cannot_be(folder: Path) -> None:
    for name, value, said in (
        ("ids", 65_535, "ids up to 65535"),
        ("weights", np.nan, "no numbers"),
    ):
        shutil.copy(FOLDER / "text.npz", folder / "text.npz")
        with np.load(folder / "text.npz") as given:
            array = given[name].copy()
        array[5] = value
        table(folder / "text.npz", **{name: array})
        change(folder)
        with pytest.raises(ModelError, match=said):
            ask(folder)


@pytest.mark.parametrize("name", ["text.npz", "image.onnx", "vocab.txt"])
@pytest.mark.parametrize("length", [0, 100, 200_000])
def test_files_that_were_cut_off(folder: Path, name: str, length: int) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:length])
    call = look if name == "image.onnx" else ask
    with pytest.raises(ModelError, match=f"{name} is not the file that model.json names"):
        call(folder)
    change(folder)  # as if that were the file
    with pytest.raises(ModelError, match=name.replace("vocab.txt", "over a vocabulary|no vocab")):
        call(folder)


def test_a_damaged_entry_of_the_table(folder: Path) -> None:
    with zipfile.ZipFile(folder / "text.npz") as archive:
        place = archive.getinfo("weights.npy").header_offset + 1000
    raw = bytearray((folder / "text.npz").read_bytes())
    raw[place] ^= 255
    (folder / "text.npz").write_bytes(raw)
    change(folder)
    with pytest.raises(ModelError, match="is no text table"):
        ask(folder)


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"dog\ndog\n", b"dog\n\ncat\n", b""])
def test_a_vocabulary_that_is_none(folder: Path, raw: bytes) -> None:
    (folder / "vocab.txt").write_bytes(raw)
    change(folder)
    with pytest.raises(ModelError, match=r"vocab\.txt is no vocabulary"):
        ask(folder)


def graph(
    inputs: list[Any], outputs: list[Any], nodes: list[Any], initialisers: list[Any]
) -> bytes:
    from onnx import helper

    made = helper.make_graph(nodes, "g", inputs, outputs, initialisers)
    opset = [helper.make_opsetid("", 17)]
    serialised: bytes = helper.make_model(
        made, opset_imports=opset, ir_version=8
    ).SerializeToString()
    return serialised


def image_graph(size: int = 260, ids: list[int] | None = None, name: str = "pixels") -> bytes:
    """Weights are the first two numbers of a photo's first pixel."""
    from onnx import TensorProto, helper, numpy_helper

    given = [4, 9] if ids is None else ids
    constants = [
        numpy_helper.from_array(np.array(value, np.int64), key)
        for key, value in (
            ("shape", [-1, size * size * 3]),
            ("from", [0]),
            ("to", [2]),
            ("axis", [1]),
        )
    ]
    return graph(
        [helper.make_tensor_value_info(name, TensorProto.UINT8, ["n", size, size, 3])],
        [
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("ids", TensorProto.INT32, [len(given)]),
        ],
        [
            helper.make_node("Cast", [name], ["all"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["all", "shape"], ["flat"]),
            helper.make_node("Slice", ["flat", "from", "to", "axis"], ["weights"]),
            helper.make_node("Identity", ["given"], ["ids"]),
        ],
        [*constants, numpy_helper.from_array(np.array(given, np.int32), "given")],
    )


@pytest.mark.train  # onnx writes what onnxruntime reads
def test_graphs_that_do_not_fit(folder: Path) -> None:
    photo = PHOTO.copy()
    photo[0, 0, 0] = (3, 4, 0)

    def tokens(raw: bytes) -> Any:
        (folder / "image.onnx").write_bytes(raw)
        change(folder)
        return load_encoder(str(folder), threads=1).encode_images(photo)[0]

    fine = tokens(image_graph())
    assert fine.ids.tolist() == [4, 9] and fine.weights == pytest.approx([0.6, 0.8])
    for raw, said in (
        (image_graph(size=8), r"takes \['n', 8, 8, 3\], not \[n, 260, 260, 3\]"),
        (image_graph(name="photo"), "it takes photo and gives weights, ids, not pixels"),
        (image_graph(ids=[4, 40_000]), "does not fit its vocabulary of 30522"),
        (image_graph(ids=[9, 4]), "does not fit its vocabulary"),
        (image_graph(ids=[-1, 4]), "does not fit its vocabulary"),
        (image_graph(ids=[1, 2, 3]), "does not fit its vocabulary"),
        (b"\x80\x04cos\nsystem\n(S'true'\ntR.", "is no model that ONNX Runtime can run"),
    ):
        with pytest.raises(ModelError, match=said):
            tokens(raw)


@pytest.mark.train
@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "/dev/zero"])
def test_a_graph_reads_no_file_outside_of_the_folder(folder: Path, place: str) -> None:
    from onnx import TensorProto, helper, numpy_helper
    from onnx.external_data_helper import set_external_data

    (folder.parent / "secret").write_bytes(bytes(64))
    ids = numpy_helper.from_array(np.array([1, 2], np.int32), "given")
    secret = numpy_helper.from_array(np.zeros((1, 2), np.float32), "secret")
    set_external_data(secret, place, 0, 8)
    secret.ClearField("raw_data")
    raw = graph(
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 260, 260, 3])],
        [
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, [1, 2]),
            helper.make_tensor_value_info("ids", TensorProto.INT32, [2]),
        ],
        [
            helper.make_node("Identity", ["secret"], ["weights"]),
            helper.make_node("Identity", ["given"], ["ids"]),
        ],
        [ids, secret],
    )
    (folder / "image.onnx").write_bytes(raw)
    change(folder)
    with pytest.raises(ModelError, match="is no model that ONNX Runtime can run"):
        look(folder)


# --- files of packages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Source("no_such_tower", "x", "0"), "not installed: pip install --no-deps no-such-tower"),
        (Source("../tiny", "x", "0"), "'../tiny' is no name of a package"),
        (Source("tiny.sub", "x", "0"), "is no name of a package"),
        (Source("tiny", "../secret", "0"), "'../secret' is outside of package tiny"),
        (Source("tiny", "/etc/hostname", "0"), "is outside of package tiny"),
        (Source("tiny", "linked", "0"), "is outside of package tiny"),
        (Source("tiny", "absent", "0"), "absent"),
        (Source("tiny", "here", "0"), "another version of tiny is needed"),
    ],
)
def test_a_package_gives_only_the_recorded_file(
    source: Source, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/__init__.py").write_text("raise RuntimeError('it was run')")
    (tmp_path / "tiny/here").write_text("weights")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "tiny/linked").symlink_to(tmp_path / "secret")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelError, match=said):
        package_file(source, "mine")
    right = Source("tiny", "here", hashlib.sha256(b"weights").hexdigest())
    assert package_file(right, "mine").read_text() == "weights"

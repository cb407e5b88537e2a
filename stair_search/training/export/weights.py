"""Where the weights of a graph are kept: in half the bytes, or in a file that is there already.

Both leave the graph's inputs and outputs as they are; ONNX Runtime undoes them once, at load.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper

SMALL = 1024
"""Numbers in a tensor up to which neither is worth a node."""


def halve(graph: Any) -> None:
    """Stores float32 tensors as float16, cast back at load. Changes the onnx.ModelProto given.

    Keeps 11 significant bits; a number beyond 65504 keeps its tensor whole.
    """
    kept, casts = [], []
    for tensor in graph.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and _size(tensor) > SMALL and not _outside(tensor):
            value = numpy_helper.to_array(tensor)
            with np.errstate(over="ignore"):
                half = value.astype(np.float16)
            if np.isfinite(half).all():
                name = f"{tensor.name}.half"
                kept.append(numpy_helper.from_array(half, name))
                casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
                continue
        kept.append(tensor)
    _replace(graph, kept, casts)


def take_outside(graph: Any, file: Path) -> int:
    """Removes tensors that a safetensors file holds and names their places in it; how many numbers.

    A tensor that the exporter transposed is named as it is in the file and transposed again. What
    was trained since, and so is no longer in the file, stays. Changes the onnx.ModelProto given.
    """
    there = _tensors(file)
    kept, turns, taken = [], [], 0
    for tensor in graph.graph.initializer:
        place = None
        if tensor.data_type == TensorProto.FLOAT and _size(tensor) > SMALL:
            value = numpy_helper.to_array(tensor)
            place = there.get(_key(value))
            if place is None and value.ndim == 2 and (turned := there.get(_key(value.T))):
                name = f"{tensor.name}.turned"
                turns.append(helper.make_node("Transpose", [name], [tensor.name], perm=[1, 0]))
                kept.append(_named(name, value.T, turned, file))
                taken += value.size
                continue
            if place is not None:
                kept.append(_named(tensor.name, value, place, file))
                taken += value.size
                continue
        kept.append(tensor)
    _replace(graph, kept, turns)
    return taken


class _Place(NamedTuple):
    offset: int
    length: int


def _tensors(file: Path) -> dict[tuple[tuple[int, ...], bytes], _Place]:
    """Shape and digest of each float32 tensor of a safetensors file -> its place in the file.

    (8 bytes, little-endian: length of the header; the header in JSON; the numbers.)
    """
    raw = np.memmap(file, np.uint8, mode="r")
    (length,) = struct.unpack("<Q", raw[:8].tobytes())
    header = json.loads(raw[8 : 8 + length].tobytes())
    found = {}
    for name, about in header.items():
        if name != "__metadata__" and about["dtype"] == "F32":
            start, end = (8 + length + offset for offset in about["data_offsets"])
            digest = hashlib.sha256(raw[start:end].data).digest()
            found[tuple(about["shape"]), digest] = _Place(start, end - start)
    return found


def _key(value: NDArray[Any]) -> tuple[tuple[int, ...], bytes]:
    return value.shape, hashlib.sha256(np.ascontiguousarray(value).data).digest()


def _named(name: str, value: NDArray[Any], place: _Place, file: Path) -> Any:
    """A tensor without its numbers. They are looked for in the folder given to the session."""
    tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
    external_data_helper.set_external_data(tensor, file.name, place.offset, place.length)
    tensor.ClearField("raw_data")
    return tensor


def _size(tensor: Any) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64))


def _outside(tensor: Any) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def _replace(graph: Any, tensors: list[Any], first: list[Any]) -> None:
    """These initialisers, and nodes that run before all others."""
    nodes = list(graph.graph.node)
    del graph.graph.initializer[:], graph.graph.node[:]
    graph.graph.initializer.extend(tensors)
    graph.graph.node.extend([*first, *nodes])
    # what the exporter noted about values that are now made by nodes may stay

"""What `doctor` looks at, each check with its remedy. Nothing here writes.

What only a cluster can tell is in `cluster_checks`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..encoders.device import gpus
from ..errors import DestinationError, StairError

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..engines.base import Engine
    from .destination import Destination

CGROUP = Path("/sys/fs/cgroup/cpu.max")
RUNTIMES = ("torch", "onnxruntime", "onnxruntime-gpu")
LEAST_FREE = 2**30  # bytes


class Check(NamedTuple):
    """One line of the report. remedy: empty where ok. exit_code: what it means where not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    exit_code: int = DestinationError.exit_code


def all_checks(destination: Destination, model: str) -> Iterator[Check]:
    """The model first, since it needs no server; then the server, then the index."""
    yield cpu()
    encoder = None
    try:
        encoder = _load(model)
        yield Check("model", True, f"{encoder.fingerprint}, {len(encoder.vocabulary)} tokens")
        yield photos(encoder)
    except StairError as error:
        yield Check("model", False, str(error), _REINSTALL, error.exit_code)
    try:
        with destination.open() as engine:
            info = engine.info
            yield Check("reachable", True, f"{info.product} {info.version} at {info.url}")
            yield from _server(engine, destination)
            yield from _index(engine, destination.index, encoder)
    except StairError as error:
        remedy = "--url, the credentials in the environment, and --ca-certs say how to get there"
        yield Check("reachable", False, str(error), remedy, error.exit_code)


_REINSTALL = "pip install --force-reinstall 'stair-search[starter]'"


def cpu() -> Check:
    """The cores that this process may use, against those that a container grants it."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    detail = f"{cores} cores: so many threads decode photos, and as many encode them"
    granted = _granted()
    if granted is None or granted >= cores:
        return Check("cpu", True, detail)
    return Check(
        "cpu",
        False,
        f"{detail}; but the container is granted the time of {granted:g}, so that they wait for "
        "each other",
        f"grant it {cores}, or pin it to fewer cores (docker run --cpuset-cpus)",
    )


def _granted() -> float | None:
    try:
        limit, period = CGROUP.read_text("utf-8").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def _load(model: str) -> Encoder:
    from ..encoders import load_encoder

    encoder = load_encoder(model, device="auto", precision="auto")  # as ingest has it
    encoder.encode_text("a dog on the beach")
    return encoder


def photos(encoder: Encoder) -> Check:
    """Whether photos can be encoded here, on what, and how fast one after the other."""
    size = encoder.image_size
    try:
        grey = np.full((1, size, size, 3), 127, np.uint8)
        encoder.encode_images(grey)
        started = time.perf_counter()
        encoder.encode_images(grey)
        spent = time.perf_counter() - started
    except StairError as error:
        return Check("photos", False, str(error), _REINSTALL, error.exit_code)
    return Check(
        "photos",
        True,
        f"one photo of {size} px takes {1000 * spent:.0f} ms on {encoder.device} in "
        f"{encoder.precision}; {_runtimes(encoder.device)}",
    )


def _runtimes(device: str) -> str:
    """What could encode: "torch 2.15.0, onnxruntime 1.31.1, no GPU"."""
    found = []
    for name in RUNTIMES:
        with suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    count = gpus()
    found.append(f"{count} GPU{'s' if count > 1 else ''}" if count else "no GPU")
    told = ", ".join(found)
    if count and device == "cpu":
        told += (
            " that the model does not use: it takes onnxruntime-gpu in place of onnxruntime, or a "
            "torch of CUDA and the model's torch folder"
        )
    return told


def _server(engine: Engine, destination: Destination) -> Iterator[Check]:
    if engine.info.product == "sqlite":
        from ..engines.connect import sqlite_path

        yield _disk(Path(sqlite_path(destination.url)))
        return
    from .cluster_checks import cluster_checks

    yield from cluster_checks(engine, destination.index)


def _disk(file: Path) -> Check:
    folder = file.parent
    if not folder.is_dir():
        return Check("disk", False, f"there is no folder {folder}", f"mkdir -p {folder}")
    for place in (folder, file):
        if place.exists() and not os.access(place, os.W_OK):
            return Check("disk", False, f"{place} cannot be written", f"chmod u+w {place}")
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < LEAST_FREE:
        return Check(
            "disk", False, detail, "make room, or name a file elsewhere: --url sqlite:PATH"
        )
    return Check("disk", True, detail)


def _index(engine: Engine, index: str, encoder: Encoder | None) -> Iterator[Check]:
    if not engine.exists(index):
        yield Check("index", True, f"{index!r} is not there yet; ingest makes it")
        return
    from ..mappings import differences, fields_of, index_body, photos_in

    mapping = engine.mapping(index)
    fields = fields_of(mapping)
    yield Check("index", True, f"{index!r} holds {engine.count(index)} documents")
    several = photos_in(mapping) is not None
    found = differences(mapping, index_body(engine.info.product, fields, several=several))
    fields = fields.in_photos() if several else fields
    yield Check(
        "fields",
        not found,
        "; ".join(found) or f"tokens in {fields.token!r}, as it should be",
        "use other field names (--token-field) or a new index (--index)" if found else "",
        4,
    )
    if encoder is None or found:
        return
    models = engine.models(index, fields.token)
    held = ", ".join(f"{name} ({count})" for name, count in models.items()) or "no model yet"
    fits = not models or encoder.fingerprint in models
    yield Check(
        "model fits",
        fits,
        f"the index holds {held}",
        "" if fits else f"--model names the one that wrote it, or ingest with {encoder.name} anew",
        4,
    )

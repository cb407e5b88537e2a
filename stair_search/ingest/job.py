"""What a job is told and what it tells: its settings, its folder, its progress and its report.

A job is one set of sources that goes into one index with one model. Its folder keeps

    settings.json   what it was told, without secrets
    policy.toml     the policy that was in force, see `policy`
    ledger.db       one row a photo, see `ledger`
    report.json     what the last run did, see `Report`
    failures.ndjson the photos that failed in it, a line each: {"id", "uri", "reason"}
    missing.ndjson, stale.ndjson    what the last `verify` found, an id a line
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

import filelock
import platformdirs

from stair_search.engines.connect import sqlite_path
from stair_search.engines.lucene.address import address
from stair_search.errors import DestinationError, UsageError
from stair_search.fields import Fields
from stair_search.files import whole_file

if TYPE_CHECKING:
    from stair_search.encoders.device import Precision

from .photo import BUCKETS
from .reading.addresses import Allowed, public

Executor = Literal["local", "ray"]
RunState = Literal["running", "done", "with failures", "ended early"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What one run is told.

    sources: folders, buckets, photos, lists, tar and Parquet files, see `sources`. url: the
    engine's; secrets in it are dropped at once, and the path of a SQLite file is made absolute.
    captions: a list whose rows are joined to photos that are found in folders.
    columns, policy: TOML files, see `columns` and `policy`. allow_hosts, allow_private: of
    addresses, see `allowed`; buckets stand among the hosts, as s3://bucket.
    ray_address: of a Ray cluster that runs, "auto" for this machine's; None is RAY_ADDRESS, or one
    started for the run. num_gpus: that an encoder takes on Ray, a part of one too; 0 encodes on
    CPUs.
    folder: where the job keeps its things; follows from sources, url, index and model if None.
    device, precision, compile: of the encoder, see `load_encoder`; "cuda" and "auto" are all GPUs.
    encode_batch: photos that an encoder is given at once; None: as many as a probe finds.
    bulk_requests: under way at once, at most; how many is found by trying, see `limit`.
    documents_per_second: written, at most. load_settings: change refresh interval and replicas
    while it is filled also of an index that the job has not made itself, see `load`.
    pipeline: an ingest pipeline of the cluster through which each document goes.
    delete_missing: delete the documents of photos that vanished from the sources, see `missing`;
    max_delete: so many at most, None asks for less than half.
    metrics: PORT or HOST:PORT at which Prometheus is told of the run.
    decode_threads: None is one a CPU. retry_seconds: how long a request that the engine does not
    take now (429, 502, 503, 504, no answer) is tried again before the run gives up.
    """

    sources: tuple[str, ...]
    url: str = "sqlite:stair.db"
    index: str = "photos"
    model: str = "starter"
    captions: Path | None = None
    columns: Path | None = None
    policy: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    allow_private: bool = False
    fields: Fields = field(default_factory=Fields)
    executor: Executor = "local"
    ray_address: str | None = None
    num_gpus: float = 0
    folder: Path | None = None
    dry_run: bool = False
    device: str = "auto"
    precision: Precision = "auto"
    compile: bool = False
    encode_batch: int | None = None
    decode_threads: int | None = None
    bulk_documents: int = 256
    bulk_bytes: int = 5 * 2**20
    bulk_requests: int = 4
    documents_per_second: float | None = None
    load_settings: bool = False
    pipeline: str | None = None
    delete_missing: bool = False
    max_delete: int | None = None
    metrics: str | None = None
    retry_seconds: float = 300.0

    def __post_init__(self) -> None:
        if not self.sources:
            raise UsageError("no source: name a folder, a photo, a tar file or a list")
        object.__setattr__(self, "sources", tuple(str(s) for s in self.sources))
        sqlite = self.url.startswith("sqlite:")
        url = f"sqlite:{sqlite_path(self.url)}" if sqlite else without_secrets(self.url)
        object.__setattr__(self, "url", url)
        if sqlite:  # its file has one writer
            object.__setattr__(self, "bulk_requests", 1)
        rate = self.documents_per_second
        if rate is not None and not 0 < rate < math.inf:
            raise UsageError(f"documents per second must be a number over 0, not {rate:g}")
        if self.max_delete is not None and not self.delete_missing:
            raise UsageError("--max-delete goes with --delete-missing")
        if self.executor == "ray" and self.device.startswith("cuda:"):
            raise UsageError(
                f"device {self.device!r} is of one machine; on Ray --num-gpus says how many GPUs "
                "an encoder takes, and Ray which"
            )
        asked = next((s for s in self.sources if _on_web(s) and "?" in s), None)
        if asked and self.folder is None:
            raise UsageError(
                f"source {_whole(asked)}: what stands behind its ? may be a signature, so jobs are "
                "not told apart by it: name the job's folder with --job"
            )
        for name in ("encode_batch", "bulk_documents", "bulk_bytes", "bulk_requests"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be 1 or more, not {value}")

    @property
    def shown(self) -> str:
        """The sources, without what may be secret."""
        return ", ".join(map(_whole, self.sources))

    @property
    def home(self) -> Path:
        """The job's folder, given or derived."""
        if self.folder is not None:
            return self.folder.absolute()
        told = [
            sorted(map(_place, self.sources)),
            self.url,
            self.index,
            self.model,
        ]
        # Paths may hold bytes that are no UTF-8; json escapes their stand-ins.
        return jobs_folder() / hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    @property
    def allowed(self) -> Allowed:
        """What may be read: of buckets, those that are named as sources or among the hosts."""
        return Allowed(
            tuple(host for host in self.allow_hosts if not host.startswith(BUCKETS)),
            self.allow_private,
            tuple(
                "/".join(name.split("/")[:3])
                for name in (*self.sources, *self.allow_hosts)
                if name.startswith(BUCKETS)
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for settings.json: paths absolute, addresses without what may be secret."""
        return asdict(self) | {
            "sources": [_whole(s) for s in self.sources],
            "captions": str(self.captions.absolute()) if self.captions else None,
            "columns": str(self.columns.absolute()) if self.columns else None,
            "policy": str(self.policy.absolute()) if self.policy else None,
            "folder": str(self.home),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> JobSettings:
        """The way back from settings.json. What another version has written besides is ignored."""
        return cls(
            **_known(cls, values)
            | {
                "sources": tuple(values["sources"]),
                "captions": Path(values["captions"]) if values["captions"] else None,
                "columns": Path(values["columns"]) if values.get("columns") else None,
                "policy": Path(values["policy"]) if values.get("policy") else None,
                "allow_hosts": tuple(values.get("allow_hosts", ())),
                "fields": Fields.from_dict(values["fields"]),
                "folder": Path(values["folder"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Given to the caller's callback a few times a second.

    notice: a line to be shown as it is (an index was made, the bound, a warning), else None.
    total: about how many photos there are, once they are counted; seconds_left: until the end, at
    the rate of the last minute.
    """

    seen: int = 0
    indexed: int = 0
    unchanged: int = 0
    failed: int = 0
    seconds: float = 0.0
    bottleneck: str = ""
    notice: str | None = None
    total: int | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did. job: its folder. images_per_second: photos that were indexed.

    bottleneck: the stage that limits, in words: "encode: busy 97 %; bulk idle 88 %: …".
    stages: {"decode": {"busy_seconds": 9.1, "items": 1997, "workers": 2, "busy": 0.4}, ...};
    "encode" also has "devices": ["cuda:0"], "precision": "bf16" and "batch": 64.
    deleted: documents of missing photos, None where that was not asked for; not_deleted: why none.
    ended_early: True where an error or an interrupt has ended it.
    """

    job: str
    seen: int = 0
    indexed: int = 0
    unchanged: int = 0
    failed: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    bottleneck: str = ""
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: int | None = None
    not_deleted: str | None = None
    ended_early: bool | None = None

    @property
    def exit_code(self) -> int:
        """0, or 1 where photos failed or may not be deleted."""
        return 1 if self.failed or self.not_deleted else 0

    def to_dict(self) -> dict[str, Any]:
        """Without what was not asked for."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class PastJob:
    """A job's folder with what it was told and its last report (None: it never came to an end).

    began: its last run, as a time of the clock; state: what became of it.
    """

    folder: Path
    settings: JobSettings
    report: Report | None
    began: float
    state: RunState


def jobs_folder() -> Path:
    """Where jobs are kept whose folder is not named."""
    return Path(platformdirs.user_state_dir("stair-search")) / "jobs"


def jobs(folder: Path | None = None) -> list[PastJob]:
    """Jobs under a folder (default: `jobs_folder()`), the latest last; no others are listed."""
    found = []
    for path in (folder or jobs_folder()).glob("*/settings.json"):
        try:
            found.append(load(path.parent))
        except UsageError as error:
            _log.warning("passed over: %s", error)
    return sorted(found, key=lambda past: past.began)


def load(folder: Path) -> PastJob:
    """Reads a job's folder. Raises UsageError where it is none."""
    folder = folder.absolute()
    try:
        began = (folder / "settings.json").stat().st_mtime
        settings = JobSettings.from_dict(json.loads((folder / "settings.json").read_text("utf-8")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"{folder} is no job's folder: {error}") from None
    try:
        report = Report(**_known(Report, json.loads((folder / "report.json").read_text("utf-8"))))
        ended = (folder / "report.json").stat().st_mtime
    except (OSError, ValueError, TypeError, AttributeError):
        report, ended = None, 0
    return PastJob(folder, settings, report, began, _state(folder, report, ended < began))


def _state(folder: Path, report: Report | None, killed: bool) -> RunState:
    if _running(folder):
        return "running"
    if report is None or killed or report.ended_early:
        return "ended early"
    return "with failures" if report.exit_code else "done"


def _running(folder: Path) -> bool:
    if not (folder / "lock").exists():
        return False
    try:
        with filelock.FileLock(folder / "lock", timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # another user's
        return False


def save(folder: Path, name: str, values: dict[str, Any]) -> None:
    """Writes a JSON file, see `save_lines`."""
    save_lines(folder, name, [json.dumps(values, indent=2, ensure_ascii=True)])


def save_lines(folder: Path, name: str, lines: Iterable[str]) -> None:
    """Writes a file so that a kill leaves the old one or the new one, never half."""
    with whole_file(folder / name, DestinationError) as file:
        file.writelines(f"{line}\n" for line in lines)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the job's folder and holds it for this process; the lock ends with the process."""
    lock = filelock.FileLock(folder / "lock", timeout=0.2)  # `_running` holds it for an instant
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise UsageError(f"job {folder} is running in another process; wait for it") from None
    except OSError as error:
        raise UsageError(f"the job's folder {folder} cannot be used: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def place(url: str) -> str:
    """An engine's URL in the one way of writing it, so that places can be compared."""
    return address(url).url if url.startswith("http") else f"sqlite:{sqlite_path(url)}"


def without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment.

    >>> without_secrets("https://me:secret@host:9200/?token=x")
    'https://host:9200/'
    """
    if not url.startswith(("http://", "https://")):
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _whole(source: str) -> str:
    """A source as it may be kept."""
    if source.startswith(BUCKETS):
        return source
    if _on_web(source):
        return public(source)
    return str(Path(source).absolute())


def _on_web(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _place(source: str) -> str:
    """The same for all ways to write a source."""
    whole = _whole(source)
    return whole.rstrip("/") if "://" in whole else os.path.normpath(whole)


def _known(kind: type[JobSettings | Report], values: dict[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in values.items() if name in names}

"""The index that a job writes to: the job's own, made where it is missing, held to the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stair_search.engines.base import Engine
from stair_search.engines.checks import check_index_name
from stair_search.errors import DestinationError, ModelError, UsageError
from stair_search.mappings import differences, index_body

from .encoder import Encoder
from .job import JobSettings, jobs, place
from .ledger import Ledger
from .policy import KEPT_AS


def must_be_own(home: Path, own: JobSettings, engine: Engine, url: str, index: str) -> None:
    """Refuses an index that is not the job's `own`, before anything is written.

    It is where the ledger knows it, by whatever way it is reached, and where it stands in the
    job's own place (missing, or made anew).
    """
    if (home / "ledger.db").exists() and engine.exists(index):
        ledger = Ledger(home, read_only=True)
        try:
            if ledger.knows(engine.uuid(index)):
                return
        finally:
            ledger.close()
    if (place(url), index) != (place(own.url), own.index):
        raise UsageError(
            f"job {home} belongs to index {own.index!r} in {own.url}, not to {index!r} in {url}: "
            f"name that one, or another --job"
        )


def policy_beside(job: JobSettings) -> str | None:
    """A line on a job that writes to the same index by a policy that this job lacks, if there is
    one: an index takes what any job writes.
    """
    own = job.policy.read_text("utf-8") if job.policy else ""
    for past in jobs():
        kept, told = past.folder / KEPT_AS, past.settings
        same = (place(told.url), told.index) == (place(job.url), job.index)
        if past.folder == job.home or not same or not kept.exists():
            continue
        if kept.read_text("utf-8").strip() not in ("", own.strip()):
            return (
                f"job {past.folder} writes to index {job.index!r} by a policy that this job lacks: "
                f"--policy {kept} takes it over, `job audit --job {past.folder}` lists what it "
                "forbids"
            )
    return None


def make_ready(
    engine: Engine,
    job: JobSettings,
    encoder: Encoder,
    types: Mapping[str, str],
    declared: Mapping[str, str],
    routed: bool = False,
    several: bool = False,
) -> tuple[bool, str | None]:
    """Makes a missing index (not in a dry run). Whether it has, and a line to be shown.

    types: of the fields beside stair-search's own; declared: of those that the user has declared,
    which an index that is there must have so, or gets. routed: documents come with a routing;
    several: photos a document.

    Raises ModelError where the index holds another model's tokens or cannot hold these,
    DestinationError where nothing can be written under its name.
    """
    check_index_name(job.index)
    where = f"index {job.index!r} in {engine.info.url}"
    if not engine.exists(job.index):
        if job.dry_run:
            return False, f"{where} would be made"
        try:
            engine.create(
                job.index, index_body(engine.info.product, job.fields, types, several=several)
            )
            return True, f"{where} made"
        except DestinationError:
            if not engine.exists(job.index):  # else another job was quicker
                raise
    target = engine.writes_to(job.index)
    mapping = engine.mapping(job.index)
    body = index_body(engine.info.product, job.fields, declared, several=several)
    amiss = differences(mapping, body, declared)
    if mapping.get("_routing", {}).get("required") and not routed:
        amiss.append(
            "it wants a routing with each document: name its column in a --columns file, "
            'routing = "…"'
        )
    if amiss:
        raise ModelError(f"{where} cannot hold these photos: {'; '.join(amiss)}")
    token = (job.fields.in_photos() if several else job.fields).token
    others = sorted(set(engine.models(job.index, token)) - {encoder.fingerprint})
    if others:
        raise ModelError(
            f"{where} holds tokens of model {', '.join(others)}; {encoder.name} is "
            f"{encoder.fingerprint}, and scores of two models cannot be compared: name another "
            f"index, or the model that made this one"
        )
    wanted, has = body["mappings"]["properties"], mapping.get("properties", {})
    new = {name: wanted[name] for name in declared if name not in has}
    if new and not job.dry_run:  # else they would be of whatever type the first value looks like
        engine.add_fields(target, new)
    if "," in engine.uuid(job.index):
        return False, (
            f"{where} is an alias of several: documents are written to {target!r}, also where "
            "another of them holds one of the same id"
        )
    return False, None


def own_pipelines(engine: Engine, index: str) -> str | None:
    """A line on the ingest pipelines that the index itself names; None where it names none."""
    if not engine.exists(index):
        return None
    told = engine.settings(index)
    named = [
        f"{setting} {told[setting]!r}"
        for setting in ("default_pipeline", "final_pipeline")
        if told.get(setting, "_none") != "_none"
    ]
    if not named:
        return None
    return (
        f"index {index!r} has {' and '.join(named)}: the engine runs it on what ingest "
        "writes, also where a document is there already, of which it sees no other fields"
    )

"""A run of a job from its checks to its report."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stair_search.engines.base import Engine
from stair_search.errors import DestinationError, StairError, UsageError

from . import job as jobs
from .bulk import Pace
from .columns import Columns, read_columns
from .encoder import Encoder, load
from .index import make_ready, must_be_own, own_pipelines, policy_beside
from .job import JobSettings, Progress, Report
from .kept_out import KeptOut
from .ledger import Ledger
from .load import loading
from .missing import delete_missing
from .photo import GroupWork, Result, State, Work
from .pipe import Background
from .plan import plan
from .policy import KEPT_AS, Policy, read_policy
from .reading.reader import Reader
from .sources import Sources
from .stages import Executor, Run
from .takedown import SETTLED, settle
from .watch import Watch

Connect = Callable[[], Engine]
Tell = Callable[[Progress], None]
MakeExecutor = Callable[[Run], AbstractContextManager[Executor]]

TICK = 0.25
"""Seconds between two calls of the caller's progress."""


class Failure(NamedTuple):
    """A photo that is not in the index as it is now, and why."""

    id: str
    uri: str
    reason: str


def run(
    job: JobSettings,
    engine: Engine,
    *,
    encoder: Encoder | None = None,
    connect: Connect | None = None,
    progress: Tell | None = None,
) -> Report:
    """Brings the job's photos into its index and tells what became of them.

    encoder: loaded by `job.model` if None. connect: makes another connection to the same engine in
    another process (Ray's writers), picklable; `partial(engines.connect, job.url)` if None.
    progress: called in the caller's thread.

    Raises UsageError (a source that is not there, a bad CSV, a job that runs or belongs elsewhere),
    DestinationError (what was written until then is kept), ModelError (the index holds another
    model), KeyboardInterrupt after what was encoded has been written.
    """
    return _run(job, engine, encoder, connect, progress or _silent, only_failed=False)


def retry(
    folder: Path,
    engine: Engine,
    *,
    encoder: Encoder | None = None,
    connect: Connect | None = None,
    progress: Tell | None = None,
) -> Report:
    """Runs a past job for the photos alone that failed in it."""
    past = jobs.load(folder)
    settings = replace(past.settings, folder=past.folder)
    return _run(settings, engine, encoder, connect, progress or _silent, only_failed=True)


def failures(folder: Path) -> Iterator[Failure]:
    """The photos of a job that failed when they were last seen."""
    jobs.load(folder)  # refuses what is no job
    ledger = Ledger(folder, read_only=True)
    try:
        for row in ledger.failures():
            yield Failure(*row)
    finally:
        ledger.close()


def _run(
    job: JobSettings,
    engine: Engine,
    encoder: Encoder | None,
    connect: Connect | None,
    tell: Tell,
    *,
    only_failed: bool,
) -> Report:
    if not job.url:  # a cloud id was given instead
        job = replace(job, url=engine.info.url)
    home = job.home
    columns = read_columns(job.columns, job.fields) if job.columns else Columns()
    reader = Reader(job.allowed)
    sources = Sources(job.sources, job.captions, job.fields, columns, reader)
    if (home / "settings.json").exists():
        own = jobs.load(home).settings
        must_be_own(home, own, engine, engine.info.url if only_failed else job.url, job.index)
        if own.captions and not job.captions:
            raise UsageError(
                f"job {home} has captions: give --captions {own.captions} to keep them, or a list "
                "without rows to give them up"
            )
    executor = _executor(job)
    again = None
    if encoder is None:
        again = partial(load, job.model, precision=job.precision, compile=job.compile)
        # Ray's machines have the GPUs, this one may have none
        encoder = again("auto" if (job.executor, job.device) == ("ray", "cuda") else job.device)
    kept = home / KEPT_AS
    if only_failed and kept.exists():
        job = replace(job, policy=kept)  # what it was told may have changed since, or be gone
    if not job.policy and kept.exists():
        raise UsageError(
            f"job {home} has a policy: give --policy {kept} to keep it, or an empty file "
            "to give it up"
        )
    policy = read_policy(job.policy, encoder.vocabulary) if job.policy else Policy()
    if job.pipeline:
        engine.check_pipeline(job.index, job.pipeline)
    if not engine.exists(job.index) and not any(True for _ in sources):
        tell(Progress(notice=f"no photos in {job.shown}: no index is made"))
        return Report(str(home))
    routed = columns.routing is not None
    several = columns.group is not None
    made, notice = make_ready(
        engine, job, encoder, sources.types, columns.types or {}, routed, several
    )
    for line in filter(None, (notice, own_pipelines(engine, job.index), policy_beside(job))):
        tell(Progress(notice=line))
    if job.dry_run:
        there = (home / "ledger.db").exists()
        ledger = Ledger(home if there else None, read_only=there)
        try:
            if not engine.exists(job.index) or not ledger.knows(engine.uuid(job.index)):
                ledger.close()
                ledger = Ledger(None)  # a new index: all is to be written
            with closing(KeptOut(engine, job.index)) as kept_out:
                return _dry_run(
                    job, engine, encoder, sources, ledger, reader, policy, kept_out, tell,
                    only_failed,
                )  # fmt: skip
        finally:
            ledger.close()
    with jobs.locked(home):
        ledger = Ledger(home)
        try:
            jobs.save(home, "settings.json", job.to_dict())
            if job.policy and job.policy != kept:
                jobs.save_lines(home, KEPT_AS, [job.policy.read_text("utf-8")])
            uuid = engine.uuid(job.index)
            ledger.begin(uuid)
            if made:
                ledger.note("made", uuid)
            notices: queue.SimpleQueue[str] = queue.SimpleQueue()
            pace = Pace(job.bulk_requests, job.documents_per_second, notices.put)
            state = Run(
                job, engine, encoder, ledger, reader, pace, policy, sources.largest_group,
                connect=connect, again=again, notices=notices,
            )  # fmt: skip
            filling = job.load_settings or ledger.about("made") == uuid

            with (
                loading(engine, job.index, ledger, filling, _notices(tell)),
                closing(KeptOut(engine, job.index)) as kept_out,
            ):
                if ledger.about(SETTLED) is None:  # before its first run a job has written nothing
                    ledger.note(SETTLED, str(kept_out.last))
                settle(engine, job.index, ledger, pace, job.retry_seconds)
                report = _execute(state, executor, sources, kept_out, tell, only_failed)
            ledger.note("made", None)
            return report
        finally:
            ledger.close()


def _dry_run(
    job: JobSettings,
    engine: Engine,
    encoder: Encoder,
    sources: Sources,
    ledger: Ledger,
    reader: Reader,
    policy: Policy,
    kept_out: KeptOut,
    tell: Tell,
    only_failed: bool,
) -> Report:
    """Counts what would be done, by what the files' sizes and times tell. Reads no photo, and
    counts one that only its server knows as one to be indexed.
    """
    started = time.monotonic()
    counts: dict[State, int] = {"indexed": 0, "unchanged": 0, "failed": 0}
    for item in plan(
        sources,
        ledger,
        reader,
        model=encoder.fingerprint,
        fields=job.fields,
        policy=policy,
        pipeline=job.pipeline,
        kept_out=kept_out,
        misread=sources.misread,
        only_failed=only_failed,
    ):
        if isinstance(item, GroupWork):
            for result in item.results:
                counts[result.state] += 1
        else:
            counts["indexed" if isinstance(item, Work) else item.state] += 1
    seconds = round(time.monotonic() - started, 3)
    report = Report(
        str(job.home),
        sum(counts.values()),
        counts["indexed"],
        counts["unchanged"],
        counts["failed"],
        seconds,
    )
    if job.delete_missing and not only_failed:
        report = delete_missing(job, engine, ledger, sources, report, _notices(tell))
    return report


def _execute(
    state: Run,
    executed: MakeExecutor,
    sources: Sources,
    kept_out: KeptOut,
    tell: Tell,
    only_failed: bool,
) -> Report:
    job = state.job
    works = plan(
        sources,
        state.ledger,
        state.reader,
        model=state.encoder.fingerprint,
        fields=job.fields,
        policy=state.policy,
        pipeline=job.pipeline,
        kept_out=kept_out,
        misread=sources.misread,
        only_failed=only_failed,
        stop=state.stop,
    )
    with executed(state) as executor:
        tell(Progress(notice=f"job {job.home}"))
        tell(
            Progress(
                notice=f"at most {executor.in_flight} photos would be encoded again after a crash"
            )
        )
        results = Background(executor.execute(works), 4)
        report = _follow(state, results, tell, None if only_failed else sources)
    settle(state.engine, job.index, state.ledger, state.pace, job.retry_seconds)
    if kept_out.met:
        tell(
            Progress(
                notice=f"{kept_out.met} photos were taken down and stay out of {job.index}: "
                "`stair-search delete --lift` lets them in again"
            )
        )
    if sources.captions_unused and report.seen:
        tell(Progress(notice=f"{job.captions} names none of the photos that were found"))
    if not report.seen and not only_failed:
        tell(Progress(notice=f"no photos in {job.shown}"))
    if job.delete_missing and not only_failed:
        report = delete_missing(job, state.engine, state.ledger, sources, report, _notices(tell))
        _leave(state, report)
    try:
        state.engine.refresh(job.index)
    except DestinationError as error:  # all is written; most engines show it soon by themselves
        tell(Progress(notice=f"the photos may not be found at once: {error}"))
    return report


def _follow(
    state: Run, results: Background[list[Result]], tell: Tell, whole: Sources | None
) -> Report:
    """Counts results until the last; leaves a report however it ends.

    whole: where all of them are gone through, so that a failure that was not met is one of a photo
    that is gone.
    """
    job = state.job
    watch = Watch(state, whole)
    interrupted, ended_early = False, True
    until = ExitStack()
    try:
        if job.metrics:
            from .metrics import served  # brings Prometheus's client

            tell(Progress(notice=f"metrics: {until.enter_context(served(watch, job.metrics))}"))
        while True:
            try:
                watch.add(results.next(TICK) or [])
                while not state.notices.empty():
                    tell(Progress(notice=state.notices.get()))
                tell(watch.progress())
            except StopIteration:
                if whole is not None and not interrupted:
                    # what `delete_missing` is to find stays
                    state.ledger.forget_gone(written=not job.delete_missing)
                ended_early = interrupted
                break
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                state.stop.set()
                tell(Progress(notice="interrupted: writing what is encoded; again to drop it"))
    except StairError:
        if not interrupted:  # else what was on its way is dropped: it is not in the ledger
            raise
    finally:
        state.stop.set()
        results.close()
        until.close()
        report = watch.report()
        _leave(state, replace(report, ended_early=True) if ended_early else report)
    if interrupted:
        raise KeyboardInterrupt
    tell(watch.progress())
    return report


def _leave(state: Run, report: Report) -> None:
    """Writes what a run leaves in its job's folder."""
    jobs.save(state.job.home, "report.json", report.to_dict())
    told = (json.dumps(Failure(*row)._asdict()) for row in state.ledger.failures())
    jobs.save_lines(state.job.home, "failures.ndjson", told)


def _executor(job: JobSettings) -> MakeExecutor:
    # Only when asked for: both need more than the core package brings.
    if job.executor == "ray":
        from . import ray

        return ray.executor
    from . import local

    return local.executor


def _silent(_: Progress) -> None:
    pass


def _notices(tell: Tell) -> Callable[[str], None]:
    return lambda line: tell(Progress(notice=line))

"""`stair-search ingest`: photos into an index."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..encoders.device import PRECISIONS, Precision
from ..fields import Fields
from .command import Command, debug_option, model_option, utf8
from .destination import Destination, destination_options
from .field_options import field_options
from .output import Format, emit, format_option, note
from .text import one_line

if TYPE_CHECKING:
    from ..ingest import Report

EXAMPLES = """
stair-search ingest ~/Pictures
stair-search ingest holidays/ cat.jpg --captions captions.csv --index holidays
stair-search ingest shards/ list.ndjson --columns columns.toml --allow-host '*.example.org'
stair-search ingest s3://bucket/photos gs://bucket/shards https://example.org/list.csv
stair-search ingest products.csv --columns products.toml --index products
stair-search ingest photos.csv --url https://search.example.org:9200 --executor ray
stair-search ingest ~/Pictures --dry-run
stair-search ingest ~/Pictures --delete-missing
"""


@click.command("ingest", cls=Command, examples=EXAMPLES)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--captions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV or NDJSON of image,caption,…: its further columns become fields.",
)
@click.option(
    "--columns",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file that names the columns of lists and tar files, their types, and which of them "
    "groups photos.",
)
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML file of tokens that may not enter the index, and why; or weigh more, or less.",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="HOST",
    help="Web addresses: these hosts alone; *.example.org for all below it. Or a bucket that lists "
    "may name beside those that are sources: s3://bucket. Repeatable.",
)
@click.option(
    "--allow-private-addresses",
    is_flag=True,
    help="Web addresses may lead into private networks and this machine.",
)
@model_option("The model that encodes the photos.")
@click.option(
    "--executor",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where the work is done.",
)
@click.option(
    "--ray-address",
    metavar="ADDRESS",
    help="Join a Ray cluster that runs: HOST:PORT, or auto for this machine's.  [default: "
    "RAY_ADDRESS, else one is started for the run]",
)
@click.option(
    "--num-gpus",
    type=click.FloatRange(min=0),
    default=0,
    metavar="N",
    help="GPUs that an encoder takes on Ray, also a part of one such as 0.5; 0: encode on CPUs.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="DEVICE",
    help="What encodes: auto, cpu, cuda (all GPUs) or cuda:N (one of them); auto takes GPUs where "
    "there are some.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    metavar="NAME",
    help="In which photos are encoded: auto, fp32, bf16 or fp16; auto is fp32 on a CPU, on a GPU "
    "bf16, or fp16 where it has no bf16.",
)
@click.option(
    "--encode-batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Photos that an encoder is given at once.  [default: 8 on a CPU, found by a probe on a "
    "GPU]",
)
@click.option(
    "--compile",
    is_flag=True,
    help="Compile a model in torch first: takes up to minutes, for long runs.",
)
@click.option(
    "--job",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the job's ledger and report.  [default: follows from sources, URL, index and "
    "model]",
)
@click.option(
    "--max-docs-per-second",
    "documents_per_second",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Write no faster than this.",
)
@click.option(
    "--bulk-requests",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="N",
    help="Requests to the engine at once, at most; how many it takes is found by trying.",
)
@click.option(
    "--load-settings",
    is_flag=True,
    help="No refresh and no replicas while writing, as for an index that ingest makes itself; both "
    "are put back.",
)
@click.option(
    "--pipeline",
    callback=utf8,
    metavar="NAME",
    help="An ingest pipeline of the cluster through which each document goes.",
)
@click.option(
    "--delete-missing",
    is_flag=True,
    help="Delete documents of this job whose photos are in its sources no more; with --dry-run, "
    "tell which.",
)
@click.option(
    "--max-delete",
    type=click.IntRange(min=0),
    metavar="N",
    help="Delete no more than N missing photos.  [default: half, and none where a source is empty]",
)
@click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    help="Serve Prometheus metrics while it runs; to this machine alone unless HOST says more.",
)
@field_options
@click.option("--dry-run", is_flag=True, help="Find and check the photos, write nothing.")
@destination_options
@format_option
@debug_option
@click.pass_context
def command(
    ctx: click.Context,
    sources: tuple[str, ...],
    captions: Path | None,
    columns: Path | None,
    policy: Path | None,
    allow_hosts: tuple[str, ...],
    allow_private_addresses: bool,
    model: str,
    executor: str,
    ray_address: str | None,
    num_gpus: float,
    device: str,
    precision: Precision,
    encode_batch: int | None,
    compile: bool,
    job: Path | None,
    bulk_requests: int,
    documents_per_second: float | None,
    load_settings: bool,
    pipeline: str | None,
    delete_missing: bool,
    max_delete: int | None,
    metrics: str | None,
    fields: Fields,
    dry_run: bool,
    destination: Destination,
    format: Format,
) -> None:
    """Put photos into an index.

    A SOURCE is a folder, a photo, a tar file (WebDataset's shards too), a Parquet file, or a list:
    a CSV file of image,caption,… or NDJSON, whose images are files or addresses; each of them here,
    at s3://bucket/…, gs://bucket/… or https://…. A missing index is made. The same command again
    takes up where the last one ended, and skips photos that have not changed. One bad photo costs
    that photo alone: it is listed in the job's folder, and the exit code is 1.
    """
    # services and containers are stopped by it: what is encoded is written then, as at ^C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from ..ingest import JobSettings, run
    from .progress import ProgressLine

    settings = JobSettings(
        sources=sources,
        url=destination.url,
        index=destination.index,
        model=model,
        captions=captions,
        columns=columns,
        policy=policy,
        allow_hosts=allow_hosts,
        allow_private=allow_private_addresses,
        fields=fields,
        executor="ray" if executor == "ray" else "local",
        ray_address=ray_address,
        num_gpus=num_gpus,
        device=device,
        precision=precision,
        encode_batch=encode_batch,
        compile=compile,
        folder=job,
        bulk_requests=bulk_requests,
        documents_per_second=documents_per_second,
        load_settings=load_settings,
        pipeline=pipeline,
        delete_missing=delete_missing,
        max_delete=max_delete,
        metrics=metrics,
        dry_run=dry_run,
    )
    with destination.open() as engine, ProgressLine() as progress:
        report = run(settings, engine, connect=destination.connect(), progress=progress.of_ingest)
    tell(ctx, report, format, dry_run)


def tell(ctx: click.Context, report: Report, format: Format, dry_run: bool = False) -> None:
    """Prints the report and ends the command with its exit code."""
    emit(format, report.to_dict(), lambda: lines(report, dry_run))
    if dry_run:
        note("nothing was written (--dry-run)")
    elif report.failed:
        from ..ingest import failures
        from .failed import reasons

        note(f"{report.failed} photos failed:")
        for line in reasons(failures(Path(report.job))):
            note(line)
        note(
            f"{Path(report.job) / 'failures.ndjson'} names each; once put right: stair-search job "
            f"retry --job {report.job}"
        )
    ctx.exit(report.exit_code)


def lines(report: Report, dry_run: bool = False) -> Iterator[str]:
    """A report as people read it."""
    to_be = "to be " if dry_run else ""
    rate = "" if dry_run else f" ({report.images_per_second:.1f}/s)"
    yield (
        f"{report.seen} photos in {report.seconds:.1f} s: {report.indexed} "
        f"{to_be}indexed{rate}, {report.unchanged} unchanged, "
        f"{report.failed} failed"
        + ("" if report.deleted is None else f", {report.deleted} {to_be}deleted")
    )
    if report.bottleneck:
        yield f"bottleneck: {one_line(report.bottleneck)}"
    yield f"job: {one_line(report.job)}"

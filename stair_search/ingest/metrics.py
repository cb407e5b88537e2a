"""What a run does as Prometheus reads it, on a port of this machine while the run lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stair_search.errors import UsageError

from .watch import Watch

try:
    from prometheus_client import start_http_server
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector, CollectorRegistry
except ImportError as missing:
    raise UsageError(
        f"--metrics needs Prometheus's client: pip install 'stair-search[metrics]' ({missing})"
    ) from None

HERE = "127.0.0.1"
Family = CounterMetricFamily | GaugeMetricFamily


class _Run(Collector):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Family]:
        watch = self._watch
        photos = CounterMetricFamily(
            "stair_search_photos", "Photos in their final state", labels=["state"]
        )
        for state, count in watch.counts.items():
            photos.add_metric([state], count)
        yield photos
        busy = CounterMetricFamily(
            "stair_search_stage_busy_seconds", "Over all workers of a stage", labels=["stage"]
        )
        items = CounterMetricFamily("stair_search_stage_items", "Photos", labels=["stage"])
        workers = GaugeMetricFamily("stair_search_stage_workers", "Workers", labels=["stage"])
        for name, meter in watch.run.meters.items():
            busy.add_metric([name], meter.seconds)
            items.add_metric([name], meter.items)
            workers.add_metric([name], meter.workers)
        yield from (busy, items, workers)
        yield GaugeMetricFamily(
            "stair_search_bulk_requests_allowed",
            "At once, as found by trying",
            value=watch.run.pace.limit.now,
        )
        progress = watch.last
        if progress.total is not None:
            yield GaugeMetricFamily(
                "stair_search_photos_expected", "About how many there are", value=progress.total
            )
        if progress.seconds_left is not None:
            yield GaugeMetricFamily(
                "stair_search_seconds_left",
                "At the rate of the last minute",
                value=progress.seconds_left,
            )


@contextmanager
def served(watch: Watch, place: str) -> Iterator[str]:
    """Serves metrics at PORT of this machine alone, or at HOST:PORT; gives the address.

    Raises UsageError where nothing can listen there.
    """
    host, _, port = place.rpartition(":")
    host = host.strip("[]") or HERE
    registry = CollectorRegistry()
    registry.register(_Run(watch))
    try:
        server, thread = start_http_server(int(port), host, registry)
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"--metrics {place}: nothing can listen there ({error})") from None
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

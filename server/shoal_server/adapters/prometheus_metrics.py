"""The meter in Prometheus' terms.

Every server has a registry of its own. Labels have few values: methods, operations, stages, outcomes and collections;
never images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, PlatformCollector
from prometheus_client import ProcessCollector as OfProcess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from shoal_server.application.readings import Readings
from shoal_server.application.telemetry import Meter
from shoal_server.application.vitals import Part

_CALLS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STORE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_MODEL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
_RUN_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class PrometheusMetrics(Meter):
    """Counts in memory; :meth:`page` is what Prometheus scrapes."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._shown: _Shown | None = None
        OfProcess(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        calls = Histogram(
            "shoal_rpc_duration_seconds",
            "How long calls took, from the request to the last answer.",
            ["service", "method", "code"],
            buckets=_CALLS_S,
            registry=registry,
        )
        calls_in_flight = Gauge(
            "shoal_rpc_in_flight", "Calls that are being answered.", ["service", "method"], registry=registry
        )
        store = Histogram(
            "shoal_store_duration_seconds",
            "How long the store took.",
            ["operation", "outcome"],
            buckets=_STORE_S,
            registry=registry,
        )
        decoding = Histogram(
            "shoal_decode_duration_seconds",
            "How long decoding a file took, waiting for a thread included.",
            ["outcome"],
            buckets=_MODEL_S,
            registry=registry,
        )
        embedding = Histogram(
            "shoal_embed_duration_seconds",
            "How long an image, a text or a list of texts took through the model, waiting included.",
            ["kind", "outcome"],
            buckets=_MODEL_S,
            registry=registry,
        )
        passes = Histogram(
            "shoal_model_pass_duration_seconds",
            "How long a pass of the model took.",
            ["kind", "outcome"],
            buckets=_MODEL_S,
            registry=registry,
        )
        sizes = Histogram(
            "shoal_model_batch_size", "Images or texts in a pass.", ["kind"], buckets=_SIZES, registry=registry
        )
        ingested = Counter(
            "shoal_ingested_images_total", "Images dealt with.", ["collection", "outcome"], registry=registry
        )
        stages = Histogram(
            "shoal_run_stage_duration_seconds",
            "How long the stages of clustering runs took.",
            ["stage"],
            buckets=_RUN_S,
            registry=registry,
        )
        runs = Histogram(
            "shoal_run_duration_seconds",
            "How long clustering runs took.",
            ["collection", "outcome"],
            buckets=_RUN_S,
            registry=registry,
        )

        # Looking a sample up by its labels costs more than counting; there are few, so that all are kept.
        self._calls = cache(calls.labels)
        self._calls_in_flight = cache(calls_in_flight.labels)
        self._store = cache(store.labels)
        self._decoding = cache(decoding.labels)
        self._embedding = cache(embedding.labels)
        self._passes = cache(passes.labels)
        self._sizes = cache(sizes.labels)
        self._ingested = cache(ingested.labels)
        self._stages = cache(stages.labels)
        self._runs = cache(runs.labels)

    def call_began(self, service: str, method: str) -> None:
        """As the meter has it."""
        self._calls_in_flight(service, method).inc()

    def call_ended(self, service: str, method: str, code: str, seconds: float) -> None:
        """As the meter has it."""
        self._calls_in_flight(service, method).dec()
        self._calls(service, method, code).observe(seconds)

    def store_called(self, operation: str, outcome: str, seconds: float) -> None:
        """As the meter has it."""
        self._store(operation, outcome).observe(seconds)

    def decoded(self, outcome: str, seconds: float) -> None:
        """As the meter has it."""
        self._decoding(outcome).observe(seconds)

    def embedded(self, kind: str, outcome: str, seconds: float) -> None:
        """As the meter has it."""
        self._embedding(kind, outcome).observe(seconds)

    def passed(self, kind: str, size: int, outcome: str, seconds: float) -> None:
        """As the meter has it."""
        self._passes(kind, outcome).observe(seconds)
        self._sizes(kind).observe(size)

    def ingested(self, collection: str, outcome: str) -> None:
        """As the meter has it."""
        self._ingested(collection, outcome).inc()

    def stage_ended(self, stage: str, seconds: float) -> None:
        """As the meter has it."""
        self._stages(stage).observe(seconds)

    def run_ended(self, collection: str, outcome: str, seconds: float) -> None:
        """As the meter has it."""
        self._runs(collection, outcome).observe(seconds)

    def show(self, readings: Callable[[], Readings], *, version: str, model: str, store: str) -> None:
        """Has what the server shows on the page as well; called once, before the first page.

        Args:
            readings: what it shows; called by :meth:`look`.
            version: of Shoal.
            model: the embedding model's name.
            store: what kind it is.
        """
        info = Gauge("shoal_build_info", "Always 1.", ["version", "model", "store"], registry=self._registry)
        info.labels(version, model, store).set(1)
        self._shown = _Shown(readings)
        self._registry.register(self._shown)

    def look(self) -> None:
        """Reads what the server shows; on the event loop, where nothing changes meanwhile."""
        if self._shown is not None:
            self._shown.look()

    def page(self) -> tuple[bytes, str]:
        """Everything in Prometheus' text format, as of the last look, and the content type.

        It takes milliseconds, in any thread.
        """
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def families(self) -> Iterator[Metric]:
        """Every metric that there is, whether it has been used or not."""
        return iter(self._registry.collect())


class _Shown(Collector):
    """What is read at the moment of the scrape: a collection that is gone is not on the page any more."""

    def __init__(self, readings: Callable[[], Readings]) -> None:
        self._readings = readings
        self._now: Readings | None = None

    def look(self) -> None:
        """Reads."""
        self._now = self._readings()

    def describe(self) -> Iterable[Metric]:
        """Nothing: to register must not mean to read."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The readings as metrics."""
        now = self._now
        if now is None:
            return
        yield _gauge("shoal_model_queue_length", "Calls that wait for the model or are in it.", now.queue_length)
        yield _gauge("shoal_model_queue_limit", "Most calls that may; more are refused.", now.queue_limit)
        yield _gauge("shoal_ingest_in_flight_bytes", "Bytes of files that are worked on.", now.ingest_bytes)
        yield _gauge("shoal_ingest_limit_bytes", "Most bytes; senders wait beyond.", now.ingest_limit_bytes)
        yield _counter("shoal_model_breakdowns_total", "How often the model broke.", now.model_breakdowns)
        yield _counter(
            "shoal_worker_restarts_total", "How often the clustering worker was replaced.", now.worker_restarts
        )
        yield _gauge("shoal_store_check_seconds", "How long the store took when asked last.", now.store_latency_s)
        yield _gauge("shoal_other_servers", "Other servers of the same store that are alive.", now.other_servers)
        healthy = GaugeMetricFamily("shoal_healthy", "1 if this part of the server works, else 0.", labels=["part"])
        for part in Part:
            healthy.add_metric([part.value], float(part not in now.problems))
        yield healthy
        progress = GaugeMetricFamily(
            "shoal_run_progress_ratio", "How far the run under way is, 0 to 1.", labels=["collection", "stage"]
        )
        for collection, run in now.runs.items():
            progress.add_metric([collection, run.stage.value], run.progress)
        yield progress
        yield from _collections(now)


def _collections(now: Readings) -> Iterator[Metric]:
    """Counted at most once a minute."""
    label = ["collection"]
    images = GaugeMetricFamily("shoal_collection_images", "Images stored.", labels=label)
    unclustered = GaugeMetricFamily("shoal_collection_unclustered_images", "Images in no cluster.", labels=label)
    clusters = GaugeMetricFamily("shoal_collection_clusters", "Clusters in force.", labels=label)
    usable = GaugeMetricFamily("shoal_collection_usable", "1 if the collection can be used, else 0.", labels=label)
    last_run = GaugeMetricFamily(
        "shoal_collection_last_run_timestamp_seconds", "When the last clustering run ended.", labels=label
    )
    for each in now.collections:
        images.add_metric([each.id], each.images)
        unclustered.add_metric([each.id], each.unclustered)
        clusters.add_metric([each.id], each.clusters)
        usable.add_metric([each.id], float(not each.problem))
        if each.last_run_at is not None:
            last_run.add_metric([each.id], each.last_run_at.timestamp())
    yield from (images, unclustered, clusters, usable, last_run)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(name, documentation, value=value)

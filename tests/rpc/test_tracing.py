"""One trace from the client's call to the store, and one from a run to its stages."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shoal_client import AsyncClient, NewImage, NotFound
from shoal_server import bootstrap
from shoal_server.adapters.prometheus_metrics import PrometheusMetrics
from shoal_server.adapters.tracing import OtelTracer
from shoal_server.domain.errors import MissingExtra
from shoal_server.settings import Settings
from tests.fakes import FakeClusterer, picture
from tests.rpc.conftest import serving


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Where the spans of client and server end up."""
    exporter = InMemorySpanExporter()
    tracer = OtelTracer("0", SimpleSpanProcessor(exporter))

    @asynccontextmanager
    async def instruments(settings: Settings) -> AsyncIterator[bootstrap.watching.Instruments]:
        yield bootstrap.watching.Instruments(PrometheusMetrics(), tracer)

    monkeypatch.setattr(bootstrap.serving, "instruments", instruments)
    of_client = TracerProvider()
    of_client.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", of_client.get_tracer)
    return exporter


def above(span: ReadableSpan, all_: tuple[ReadableSpan, ...]) -> Iterator[ReadableSpan]:
    """The span and all that it is within."""
    by_id = {each.context.span_id: each for each in all_ if each.context is not None}
    current: ReadableSpan | None = span
    while current is not None:
        yield current
        current = None if current.parent is None else by_id.get(current.parent.span_id)


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [each for each in spans.get_finished_spans() if each.name == name]


async def until_ended(spans: InMemorySpanExporter, name: str, count: int) -> None:
    async with asyncio.timeout(10):
        while len(named(spans, name)) < count:
            await asyncio.sleep(0.01)


async def test_one_trace_from_the_clients_call_to_the_store(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    async with serving(tmp_path) as server, AsyncClient(server.address) as client:
        await client.create_collection("photos")
        photos = client.collection("photos")
        spans.clear()
        await photos.add(picture("red", 1))
        await until_ended(spans, "shoal.v1.ImageService/CreateImage", 2)
        finished = spans.get_finished_spans()
    for name in ("decode", "embed", "store upsert_images"):
        [span] = named(spans, name)
        path = list(above(span, finished))
        assert [each.name for each in path[-2:]] == ["shoal.v1.ImageService/CreateImage"] * 2
        assert [each.kind for each in path[-2:]] == [trace.SpanKind.SERVER, trace.SpanKind.CLIENT]
        assert len({each.context.trace_id for each in path if each.context is not None}) == 1
    [stored] = named(spans, "store upsert_images")
    assert stored.attributes is not None
    assert stored.attributes["shoal.collection"] == "photos"


async def test_failures_are_on_the_spans(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    async with serving(tmp_path) as server, AsyncClient(server.address) as client:
        with pytest.raises(NotFound):
            await client.get_collection("photos")
        await until_ended(spans, "shoal.v1.CollectionService/GetCollection", 2)
    found = {span.kind: span for span in named(spans, "shoal.v1.CollectionService/GetCollection")}
    of_server, of_client = found[trace.SpanKind.SERVER], found[trace.SpanKind.CLIENT]
    assert of_server.attributes is not None
    assert of_server.attributes["rpc.response.status_code"] == "NOT_FOUND"
    # To look for what is not there is no fault of the server's.
    assert of_server.status.is_unset
    assert not of_client.status.is_ok
    [store] = [span for span in spans.get_finished_spans() if span.name == "store get_collection"]
    assert [event.name for event in store.events] == ["exception"]


async def test_a_run_is_a_span_with_a_span_for_each_stage(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    async with serving(tmp_path) as server, AsyncClient(server.address) as client:
        await client.create_collection("photos")
        photos = client.collection("photos")
        for number in range(12):
            await photos.add(picture("red", number))
        run = await photos.run_clustering()
        async for _ in photos.watch_run(run.id):
            pass
        await until_ended(spans, "clustering run", 1)
        finished = spans.get_finished_spans()
    [whole] = named(spans, "clustering run")
    assert whole.attributes is not None
    assert dict(whole.attributes) == {"shoal.collection": "photos", "shoal.run": run.id}
    assert [each.name for each in above(whole, finished)][1:] == ["shoal.v1.ClusterService/RunClustering"] * 2
    stages = [each for each in finished if each.parent == whole.context and each.name.startswith("stage ")]
    assert [each.name for each in stages] == [
        f"stage {name}" for name in ("reading", "neighbors", "mapping", "matching", "writing")
    ]
    within = {each.name for each in finished if whole in list(above(each, finished))}
    assert {"store scan_vectors", "store put_clusters", "store set_group"} <= within


async def test_streams_leave_one_span_each(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    async with serving(tmp_path) as server, AsyncClient(server.address) as client:
        await client.create_collection("photos")
        images = [NewImage(image=picture("red", number)) for number in range(5)]
        stored = [each async for each in client.collection("photos").ingest(images)]
        await until_ended(spans, "shoal.v1.ImageService/IngestImages", 2)
    assert len(stored) == 5
    assert len(named(spans, "decode")) == 5
    assert len(named(spans, "shoal.v1.ImageService/IngestImages")) == 2


async def test_without_a_collector_nothing_is_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    async with bootstrap.watching.instruments(Settings(data=tmp_path)) as tools:
        assert not isinstance(tools.tracer, OtelTracer)


@pytest.mark.parametrize("named_by", ["setting", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
async def test_a_collector_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named_by: str) -> None:
    settings = Settings(data=tmp_path)
    if named_by == "setting":
        settings = Settings(data=tmp_path, otlp_endpoint="http://127.0.0.1:1")
    else:
        monkeypatch.setenv(named_by, "http://127.0.0.1:1")
    async with bootstrap.watching.instruments(settings) as tools:
        assert isinstance(tools.tracer, OtelTracer)


async def test_without_the_extra_the_setting_is_an_error_and_the_variable_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "shoal_server.adapters.tracing", None)
    with pytest.raises(MissingExtra, match=r"shoal\[tracing\]"):
        async with bootstrap.running(
            Settings(data=tmp_path, model="debug", listen="127.0.0.1:0", otlp_endpoint="http://127.0.0.1:1"),
            lambda cache: FakeClusterer(),
        ):
            pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    async with bootstrap.watching.instruments(Settings(data=tmp_path)) as tools:
        assert type(tools.tracer).__name__ == "NoTracer"
    assert "shoal[tracing]" in caplog.text

"""What Prometheus scrapes of a real server, and who may read it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, DeleteCollectionRequest
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.curation_service_pb2_grpc import CurationServiceStub
from shoal.v1.image_service_pb2 import GetImageRequest, SearchImagesRequest
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from shoal_server import bootstrap
from shoal_server.adapters.key_file import KeyFile
from shoal_server.adapters.prometheus_metrics import PrometheusMetrics
from shoal_server.application.access import FAILURES
from shoal_server.application.census import Census
from shoal_server.application.measured import measured_store
from shoal_server.application.telemetry import NoTracer
from shoal_server.application.vitals import Part, Vitals
from shoal_server.domain.access import Role, make_key
from shoal_server.rpc.telemetry import ObserveCalls
from shoal_server.settings import Settings
from shoal_server.web.app import Watched, make_app
from shoal_server.web.server import WebServer
from tests.fakes import FakeClusterer, picture
from tests.qdrant_server import QdrantServer
from tests.rpc.conftest import PARENT, Served
from tests.rpc.faults import stumble

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@asynccontextmanager
async def watched(data: Path, **settings: Any) -> AsyncIterator[tuple[Served, httpx.AsyncClient]]:
    """A server with HTTP, and clients for both."""
    defaults: dict[str, Any] = {"model": "debug", "listen": "127.0.0.1:0", "http_listen": "127.0.0.1:0"}
    configured = Settings(data=data, **(defaults | settings))
    fake = FakeClusterer()
    async with bootstrap.running(configured, lambda cache: fake) as listening:
        assert listening.http is not None
        async with (
            grpc.aio.insecure_channel(listening.address) as channel,
            httpx.AsyncClient(base_url=f"http://{listening.http}", trust_env=False) as web,
        ):
            yield (
                Served(
                    listening.address,
                    channel,
                    fake,
                    CollectionServiceStub(channel),
                    ImageServiceStub(channel),
                    ClusterServiceStub(channel),
                    CurationServiceStub(channel),
                ),
                web,
            )


async def scrape(web: httpx.AsyncClient) -> Samples:
    answer = await web.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of all samples of a name that have these labels."""
    found = [
        number for (each, having), number in samples.items() if each == name and having >= frozenset(labels.items())
    ]
    assert found, (name, labels)
    return sum(found)


def has(samples: Samples, name: str, **labels: str) -> bool:
    return any(each == name and having >= frozenset(labels.items()) for each, having in samples)


async def test_what_the_server_did_is_on_the_page(tmp_path: Path, qdrant_server: QdrantServer | None) -> None:
    store = "embedded" if qdrant_server is None else "qdrant"
    async with watched(tmp_path) as (server, web):
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await server.three_colors()
        await server.recluster()
        [answer] = await server.ingest([picture("red", 1)])
        assert answer.duplicate
        [failed] = await server.ingest([b"no picture"])
        assert failed.HasField("error")
        await server.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red"))
        with pytest.raises(grpc.aio.AioRpcError):
            await server.images.GetImage(GetImageRequest(name=f"{PARENT}/images/nonsense"))
        samples = await scrape(web)
        images = {"service": "shoal.v1.ImageService"}
        assert value(samples, "shoal_rpc_duration_seconds_count", method="IngestImages", code="OK", **images) == 5
        assert value(samples, "shoal_rpc_duration_seconds_count", method="GetImage", code="INVALID_ARGUMENT") == 1
        assert value(samples, "shoal_rpc_in_flight", method="IngestImages") == 0
        assert value(samples, "shoal_ingested_images_total", collection="photos", outcome="stored") == 36
        assert value(samples, "shoal_ingested_images_total", collection="photos", outcome="duplicate") == 1
        assert value(samples, "shoal_ingested_images_total", collection="photos", outcome="refused") == 1
        assert value(samples, "shoal_decode_duration_seconds_count", outcome="ok") == 36
        assert value(samples, "shoal_embed_duration_seconds_count", kind="image", outcome="ok") == 36
        assert value(samples, "shoal_embed_duration_seconds_count", kind="text", outcome="ok") == 1
        assert value(samples, "shoal_model_batch_size_sum", kind="image") == 36
        assert value(samples, "shoal_store_duration_seconds_count", operation="query_images", outcome="ok") == 1
        assert value(samples, "shoal_store_duration_seconds_count", operation="scan_vectors", outcome="ok") >= 1
        assert value(samples, "shoal_run_duration_seconds_count", collection="photos", outcome="succeeded") == 1
        for stage in ("reading", "neighbors", "mapping", "matching", "writing"):
            assert value(samples, "shoal_run_stage_duration_seconds_count", stage=stage) == 1, stage
        assert not has(samples, "shoal_run_progress_ratio")
        assert value(samples, "shoal_collection_images", collection="photos") == 36
        assert value(samples, "shoal_collection_unclustered_images", collection="photos") == 0
        assert value(samples, "shoal_collection_clusters", collection="photos") == 3
        assert value(samples, "shoal_collection_usable", collection="photos") == 1
        last = value(samples, "shoal_collection_last_run_timestamp_seconds", collection="photos")
        assert 0 <= datetime.now(UTC).timestamp() - last < 600
        assert value(samples, "shoal_healthy", part="model") == value(samples, "shoal_healthy", part="store") == 1
        assert value(samples, "shoal_build_info", model="debug", store=store) == 1
        assert value(samples, "shoal_model_queue_limit") == 1024
        assert value(samples, "process_resident_memory_bytes") > 1e7
        identity = answer.image.name.rpartition("/")[2]
        assert not any(identity in text for _, labels in samples for _, text in labels)


async def test_a_run_under_way_shows_its_stage_and_progress(tmp_path: Path) -> None:
    async with watched(tmp_path) as (server, web):
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await server.three_colors()
        server.clusterer.may_go_on.clear()
        following = asyncio.create_task(server.recluster())
        async with asyncio.timeout(20):
            while not has(samples := await scrape(web), "shoal_run_progress_ratio", stage="neighbors"):
                await asyncio.sleep(0.02)
        assert 0 < value(samples, "shoal_run_progress_ratio", collection="photos") < 1
        server.clusterer.may_go_on.set()
        await following
        assert not has(await scrape(web), "shoal_run_progress_ratio")


async def test_nobody_can_make_up_labels(tmp_path: Path) -> None:
    async with watched(tmp_path) as (server, web):
        for made_up in range(3):
            call: Any = server.channel.unary_unary(f"/shoal.v1.ImageService/MadeUp{made_up}")
            with pytest.raises(grpc.aio.AioRpcError):
                await call(b"")
        with pytest.raises(grpc.aio.AioRpcError):
            await server.ingest([picture("red", 1)], parent="collections/made-up")
        samples = await scrape(web)
        assert value(samples, "shoal_rpc_duration_seconds_count", method="unknown", code="UNIMPLEMENTED") == 3
        assert not any("MadeUp" in text or "made-up" in text for _, labels in samples for _, text in labels)


async def test_what_is_gone_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Census.look

    async def look_now(self: Census, max_age_s: float, patience_s: float) -> Any:
        return await look(self, 0, patience_s)

    monkeypatch.setattr(Census, "look", look_now)
    async with watched(tmp_path) as (server, web):
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        assert has(await scrape(web), "shoal_collection_images", collection="photos")
        await server.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
        assert not has(await scrape(web), "shoal_collection_images", collection="photos")


async def test_a_scrape_asks_the_store_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = stumble(monkeypatch, "count_images", times=0)
    async with watched(tmp_path) as (server, web):
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await scrape(web)
        first = counted()
        assert first > 0
        for _ in range(5):
            await scrape(web)
        assert counted() == first


async def test_the_page_is_there_when_the_store_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path) as (server, web):
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        stumble(monkeypatch, "list_collections", times=10**6)
        assert value(await scrape(web), "shoal_model_queue_length") == 0


async def test_health_and_readiness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(tmp_path) as (_, web):
        alive = await web.get("/healthz")
        assert (alive.status_code, alive.text) == (200, "ok\n")
        ready = await web.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "problems": {}})
        monkeypatch.setattr(Vitals, "problems", {Part.STORE: "it does not answer"})
        unready = await web.get("/readyz")
        assert unready.status_code == 503
        assert unready.json() == {"ready": False, "problems": {"store": "it does not answer"}}
        assert (await web.get("/healthz")).status_code == 200
        assert value(await scrape(web), "shoal_healthy", part="store") == 0
        assert (await web.get("/")).status_code == 404
        assert (await web.post("/metrics")).status_code == 405


async def test_where_there_are_keys_the_metrics_need_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    everywhere, kept = make_key("prometheus", Role.READ, None, now, None)
    somewhere, bound = make_key("a friend", Role.ADMIN, frozenset({"photos"}), now, None)
    source = KeyFile(tmp_path / "keys.json")
    await asyncio.to_thread(source.change, lambda keys: (*keys, kept, bound))

    def bearing(key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}

    async with watched(tmp_path) as (_, web):
        refused = await web.get("/metrics")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["reason"] == "WRONG_CREDENTIALS"
        wrong = everywhere[:-1] + ("y" if everywhere.endswith("x") else "x")
        assert (await web.get("/metrics", headers=bearing(wrong))).status_code == 401
        assert (await web.get("/metrics", headers=bearing(somewhere))).status_code == 403
        assert (await web.get("/metrics", headers=bearing(everywhere))).status_code == 200
        assert (await web.get("/healthz")).status_code == 200
        monkeypatch.setattr(Vitals, "problems", {Part.MODEL: "a secret of the house"})
        assert (await web.get("/readyz")).json()["problems"] == {"model": "does not work"}
        told = await web.get("/readyz", headers=bearing(everywhere))
        assert (told.status_code, told.json()["problems"]) == (503, {"model": "a secret of the house"})
    async with watched(tmp_path, http_public=True) as (_, web):
        assert (await web.get("/metrics")).status_code == 200


async def test_probes_without_a_key_are_no_failures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They come every few seconds for as long as a server lives."""
    _, kept = make_key("prometheus", Role.READ, None, datetime.now(UTC), None)
    await asyncio.to_thread(KeyFile(tmp_path / "keys.json").change, lambda keys: (*keys, kept))
    async with watched(tmp_path) as (_, web):
        for _ in range(2 * FAILURES):
            assert (await web.get("/readyz")).json() == {"ready": True, "problems": {}}
        assert (await web.get("/metrics")).status_code == 401
        assert [each.getMessage() for each in caplog.records if "was refused" in each.getMessage()] == []
        # To guess is one.
        assert (await web.get("/metrics", headers={"authorization": "Bearer x"})).status_code == 401
        assert [each.getMessage() for each in caplog.records if "was refused" in each.getMessage()] != []


async def test_an_address_that_is_in_use(tmp_path: Path) -> None:
    async with watched(tmp_path / "one") as (_, web):
        address = str(web.base_url.netloc.decode())
        with pytest.raises(OSError, match=re.escape(f"cannot listen on {address} for HTTP")):
            async with watched(tmp_path / "two", http_listen=address):
                pass


async def test_an_http_server_that_breaks_down_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("of whatever kind")

    monkeypatch.setattr(uvicorn.Server, "startup", fail)

    async def page() -> tuple[bytes, str]:
        return b"", ""

    server = WebServer(make_app(Watched(dict, page)), "metrics", "SHOAL_HTTP_LISTEN")
    await server.start("127.0.0.1:0")
    for _ in range(200):
        if caplog.records:
            break
        await asyncio.sleep(0.01)
    assert "the HTTP server has ended" in caplog.text
    assert "of whatever kind" in caplog.text
    await server.stop()


@pytest.mark.parametrize(
    "sent", [b"", b"GET /healthz HTTP/1.1\r\nhost: x\r\n", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"]
)
async def test_connections_that_ask_for_nothing_are_closed(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """There are only so many, and probes that find none left would have the server ended."""
    monkeypatch.setattr("shoal_server.web.server._IDLE_S", 0.1)

    async def page() -> tuple[bytes, str]:
        return b"", ""

    server = WebServer(make_app(Watched(dict, page)), "metrics", "SHOAL_HTTP_LISTEN")
    port = await server.start("127.0.0.1:0")
    for _ in range(200):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.01)
    writer.write(sent)
    async with asyncio.timeout(4):  # below uvicorn's own patience between two requests
        answer = await reader.read()
    assert answer.endswith(b"ok\n") == sent.endswith(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    await server.stop()


async def test_without_the_setting_there_is_no_http(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, model="debug", listen="127.0.0.1:0")
    async with bootstrap.running(settings, lambda cache: FakeClusterer()) as listening:
        assert listening.http is None


async def test_watching_costs_a_call_little(tmp_path: Path) -> None:
    """The median over many calls of what is around one; the machine may be busy, so the bound is wide."""

    class Store:
        async def get_images(self, collection: str, ids: Any) -> dict[Any, Any]:
            return {}

    class Context:
        def invocation_metadata(self) -> Any:
            return (("user-agent", "grpc"),)

        def set_trailing_metadata(self, metadata: Any) -> None:
            pass

        def code(self) -> None:
            return None

    meter, tracer = PrometheusMetrics(), NoTracer()
    plain: Any = Store()
    store = measured_store(plain, meter, tracer)

    async def behavior(request: Any, context: Any) -> Any:
        return await store.get_images("photos", [])

    async def continuation(details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(behavior)

    class Details:
        method = "/shoal.v1.ImageService/GetImage"
        invocation_metadata = ()

    details: Any = Details()
    interceptor = ObserveCalls(meter, tracer)
    context: Any = Context()
    took = []
    for _ in range(2000):
        began = time.perf_counter()
        observed: Any = await interceptor.intercept_service(continuation, details)
        await observed.unary_unary(None, context)
        middle = time.perf_counter()
        await plain.get_images("photos", [])
        took.append((middle - began) - (time.perf_counter() - middle))
    median = sorted(took)[len(took) // 2]
    print(f"\n{median * 1e6:.1f} us")
    assert median < 200e-6

"""Health tells the truth: a broken model, a store that does not answer, and what comes of both."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from shoal.v1.collection_service_pb2 import CreateCollectionRequest, ListCollectionsRequest
from shoal.v1.image_service_pb2 import CreateImageRequest, ListImagesRequest, NewImage, SearchImagesRequest
from shoal_server import bootstrap
from shoal_server.adapters.batching import BatchingEmbedder
from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.application.vitals import Vitals
from shoal_server.domain.errors import ModelBroken
from shoal_server.rpc.server import SERVICES
from shoal_server.settings import Settings
from tests.fakes import FakeClusterer, picture
from tests.rpc.conftest import PARENT, Served, refused, serving
from tests.rpc.faults import stumble

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NEEDING_THE_MODEL = {"", "shoal.v1.ImageService", "shoal.v1.ClusterService"}


class Device:
    """Breaks, hangs and works again, as a test says."""

    def __init__(self) -> None:
        self.broken = False
        self.released = threading.Event()
        self.released.set()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """What the debug model runs on, in servers that are quick to notice and to try again."""
    device = Device()

    class Engine(DebugEngine):
        def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
            self._use()
            return super().embed_images(inputs)

        def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
            self._use()
            return super().embed_texts(texts)

        def _use(self) -> None:
            device.released.wait(20)
            if device.broken:
                raise RuntimeError("CUDA error: device-side assert triggered")

    def quick(found: Any, **faster: Any) -> None:
        begin = found.__init__

        def begin_faster(self: Any, *arguments: Any, **named: Any) -> None:
            begin(self, *arguments, **{**named, **faster})

        monkeypatch.setattr(found, "__init__", begin_faster)

    monkeypatch.setattr("shoal_server.adapters.debug_embedder.DebugEngine", Engine)
    quick(BatchingEmbedder, retry_s=0.1)
    quick(Vitals, every_s=0.1)
    return device


def health_of(server: Served) -> Any:
    return health_pb2_grpc.HealthStub(server.channel)  # type: ignore[no-untyped-call,unused-ignore]


async def statuses(server: Served) -> dict[str, int]:
    stub = health_of(server)
    found = {}
    for service in ("", *SERVICES):
        found[service] = (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status
    return found


@asynccontextmanager
async def watching(server: Served, service: str) -> AsyncIterator[Any]:
    call = health_of(server).Watch(health_pb2.HealthCheckRequest(service=service))
    try:
        yield call
    finally:
        call.cancel()


async def new_image(server: Served, number: int) -> Any:
    new = NewImage(content=picture("red", number))
    return await server.images.CreateImage(CreateImageRequest(parent=PARENT, image=new))


async def test_a_broken_model_flips_what_needs_it_and_comes_back(tmp_path: Path, device: Device) -> None:
    async with serving(tmp_path) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        async with asyncio.timeout(30), watching(server, "shoal.v1.ImageService") as watch:
            assert (await watch.read()).status == SERVING
            device.broken = True
            async with refused(grpc.StatusCode.UNAVAILABLE, "MODEL_BROKEN", "does not work", "debug"):
                await new_image(server, 1)
            assert (await watch.read()).status == NOT_SERVING
            found = await statuses(server)
            assert {service for service, status in found.items() if status == NOT_SERVING} == NEEDING_THE_MODEL
            # Whoever comes is told at once; what needs no model is answered.
            async with refused(grpc.StatusCode.UNAVAILABLE, "MODEL_BROKEN"):
                await server.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red"), timeout=1)
            assert not (await server.images.ListImages(ListImagesRequest(parent=PARENT))).images
            device.broken = False
            assert (await watch.read()).status == SERVING
            await new_image(server, 1)
        assert set((await statuses(server)).values()) == {SERVING}


async def test_a_device_that_hangs_flips_health_and_frees_the_callers(tmp_path: Path, device: Device) -> None:
    async with serving(tmp_path, model_stall_s=1) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        async with asyncio.timeout(30), watching(server, "") as watch:
            assert (await watch.read()).status == SERVING
            device.released.clear()
            async with refused(grpc.StatusCode.UNAVAILABLE, "MODEL_BROKEN", "has not ended for 1 s"):
                await new_image(server, 1)
            assert (await watch.read()).status == NOT_SERVING
            device.released.set()
            assert (await watch.read()).status == SERVING


async def test_one_bad_pass_flips_nothing(tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = picture("red", 1)

    class Picky(DebugEngine):
        def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
            # The self-test's picture has one shade.
            if np.ptp(inputs[0]) > 0:
                raise RuntimeError("cannot embed this")
            return super().embed_images(inputs)

    monkeypatch.setattr("shoal_server.adapters.debug_embedder.DebugEngine", Picky)
    async with serving(tmp_path) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        async with refused(grpc.StatusCode.INTERNAL, "MODEL_FAILED"):
            await server.images.CreateImage(CreateImageRequest(parent=PARENT, image=NewImage(content=bad)))
        assert set((await statuses(server)).values()) == {SERVING}


async def test_a_store_that_does_not_answer_flips_everything_but_the_status(
    tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server, asyncio.timeout(30):
        async with watching(server, "shoal.v1.CollectionService") as watch:
            assert (await watch.read()).status == SERVING
            with monkeypatch.context() as broken:
                stumble(broken, "list_collections", times=10**6)
                assert (await watch.read()).status == NOT_SERVING
                found = await statuses(server)
                assert [service for service, status in found.items() if status == SERVING] == ["shoal.v1.StatusService"]
            assert (await watch.read()).status == SERVING
        await server.collections.ListCollections(ListCollectionsRequest())


async def test_a_server_whose_model_stays_broken_ends(tmp_path: Path, device: Device) -> None:
    device.broken = True
    with pytest.raises(ModelBroken, match="self-test"):
        async with serving(tmp_path, model_give_up_s=0.5) as server:
            await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
            async with refused(grpc.StatusCode.UNAVAILABLE, "MODEL_BROKEN"):
                await new_image(server, 1)
            await asyncio.sleep(20)
    # All was let go of.
    device.broken = False
    async with serving(tmp_path) as server:
        await new_image(server, 1)


async def test_whoever_watches_is_told_that_the_server_stops_and_does_not_hold_it_up(
    tmp_path: Path, device: Device
) -> None:
    settings = Settings(data=tmp_path, model="debug", listen="127.0.0.1:0", shutdown_grace_s=60)
    async with AsyncExitStack() as client:
        async with bootstrap.running(settings, lambda cache: FakeClusterer()) as listening:
            channel = await client.enter_async_context(grpc.aio.insecure_channel(listening.address))
            stub: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call,unused-ignore]
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=""))
            assert (await watch.read()).status == SERVING
            told = asyncio.create_task(watch.read())
            # It is up to gRPC when the answer is read.
            await asyncio.sleep(0.05)
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 30
        assert (await told).status == NOT_SERVING
        assert await watch.read() is grpc.aio.EOF

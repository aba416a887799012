"""Health, reflection, the folder's lock, and stopping."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from numpy.typing import NDArray

from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.image_service_pb2 import CreateImageRequest, ListImagesRequest, NewImage
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from shoal_server import bootstrap
from shoal_server.adapters.debug_embedder import DebugEngine
from shoal_server.domain.errors import FolderInUse
from shoal_server.rpc.server import SERVICES
from shoal_server.settings import Settings
from tests.fakes import FakeClusterer, picture
from tests.rpc.conftest import PARENT, Served, serving


@pytest.mark.parametrize("service", ["", *SERVICES])
async def test_health(served: Served, service: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(served.channel)  # type: ignore[no-untyped-call,unused-ignore]
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("warm", [True, False])
async def test_what_clusters_is_got_ready_before_it_is_needed_if_that_is_wanted(tmp_path: Path, warm: bool) -> None:
    async with serving(tmp_path, warm_clustering=warm) as server:
        assert server.clusterer.started is warm


async def test_reflection_lists_every_service(served: Served) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(served.channel)  # type: ignore[arg-type]
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    [answer] = [response async for response in call]
    names = {service.name for service in answer.list_services_response.service}
    assert names >= {*SERVICES, "grpc.health.v1.Health"}


async def test_one_server_a_folder(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(FolderInUse, match="--data"):
            async with serving(tmp_path):
                pass
    async with serving(tmp_path):
        pass


async def test_an_address_in_use(tmp_path: Path, served: Served) -> None:
    with pytest.raises(OSError, match="--listen"):
        async with serving(tmp_path / "other", listen=served.address):
            pass


async def test_what_is_in_flight_when_the_server_stops_is_finished_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_model = threading.Event()

    class SlowEngine(DebugEngine):
        def embed_images(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
            in_the_model.set()
            time.sleep(0.5)
            return super().embed_images(inputs)

    monkeypatch.setattr(bootstrap.serving, "load_engine", lambda *_: SlowEngine())
    settings = Settings(data=tmp_path, model="debug", listen="127.0.0.1:0")
    async with AsyncExitStack() as client:
        async with bootstrap.running(settings, lambda cache: FakeClusterer()) as listening:
            channel = await client.enter_async_context(grpc.aio.insecure_channel(listening.address))
            collections: Any = CollectionServiceStub(channel)
            images: Any = ImageServiceStub(channel)
            await collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
            new = NewImage(content=picture("red", 1))
            call = asyncio.ensure_future(images.CreateImage(CreateImageRequest(parent=PARENT, image=new)))
            await asyncio.to_thread(in_the_model.wait)
        answer = await call
    async with serving(tmp_path) as second:
        listed = await second.images.ListImages(ListImagesRequest(parent=PARENT))
        assert [image.name for image in listed.images] == [answer.image.name]

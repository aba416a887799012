"""A whole server on a port of its own, with a model that needs no weights and a clusterer that needs no time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from qdrant_client import AsyncQdrantClient

from shoal.v1.cluster_pb2 import RUN_STATE_RUNNING, ClusteringRun
from shoal.v1.cluster_service_pb2 import (
    GetClusteringRunRequest,
    RunClusteringRequest,
    StreamClusteringRunRequest,
)
from shoal.v1.cluster_service_pb2_grpc import ClusterServiceStub
from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.collection_service_pb2_grpc import CollectionServiceStub
from shoal.v1.curation_service_pb2_grpc import CurationServiceStub
from shoal.v1.image_pb2 import Image
from shoal.v1.image_service_pb2 import IngestImagesRequest, IngestImagesResponse, ListImagesRequest, NewImage
from shoal.v1.image_service_pb2_grpc import ImageServiceStub
from shoal_server import bootstrap
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.settings import Settings
from tests.fakes import FakeClusterer, picture
from tests.qdrant_server import QdrantServer

PARENT = "collections/photos"
MAX_MESSAGE = 4 * 1024 * 1024


@dataclass
class Served:
    """A server and stubs to call it."""

    address: str
    channel: grpc.aio.Channel
    clusterer: FakeClusterer
    collections: Any
    images: Any
    clusters: Any
    curation: Any

    async def ingest(self, contents: Iterable[bytes], parent: str = PARENT) -> list[IngestImagesResponse]:
        """Sends images in one stream."""

        async def requests() -> AsyncIterator[IngestImagesRequest]:
            for number, content in enumerate(contents):
                yield IngestImagesRequest(parent=parent, image=NewImage(content=content, uri=f"file:///{number}"))

        return [response async for response in self.images.IngestImages(requests())]

    async def recluster(self, parent: str = PARENT) -> ClusteringRun:
        """Runs a clustering to its end."""
        started: ClusteringRun = await self.clusters.RunClustering(RunClusteringRequest(parent=parent))
        return await self.ended(started)

    async def ended(self, run: ClusteringRun) -> ClusteringRun:
        """Follows a run to its end."""
        async for response in self.clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
            run = response.clustering_run
        assert run.state != RUN_STATE_RUNNING
        whole: ClusteringRun = await self.clusters.GetClusteringRun(GetClusteringRunRequest(name=run.name))
        return whole

    async def assigned(self) -> dict[str, str]:
        """Image name to cluster name, empty for none, of all images."""
        listed = await self.images.ListImages(ListImagesRequest(parent=PARENT, page_size=1000))
        assert not listed.next_page_token
        return {image.name: image.cluster for image in listed.images}

    async def homes(self, stored: Mapping[str, Sequence[Image]]) -> dict[str, str]:
        """The cluster that all images of a colour are in."""
        assigned = await self.assigned()
        found = {color: {assigned[image.name] for image in images} for color, images in stored.items()}
        assert all(len(clusters) == 1 for clusters in found.values()), found
        return {color: clusters.pop() for color, clusters in found.items()}

    async def three_colors(self, each: int = 12) -> dict[str, list[Image]]:
        """Stores pictures of three colours."""
        stored = {}
        for color in ("red", "green", "blue"):
            stored[color] = await self.store(color, range(each))
        return stored

    async def store(self, color: str, numbers: Iterable[int]) -> list[Image]:
        """Stores pictures of one colour."""
        return [response.image for response in await self.ingest(picture(color, number) for number in numbers)]


@asynccontextmanager
async def serving(data: Path, clusterer: FakeClusterer | None = None, **settings: Any) -> AsyncIterator[Served]:
    """A server on a folder."""
    fake = clusterer or FakeClusterer()
    defaults: dict[str, Any] = {"model": "debug", "listen": "127.0.0.1:0", "max_message_bytes": MAX_MESSAGE}
    configured = Settings(data=data, **(defaults | settings))
    async with (
        bootstrap.running(configured, lambda cache: fake) as listening,
        grpc.aio.insecure_channel(listening.address) as channel,
    ):
        yield Served(
            listening.address,
            channel,
            fake,
            CollectionServiceStub(channel),
            ImageServiceStub(channel),
            ClusterServiceStub(channel),
            CurationServiceStub(channel),
        )


@pytest.fixture(autouse=True)
def _on_the_qdrant_server(stored_in_qdrant_server: QdrantServer | None) -> None:
    """With ``--qdrant-url``, every server that is started stores there."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of what the store might change run on two of them, or on the one of ``--qdrant-url``."""
    if "either_store" in metafunc.fixturenames:
        given = metafunc.config.getoption("--qdrant-url")
        stores = ["qdrant-server"] if given else ["edge", "qdrant-memory"]
        metafunc.parametrize("either_store", stores, indirect=True)


@pytest.fixture
def either_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that are started have the one store, then the other."""
    if request.param == "qdrant-memory":

        async def in_memory(settings: Settings) -> QdrantStore:
            return QdrantStore(AsyncQdrantClient(":memory:"), "in memory")

        monkeypatch.setattr(bootstrap.serving, "open_store", in_memory)


@pytest.fixture
async def served(either_store: None, tmp_path: Path) -> AsyncIterator[Served]:
    """A server with an empty collection ``photos``, on either store."""
    async with serving(tmp_path) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        yield server


@asynccontextmanager
async def refused(code: grpc.StatusCode, reason: str, *words: str) -> AsyncIterator[None]:
    """Expects a call to fail with a code, a reason in its ErrorInfo, and words in its message."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        yield
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type]
    assert raised.value.code() is code, raised.value.details()
    assert status is not None, "no details"
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason, "shoal")
    for word in words:
        assert word in status.message

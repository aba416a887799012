"""Two servers on one store: they see the same, take turns, and stand in for one another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from qdrant_client import AsyncQdrantClient

from shoal.v1.cluster_pb2 import RUN_STATE_CANCELLED, RUN_STATE_RUNNING, RUN_STATE_SUCCEEDED, Cluster
from shoal.v1.cluster_service_pb2 import (
    CancelClusteringRunRequest,
    ListClusteringRunsRequest,
    ListClustersRequest,
    RunClusteringRequest,
    UpdateClusterRequest,
)
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, DeleteCollectionRequest, GetCollectionRequest
from shoal.v1.curation_service_pb2 import MergeClustersRequest
from shoal_server import bootstrap
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.settings import Settings
from tests.rpc.conftest import PARENT, Served, refused, serving

LEASE_S = 2.0


class SharedQdrantStore(QdrantStore):
    """A server's way to the store that all of them share; can be held up when it writes ids.

    Attributes:
        may_write: cleared, writes of cluster ids wait.
        writes: how many there were.
        frozen: nothing of this server gets through to the store any more.
    """

    def __init__(self, client: AsyncQdrantClient) -> None:
        super().__init__(client, "in memory")
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.writes = 0
        self.frozen = asyncio.Event()

    async def close(self) -> None:
        """The other server goes on with the client."""

    async def set_group(self, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]) -> None:
        await self.may_write.wait()
        self.writes += 1
        await super().set_group(collection, field, group_id, ids)


class Servers:
    """Servers on one store, by number."""

    def __init__(self, served: list[Served], stores: list[SharedQdrantStore]) -> None:
        self.a, self.b = served
        self.stores = stores


@pytest.fixture
async def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Servers]:
    """Two servers with a collection ``photos`` of three colours, not yet clustered."""
    client = AsyncQdrantClient(":memory:")
    stores: list[SharedQdrantStore] = []

    async def shared(settings: Settings) -> SharedQdrantStore:
        stores.append(SharedQdrantStore(client))
        return stores[-1]

    monkeypatch.setattr(bootstrap.serving, "open_store", shared)
    options: dict[str, Any] = {
        "lease_s": LEASE_S,
        "recluster_automatically": False,
        "files_url": (tmp_path / "shared").as_uri(),
    }
    async with AsyncExitStack() as stack:
        served = [await stack.enter_async_context(serving(tmp_path / name, **options)) for name in ("a", "b")]
        await served[0].collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served[0].three_colors()
        yield Servers(served, stores)
    await client.close()


async def names(server: Served) -> dict[str, str]:
    listed = await server.clusters.ListClusters(ListClustersRequest(parent=PARENT))
    return {cluster.name: cluster.display_name for cluster in listed.clusters}


async def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Waits for something that another task brings about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def seen_by(server: Served, expected: dict[str, str]) -> None:
    async with asyncio.timeout(15):
        while await names(server) != expected:
            await asyncio.sleep(0.05)


async def test_what_one_server_does_the_other_one_tells(servers: Servers) -> None:
    a, b = servers.a, servers.b
    run = await a.recluster()
    assert run.state == RUN_STATE_SUCCEEDED
    found = await names(a)
    assert len(found) == 3
    await seen_by(b, found)
    assert await a.assigned() == await b.assigned()
    first, second, third = sorted(found)
    await b.clusters.UpdateCluster(UpdateClusterRequest(cluster=Cluster(name=first, display_name="Sunsets")))
    await seen_by(a, found | {first: "Sunsets"})
    await a.curation.MergeClusters(MergeClustersRequest(parent=PARENT, clusters=[first, second]))
    merged = await names(a)
    assert set(merged) == {first, third}
    await seen_by(b, merged)
    assert await a.assigned() == await b.assigned()
    new = [(await b.store(color, [500]))[0].cluster for color in ("red", "green", "blue")]
    assert any(new)
    assert set(new) <= {"", *merged}
    assert await a.assigned() == await b.assigned()


async def test_a_collection_is_clustered_by_one_server_at_a_time(servers: Servers) -> None:
    a, b = servers.a, servers.b
    a.clusterer.may_go_on.clear()
    started = await a.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    async with refused(grpc.StatusCode.ABORTED, "RUN_IN_PROGRESS", started.name.rpartition("/")[2]):
        await b.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    listed = await b.clusters.ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))
    assert [(run.name, run.state) for run in listed.clustering_runs] == [(started.name, RUN_STATE_RUNNING)]
    watching = asyncio.create_task(b.ended(started))
    await asyncio.sleep(0.1)
    assert not watching.done()
    a.clusterer.may_go_on.set()
    run = await watching
    assert run.state == RUN_STATE_SUCCEEDED
    assert (await b.recluster()).state == RUN_STATE_SUCCEEDED


async def test_a_run_is_cancelled_through_any_server(servers: Servers) -> None:
    a, b = servers.a, servers.b
    a.clusterer.may_go_on.clear()
    started = await a.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    cancelled = await b.clusters.CancelClusteringRun(CancelClusteringRunRequest(name=started.name))
    assert cancelled.state == RUN_STATE_CANCELLED
    assert (await a.ended(started)).state == RUN_STATE_CANCELLED


async def test_while_one_server_writes_ids_the_other_names_no_cluster(servers: Servers) -> None:
    a, b = servers.a, servers.b
    await a.recluster()
    before = await b.assigned()
    servers.stores[0].may_write.clear()
    first, second, _ = sorted(await names(a))
    merging = asyncio.ensure_future(
        a.curation.MergeClusters(MergeClustersRequest(parent=PARENT, clusters=[first, second]))
    )
    answers = []

    async def ask() -> None:
        answers.append(await b.assigned())

    async with asyncio.timeout(15):
        while True:
            asking = asyncio.create_task(ask())
            done, _ = await asyncio.wait([asking], timeout=1.0)
            if not done:
                break
    assert all(answer == before for answer in answers)
    servers.stores[0].may_write.set()
    await merging
    await asking
    assert set(answers[-1].values()) == {first, *set(before.values()) - {first, second}}
    assert answers[-1] == await a.assigned()


async def test_another_server_finishes_what_a_silent_one_began(servers: Servers) -> None:
    a, b = servers.a, servers.b
    await a.recluster()
    before = await a.assigned()
    first, second, third = sorted(set(before.values()))
    store = servers.stores[0]
    store.may_write.clear()
    # It falls silent in the middle of writing: nothing of it reaches the store.
    merging = asyncio.ensure_future(
        a.curation.MergeClusters(MergeClustersRequest(parent=PARENT, clusters=[first, second]))
    )
    record = None
    async with asyncio.timeout(15):
        while record is None or record.activating_run is None:
            record = await store.get_collection("photos")
            await asyncio.sleep(0.02)

    async def silent(*_: object) -> None:
        await store.frozen.wait()

    store.renew_lease = silent  # type: ignore[method-assign, assignment]
    store.put_member = silent  # type: ignore[method-assign, assignment]
    async with asyncio.timeout(30):
        while (await store.get_collection("photos")).activating_run is not None:
            await asyncio.sleep(0.05)
    wanted = {image: first if cluster == second else cluster for image, cluster in before.items()}
    assert await b.assigned() == wanted
    written = store.writes
    # And when it wakes up, nothing that it still wants to write counts.
    del store.renew_lease, store.put_member
    store.frozen.set()
    store.may_write.set()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await merging
    assert raised.value.code() is grpc.StatusCode.ABORTED
    assert store.writes <= written + 1
    assert await b.assigned() == wanted
    async with asyncio.timeout(15):
        assert await a.assigned() == wanted
    assert set(await names(a)) == {first, third}


async def test_a_run_that_died_with_its_server_is_ended_by_another(servers: Servers) -> None:
    a, b = servers.a, servers.b
    a.clusterer.may_go_on.clear()
    started = await a.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    store = servers.stores[0]

    async def silent(*_: object) -> None:
        await store.frozen.wait()

    store.renew_lease = silent  # type: ignore[method-assign, assignment]
    ended = await b.ended(started)
    assert "stopped while it was under way" in ended.error.message or ended.error.message
    async with asyncio.timeout(20):
        while True:
            try:
                run = await b.recluster()
                break
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.ABORTED  # noqa: PT017
                await asyncio.sleep(0.1)
    assert run.state == RUN_STATE_SUCCEEDED
    found = await names(b)
    # The silent one wakes up with a result that nobody wants any more.
    del store.renew_lease
    store.frozen.set()
    a.clusterer.may_go_on.set()
    await seen_by(a, found)
    late = await a.ended(started)
    assert late.state not in (RUN_STATE_RUNNING, RUN_STATE_SUCCEEDED)
    assert await names(b) == found


async def test_a_collection_deleted_by_one_server_is_gone_for_the_other(servers: Servers) -> None:
    a, b = servers.a, servers.b
    await a.recluster()
    await seen_by(b, await names(a))
    await a.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))

    async def gone() -> bool:
        try:
            await b.collections.GetCollection(GetCollectionRequest(name=PARENT))
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.NOT_FOUND
        return False

    async with asyncio.timeout(10):
        while not await gone():
            await asyncio.sleep(0.05)
    await b.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
    [image] = await a.store("red", [1])
    assert (await b.assigned()) == {image.name: ""}

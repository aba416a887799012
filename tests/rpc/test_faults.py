"""What must hold when the store stumbles, callers leave, or things happen at the same time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.v1.cluster_pb2 import (
    RUN_STATE_CANCELLED,
    RUN_STATE_FAILED,
    RUN_STATE_HELD_BACK,
    RUN_STATE_SUCCEEDED,
    Cluster,
    ClusteringParameters,
)
from shoal.v1.cluster_service_pb2 import (
    AssignImageRequest,
    CancelClusteringRunRequest,
    GetClusteringRunRequest,
    ListClusteringRunsRequest,
    ListClustersRequest,
    RunClusteringRequest,
    StreamClusteringRunRequest,
    UpdateClusterRequest,
)
from shoal.v1.collection_service_pb2 import (
    CreateCollectionRequest,
    DeleteCollectionRequest,
    GetCollectionRequest,
    ListCollectionsRequest,
)
from shoal.v1.image_service_pb2 import ListImagesRequest, SearchImagesRequest
from shoal_client import AsyncClient, Unavailable
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.application import clustering
from shoal_server.domain.errors import Overloaded
from tests.fakes import FakeClusterer, picture
from tests.rpc.conftest import PARENT, Served, refused, serving
from tests.rpc.faults import replace_in_stores, slow, stumble


async def cluster_names(served: Served) -> set[str]:
    listed = await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))
    return {cluster.name for cluster in listed.clusters}


async def clusters_on_images(served: Served) -> set[str]:
    listed = await served.images.ListImages(ListImagesRequest(parent=PARENT, page_size=1000))
    return {image.cluster for image in listed.images if image.cluster}


@pytest.mark.parametrize("method", ["set_group", "update_collection"])
async def test_a_store_that_stumbles_during_an_activation_is_asked_again(
    served: Served, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    await served.three_colors()
    # The record is written for the ids and for the intent before the ids are.
    calls = stumble(monkeypatch, method, times=2, after=1 if method == "set_group" else 2)
    run = await served.recluster()
    assert calls() > 3
    assert (run.state, run.active) == (RUN_STATE_SUCCEEDED, True)
    assert run.summary.cluster_count == 3
    assert await clusters_on_images(served) == await cluster_names(served)
    assert (await served.recluster()).summary.payload_write_count == 0


async def test_a_store_that_takes_no_more_for_a_while_during_an_activation_is_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.three_colors()
    began = time.monotonic()
    calls = stumble(monkeypatch, "set_group", times=1, after=1, error=Overloaded("the vector store", 1.0))
    run = await served.recluster()
    assert calls() > 2
    assert time.monotonic() - began > 1.0
    assert (run.state, run.active) == (RUN_STATE_SUCCEEDED, True)
    assert await clusters_on_images(served) == await cluster_names(served)


@pytest.mark.parametrize("method", ["delete_groupings", "delete_run", "optimize"])
async def test_a_store_that_stumbles_after_the_switch_takes_nothing_away(
    either_store: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async with serving(tmp_path, keep_runs=1) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.three_colors()
        await served.recluster()
        await served.store("yellow", range(12))
        calls = stumble(monkeypatch, method, times=1)
        run = await served.recluster()
        assert calls() == 1
        assert (run.state, run.active) == (RUN_STATE_SUCCEEDED, True)
        assert len(await cluster_names(served)) == 4
        assert await clusters_on_images(served) == await cluster_names(served)
        # What could not be let go of is let go of the next time.
        last = await served.recluster()
        runs = await served.clusters.ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))
        assert [each.name for each in runs.clustering_runs] == [last.name]


async def test_nothing_that_names_a_cluster_is_answered_in_between(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.three_colors()
    await served.recluster()
    before = await cluster_names(served)
    for image in (await served.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red"))).results:
        assert image.image.cluster in before
    await served.ingest(picture("yellow", number) for number in range(12))
    slow(monkeypatch, "set_group", 0.3)
    running = asyncio.create_task(served.recluster())
    while not running.done():
        found = await served.images.ListImages(ListImagesRequest(parent=PARENT, page_size=1000))
        seen = {image.cluster for image in found.images if image.cluster}
        assert seen == before or seen == await cluster_names(served)
        await asyncio.sleep(0.02)
    assert len(await cluster_names(served)) == 4


@pytest.mark.parametrize("damage", [None, b"", b"garbage" * 50])
async def test_a_collection_whose_activation_cannot_be_finished_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes | None
) -> None:
    async with serving(tmp_path) as first:
        for name in ("photos", "others"):
            await first.collections.CreateCollection(CreateCollectionRequest(collection_id=name))
        await first.three_colors()
        with monkeypatch.context() as patched:

            async def broken(self: EdgeStore, *arguments: Any) -> None:
                raise ZeroDivisionError

            patched.setattr(EdgeStore, "set_group", broken)
            run = await first.recluster()
        assert run.state == RUN_STATE_FAILED
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "STORE_INCOMPATIBLE", "start the server again"):
            await first.images.ListImages(ListImagesRequest(parent=PARENT))
    [file] = (tmp_path / "runs" / "embedded" / "photos").iterdir()
    kept = file.read_bytes()
    file.unlink()
    if damage is not None:
        file.write_bytes(damage)
    async with serving(tmp_path) as second:
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "STORE_INCOMPATIBLE", "photos", "backup"):
            await second.images.ListImages(ListImagesRequest(parent=PARENT))
        await second.images.ListImages(ListImagesRequest(parent="collections/others"))
    file.write_bytes(kept)
    async with serving(tmp_path) as third:
        assert len(await cluster_names(third)) == 3
        assert await clusters_on_images(third) == await cluster_names(third)


async def test_a_collection_made_again_starts_anew(served: Served) -> None:
    for _ in range(2):
        await served.three_colors()
        await served.recluster()
        [green] = await served.ingest([picture("green", 77)])
        assert green.image.cluster in await cluster_names(served)
        await served.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
        made = await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        assert (made.image_count, made.active_run) == (0, "")


async def test_delete_and_create_at_the_same_time(served: Served) -> None:
    await served.three_colors()
    await served.recluster()

    async def create() -> None:
        while True:
            try:
                await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.ALREADY_EXISTS  # noqa: PT017 - tried until it works
                await asyncio.sleep(0.01)
            else:
                return

    await asyncio.gather(create(), served.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT)))
    await served.three_colors()
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED


async def test_a_delete_that_was_cancelled_leaves_no_trace_of_the_old(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.three_colors()
    await served.recluster()
    slow(monkeypatch, "delete_collection")
    call = served.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.sleep(0.3)
    made = await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
    assert (made.image_count, made.active_run, made.cluster_count) == (0, "", 0)


async def test_a_caller_who_leaves_while_a_run_is_recorded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await served.three_colors()
    slow(monkeypatch, "put_run")
    call = served.clusters.RunClustering(RunClusteringRequest(parent=PARENT, request_id="a"))
    await asyncio.sleep(0.05)
    call.cancel()
    run = await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT, request_id="a"))
    async for response in served.clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
        run = response.clustering_run
    assert run.state == RUN_STATE_SUCCEEDED
    assert served.clusterer.jobs == 1


async def test_a_run_cancelled_twice_and_at_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await served.three_colors()
    slow(monkeypatch, "put_run")
    served.clusterer.may_go_on.clear()
    run = await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    request = CancelClusteringRunRequest(name=run.name)
    answers = await asyncio.gather(*(served.clusters.CancelClusteringRun(request) for _ in range(3)))
    assert {answer.state for answer in answers} == {RUN_STATE_CANCELLED}
    stored = await served.clusters.GetClusteringRun(GetClusteringRunRequest(name=run.name))
    assert stored.state == RUN_STATE_CANCELLED
    served.clusterer.may_go_on.set()
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED


async def test_a_run_whose_record_cannot_be_stored(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await served.three_colors()
    with monkeypatch.context() as patched:
        stumble(patched, "put_run", times=100)
        async with refused(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "stumbled"):
            await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    runs = await served.clusters.ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))
    assert runs.clustering_runs == []
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED


async def test_a_name_given_back_while_a_run_is_under_way_stays_given_back(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    one = (await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))).clusters[0]

    async def rename(name: str) -> Cluster:
        request = UpdateClusterRequest(cluster=Cluster(name=one.name, display_name=name))
        answer: Cluster = await served.clusters.UpdateCluster(request)
        return answer

    assert (await rename("Mine")).display_name == "Mine"
    served.clusterer.may_go_on.clear()
    jobs = served.clusterer.jobs
    running = asyncio.create_task(served.recluster())
    while served.clusterer.jobs == jobs:
        await asyncio.sleep(0.01)
    assert (await rename("")).display_name != "Mine"
    served.clusterer.may_go_on.set()
    await running
    listed = await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))
    assert "Mine" not in {cluster.display_name for cluster in listed.clusters}


async def test_pages_of_clusters_fit_together_while_images_come_in(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    seen: list[str] = []
    token = ""
    for number in range(3):
        page = await served.clusters.ListClusters(ListClustersRequest(parent=PARENT, page_size=1, page_token=token))
        seen += [cluster.name for cluster in page.clusters]
        token = page.next_page_token
        await served.ingest(picture(color, 100 + number) for color in ("green", "blue") for _ in range(1 + number))
    assert len(set(seen)) == 3


async def test_long_names_are_refused_with_a_reason(served: Served) -> None:
    long = "x" * 20_000
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await served.collections.GetCollection(GetCollectionRequest(name=f"collections/{long}"))
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="\U0001f600" * 5000))
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN"):
        await served.collections.ListCollections(ListCollectionsRequest(page_token=long))


async def test_images_deleted_under_a_run_that_reads_them(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await served.three_colors(each=4)

    async def many(*arguments: Any) -> int:
        return 500

    with monkeypatch.context() as patched:
        replace_in_stores(patched, "count_images", lambda works: many)
        run = await served.recluster()
    assert run.state == RUN_STATE_SUCCEEDED
    assert run.summary.image_count == 12


async def test_a_run_stopped_while_it_is_put_in_force_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "_STOP_S", 0.1)
    async with serving(tmp_path, FakeClusterer()) as first:
        await first.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await first.three_colors()
        with monkeypatch.context() as patched:
            calls = stumble(patched, "set_group", times=10_000, after=1)
            run = await first.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
            while calls() < 2:
                await asyncio.sleep(0.02)
    async with serving(tmp_path) as second:
        finished = await second.clusters.GetClusteringRun(GetClusteringRunRequest(name=run.name))
        assert (finished.state, finished.active) == (RUN_STATE_SUCCEEDED, True)
        assert await clusters_on_images(second) == await cluster_names(second)
        answer = await second.clusters.AssignImage(AssignImageRequest(parent=PARENT, image_content=picture("red", 70)))
        assert answer.cluster in await cluster_names(second)


async def test_a_run_that_finds_nothing_where_there_are_clusters_takes_nothing_away(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    before = await cluster_names(served)
    served.clusterer.threshold = 2.0
    run = await served.recluster()
    assert (run.state, run.active) == (RUN_STATE_HELD_BACK, False)
    assert "no cluster was found, while 3 are in force" in run.held_because
    assert await cluster_names(served) == before
    assert await clusters_on_images(served) == before


async def test_parameters_that_cannot_be_met_fail_with_a_reason(served: Served) -> None:
    await served.three_colors()
    parameters = ClusteringParameters(min_cluster_size=30)
    run = await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT, parameters=parameters))
    async for response in served.clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
        run = response.clustering_run
    assert run.state == RUN_STATE_FAILED
    assert "more than half of the 36 images" in run.error.message


async def test_a_client_does_not_repeat_what_the_server_has_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.three_colors()
    await served.recluster()
    calls = stumble(monkeypatch, "count_by_cluster", times=1000)
    async with AsyncClient(served.address) as client:
        with pytest.raises(Unavailable, match="it stumbled"):
            await anext(client.collection("photos").clusters())
    assert calls() == 1

"""Clusters and runs over the wire."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from numpy.typing import NDArray

from shoal.v1.cluster_pb2 import (
    NAME_SOURCE_AUTOMATIC,
    NAME_SOURCE_PERSON,
    RUN_STAGE_NEIGHBORS,
    RUN_STATE_CANCELLED,
    RUN_STATE_FAILED,
    RUN_STATE_RUNNING,
    RUN_STATE_SUCCEEDED,
    Cluster,
    ClusteringParameters,
)
from shoal.v1.cluster_service_pb2 import (
    AssignImageRequest,
    CancelClusteringRunRequest,
    GetClusteringRunRequest,
    GetClusterRequest,
    ListClusteringRunsRequest,
    ListClustersRequest,
    RunClusteringRequest,
    SearchClustersRequest,
    StreamClusteringRunRequest,
    UpdateClusterRequest,
)
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, DeleteCollectionRequest
from shoal.v1.image_pb2 import ImageFilter
from shoal.v1.image_service_pb2 import DeleteImageRequest, GetImageRequest, ListImagesRequest
from shoal_server import bootstrap
from shoal_server.domain.errors import ClusteringFailed
from tests.fakes import FakeClusterer, picture
from tests.rpc.conftest import PARENT, Served, refused, serving


async def clusters_of(served: Served) -> dict[str, str]:
    """Image name to cluster name, of the clustered."""
    listed = await served.images.ListImages(ListImagesRequest(parent=PARENT, page_size=1000))
    return {image.name: image.cluster for image in listed.images if image.cluster}


async def test_a_run_finds_and_writes_the_clusters(served: Served) -> None:
    stored = await served.three_colors(each=12)
    run = await served.recluster()
    assert run.state == RUN_STATE_SUCCEEDED
    assert run.active
    assert run.progress == 1.0
    summary = run.summary
    assert (summary.image_count, summary.cluster_count, summary.clustered_count) == (36, 3, 36)
    assert (summary.noise_count, summary.payload_write_count) == (0, 36)
    assert (summary.kept_count, summary.born_count, summary.dissolved_count) == (0, 3, 0)
    assert run.parameters.min_cluster_size == 5
    assigned = await clusters_of(served)
    by_color = {color: {assigned[image.name] for image in images} for color, images in stored.items()}
    assert all(len(clusters) == 1 for clusters in by_color.values())
    assert len(set.union(*by_color.values())) == 3


async def test_a_cluster_tells_of_itself(served: Served) -> None:
    stored = await served.three_colors(each=12)
    await served.recluster()
    listed = await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))
    assert [cluster.size for cluster in listed.clusters] == [12, 12, 12]
    assert len({cluster.display_name for cluster in listed.clusters}) == 3
    one = listed.clusters[0]
    assert one.name_source == NAME_SOURCE_AUTOMATIC
    assert one.display_name == one.name_candidates[0].display_name
    assert 0.9 < one.cohesion <= 1.0
    assert -1 <= one.assign_threshold <= 1
    inside = {image.name for images in stored.values() for image in images}
    assert len(one.exemplars) == 5
    assert set(one.exemplars) <= inside
    assert set(one.borderline_images) <= inside
    assert 0.5 < one.separation <= 1
    assert (one.pinned, one.merged, one.split, one.theme) == (False, False, False, "")
    assert await served.clusters.GetCluster(GetClusterRequest(name=one.name)) == one


async def test_nothing_new_writes_nothing_and_keeps_all_ids(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    before = await clusters_of(served)
    run = await served.recluster()
    assert run.summary.payload_write_count == 0
    assert (run.summary.kept_count, run.summary.born_count, run.summary.dissolved_count) == (3, 0, 0)
    assert await clusters_of(served) == before


async def test_ids_stay_with_the_images_and_are_never_given_again(served: Served) -> None:
    stored = await served.three_colors()
    await served.recluster()
    before = await clusters_of(served)
    for image in stored["red"]:
        await served.images.DeleteImage(DeleteImageRequest(name=image.name))
    yellow = [response.image for response in await served.ingest(picture("yellow", n) for n in range(12))]
    run = await served.recluster()
    assert (run.summary.kept_count, run.summary.born_count, run.summary.dissolved_count) == (2, 1, 1)
    after = await clusters_of(served)
    for color in ("green", "blue"):
        for image in stored[color]:
            assert after[image.name] == before[image.name]
    [new] = {after[image.name] for image in yellow}
    assert new not in before.values()
    assert run.summary.payload_write_count == 12


async def test_a_new_image_is_assigned_at_once_and_an_outlier_is_not(served: Served) -> None:
    stored = await served.three_colors()
    await served.recluster()
    home = (await served.images.GetImage(GetImageRequest(name=stored["green"][0].name))).cluster
    [green, yellow] = await served.ingest([picture("green", 50), picture("yellow", 50)])
    assert green.image.cluster == home
    assert yellow.image.cluster == ""
    unclustered = await served.images.ListImages(ListImagesRequest(parent=PARENT, filter=ImageFilter(unclustered=True)))
    assert [image.name for image in unclustered.images] == [yellow.image.name]
    cluster = await served.clusters.GetCluster(GetClusterRequest(name=home))
    assert (cluster.size, cluster.run_size) == (13, 12)


async def test_assign_on_request(served: Served) -> None:
    stored = await served.three_colors()
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_CLUSTERED", "shoal cluster"):
        await served.clusters.AssignImage(AssignImageRequest(parent=PARENT, image_content=picture("red", 50)))
    await served.recluster()
    home = (await clusters_of(served))[stored["red"][0].name]
    answer = await served.clusters.AssignImage(AssignImageRequest(parent=PARENT, image_content=picture("red", 50)))
    assert (answer.cluster, answer.outlier) == (home, False)
    assert answer.similarity > 0.9
    assert answer.alternatives[0].cluster == home
    assert 0 < answer.alternatives[0].share <= 1
    # Three of the fifteen neighbours are of other colours, whatever the image.
    assert 0.1 < answer.outlier_score < 0.3
    by_name = await served.clusters.AssignImage(AssignImageRequest(parent=PARENT, image_name=stored["red"][3].name))
    assert by_name.cluster == home
    outlier = await served.clusters.AssignImage(AssignImageRequest(parent=PARENT, image_content=picture("yellow", 1)))
    assert (outlier.cluster, outlier.display_name, outlier.outlier) == ("", "", True)
    assert answer.outlier_score < outlier.outlier_score <= 2
    count = len((await served.images.ListImages(ListImagesRequest(parent=PARENT))).images)
    assert count == 36


async def test_search_clusters(served: Served) -> None:
    stored = await served.three_colors()
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_CLUSTERED"):
        await served.clusters.SearchClusters(SearchClustersRequest(parent=PARENT, text="red"))
    await served.recluster()
    homes = await clusters_of(served)
    for color, images in stored.items():
        answer = await served.clusters.SearchClusters(SearchClustersRequest(parent=PARENT, text=color))
        assert len(answer.results) == 3
        assert answer.results[0].cluster.name == homes[images[0].name]
        assert answer.results[0].cluster.size == 12
        scores = [result.score for result in answer.results]
        assert scores == sorted(scores, reverse=True)
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_TEXT"):
        await served.clusters.SearchClusters(SearchClustersRequest(parent=PARENT, text=" "))


async def test_pages_of_clusters_end_when_another_run_comes_into_force(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    first = await served.clusters.ListClusters(ListClustersRequest(parent=PARENT, page_size=2))
    second = await served.clusters.ListClusters(
        ListClustersRequest(parent=PARENT, page_size=2, page_token=first.next_page_token)
    )
    assert len({cluster.name for cluster in [*first.clusters, *second.clusters]}) == 3
    assert second.next_page_token == ""
    await served.recluster()
    async with refused(grpc.StatusCode.ABORTED, "CLUSTERS_CHANGED", "first page"):
        await served.clusters.ListClusters(
            ListClustersRequest(parent=PARENT, page_size=2, page_token=first.next_page_token)
        )


async def rename(served: Served, name: str, display_name: str) -> Cluster:
    answer: Cluster = await served.clusters.UpdateCluster(
        UpdateClusterRequest(
            cluster=Cluster(name=name, display_name=display_name), update_mask=FieldMask(paths=["display_name"])
        )
    )
    return answer


async def test_a_name_given_by_a_person_stays(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    listed = await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))
    one = listed.clusters[0]
    renamed = await rename(served, one.name, "Grandmother's garden")
    assert (renamed.display_name, renamed.name_source) == ("Grandmother's garden", NAME_SOURCE_PERSON)
    await served.ingest(picture("yellow", number) for number in range(12))
    await served.recluster()
    after = await served.clusters.GetCluster(GetClusterRequest(name=one.name))
    assert (after.display_name, after.name_source) == ("Grandmother's garden", NAME_SOURCE_PERSON)
    given_back = await rename(served, one.name, "")
    assert given_back.name_source == NAME_SOURCE_AUTOMATIC
    assert given_back.display_name == given_back.name_candidates[0].display_name


async def test_a_name_given_while_a_run_is_under_way_is_not_lost(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    one = (await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))).clusters[0]
    served.clusterer.may_go_on.clear()
    running = asyncio.create_task(served.recluster())
    while served.clusterer.jobs < 2:
        await asyncio.sleep(0.01)
    await rename(served, one.name, "named meanwhile")
    served.clusterer.may_go_on.set()
    await running
    after = await served.clusters.GetCluster(GetClusterRequest(name=one.name))
    assert after.display_name == "named meanwhile"


async def test_what_cannot_be_changed(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    one = (await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))).clusters[0]
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "size"):
        await served.clusters.UpdateCluster(
            UpdateClusterRequest(cluster=Cluster(name=one.name, size=1), update_mask=FieldMask(paths=["size"]))
        )
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "printable"):
        await rename(served, one.name, "two\nlines")
    async with refused(grpc.StatusCode.NOT_FOUND, "CLUSTER_NOT_FOUND", "999"):
        await rename(served, f"{PARENT}/clusters/999", "x")
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await rename(served, f"{PARENT}/clusters/abc", "x")


async def test_one_run_at_a_time_and_the_same_request_id_finds_it(served: Served) -> None:
    await served.three_colors()
    served.clusterer.may_go_on.clear()
    request = RunClusteringRequest(parent=PARENT, request_id=str(uuid.uuid4()))
    run = await served.clusters.RunClustering(request)
    assert run.state == RUN_STATE_RUNNING
    assert (await served.clusters.RunClustering(request)).name == run.name
    async with refused(grpc.StatusCode.ABORTED, "RUN_IN_PROGRESS", run.name.rpartition("/")[2]):
        await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    served.clusterer.may_go_on.set()
    async for response in served.clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
        last = response.clustering_run
    assert last.state == RUN_STATE_SUCCEEDED
    assert (await served.clusters.RunClustering(request)).name == run.name
    assert served.clusterer.jobs == 1


async def test_cancel_leaves_the_clusters_as_they_were(served: Served) -> None:
    await served.three_colors()
    first = await served.recluster()
    before = await clusters_of(served)
    served.clusterer.may_go_on.clear()
    run = await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    async for response in served.clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
        if response.clustering_run.stage == RUN_STAGE_NEIGHBORS:
            break
    cancelled = await served.clusters.CancelClusteringRun(CancelClusteringRunRequest(name=run.name))
    assert cancelled.state == RUN_STATE_CANCELLED
    assert cancelled.HasField("end_time")
    again = await served.clusters.CancelClusteringRun(CancelClusteringRunRequest(name=run.name))
    assert again.state == RUN_STATE_CANCELLED
    assert await clusters_of(served) == before
    runs = (await served.clusters.ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))).clustering_runs
    assert [(entry.name, entry.active) for entry in runs] == [(run.name, False), (first.name, True)]
    served.clusterer.may_go_on.set()
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED


@pytest.mark.parametrize(
    ("error", "reason", "word"),
    [
        (ClusteringFailed("the worker was killed (signal 9)"), "CLUSTERING_FAILED", "signal 9"),
        (ZeroDivisionError("secret"), "CLUSTERING_FAILED", "internal error"),
    ],
)
async def test_a_failed_run_says_why_and_changes_nothing(
    served: Served, error: Exception, reason: str, word: str
) -> None:
    await served.three_colors()
    await served.recluster()
    before = await clusters_of(served)
    served.clusterer.error = error
    run = await served.recluster()
    assert run.state == RUN_STATE_FAILED
    assert word in run.error.message
    assert "secret" not in run.error.message
    assert reason.encode() in run.error.details[0].value
    assert await clusters_of(served) == before
    served.clusterer.error = None
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED


async def test_too_few_images(served: Served) -> None:
    await served.ingest(picture("red", number) for number in range(3))
    run = await served.recluster()
    assert run.state == RUN_STATE_FAILED
    assert "3 images" in run.error.message


async def test_parameters_out_of_range(served: Served) -> None:
    for parameters in (
        ClusteringParameters(n_neighbors=1),
        ClusteringParameters(n_components=500),
        ClusteringParameters(min_cluster_size=1),
    ):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "parameters."):
            await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT, parameters=parameters))
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "request_id"):
        await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT, request_id="x" * 1000))


async def test_unknown_runs_and_clusters(served: Served) -> None:
    async with refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND"):
        await served.clusters.GetClusteringRun(GetClusteringRunRequest(name=f"{PARENT}/clusteringRuns/none"))
    async with refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND"):
        async for _ in served.clusters.StreamClusteringRun(
            StreamClusteringRunRequest(name=f"{PARENT}/clusteringRuns/none")
        ):
            pass
    async with refused(grpc.StatusCode.NOT_FOUND, "CLUSTER_NOT_FOUND"):
        await served.clusters.GetCluster(GetClusterRequest(name=f"{PARENT}/clusters/1"))
    assert (await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))).clusters == []


async def test_images_that_come_and_go_during_a_run(served: Served) -> None:
    stored = await served.three_colors()
    await served.recluster()
    served.clusterer.may_go_on.clear()
    jobs = served.clusterer.jobs
    running = asyncio.create_task(served.recluster())
    while served.clusterer.jobs == jobs:
        await asyncio.sleep(0.01)
    [green, yellow] = await served.ingest([picture("green", 70), picture("yellow", 70)])
    await served.images.DeleteImage(DeleteImageRequest(name=stored["red"][0].name))
    served.clusterer.may_go_on.set()
    run = await running
    assert run.state == RUN_STATE_SUCCEEDED
    after = await clusters_of(served)
    assert after[green.image.name] == after[stored["green"][0].name]
    assert yellow.image.name not in after
    assert stored["red"][0].name not in after


async def test_deleting_a_collection_ends_its_run(served: Served) -> None:
    await served.three_colors()
    served.clusterer.may_go_on.clear()
    await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    await served.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
    served.clusterer.may_go_on.set()
    await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
    runs = await served.clusters.ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))
    assert runs.clustering_runs == []


async def test_clusters_and_runs_are_there_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        await first.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await first.three_colors()
        run = await first.recluster()
        before = await clusters_of(first)
        listed = await first.clusters.ListClusters(ListClustersRequest(parent=PARENT))
    async with serving(tmp_path) as second:
        assert await clusters_of(second) == before
        assert await second.clusters.ListClusters(ListClustersRequest(parent=PARENT)) == listed
        assert await second.clusters.GetClusteringRun(GetClusteringRunRequest(name=run.name)) == run


async def test_stopping_the_server_ends_a_run_and_says_so(tmp_path: Path) -> None:
    clusterer = FakeClusterer()
    async with serving(tmp_path, clusterer) as first:
        await first.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await first.three_colors()
        clusterer.may_go_on.clear()
        run = await first.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
    async with serving(tmp_path) as second:
        ended = await second.clusters.GetClusteringRun(GetClusteringRunRequest(name=run.name))
        assert ended.state == RUN_STATE_FAILED
        assert "stopped" in ended.error.message
        assert (await second.recluster()).state == RUN_STATE_SUCCEEDED


async def test_clusters_are_named_by_what_their_thumbnails_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Painter:
        """Says which colour is strongest."""

        looked_at = 0

        def caption(self, pixels: Sequence[NDArray[np.uint8]]) -> list[str]:
            self.looked_at += len(pixels)
            colors = [("crimson", "emerald", "sapphire")[int(each.mean(axis=(0, 1)).argmax())] for each in pixels]
            return [f"a photo of a {color} wall" for color in colors]

    painter = Painter()
    monkeypatch.setattr(bootstrap.serving, "load_captioner", lambda model: painter)
    async with serving(tmp_path, captioner="painter") as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.three_colors(6)
        await served.recluster()
        listed = await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))
        assert {each.display_name for each in listed.clusters} == {"crimson wall", "emerald wall", "sapphire wall"}
        looked_at = painter.looked_at
        assert 3 <= looked_at <= 15
        await served.recluster()
        assert painter.looked_at == looked_at, "captions are remembered"

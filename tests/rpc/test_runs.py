"""Runs over the wire: what they tell, compared, exported, held back, cancelled, and put in force again."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from shoal.v1.cluster_pb2 import (
    CLUSTERING_METHOD_KMEANS,
    GRANULARITY_COARSE,
    GRANULARITY_FINE,
    GRANULARITY_UNSPECIFIED,
    REDUCER_PCA,
    RUN_KIND_CLUSTERING,
    RUN_STAGE_NEIGHBORS,
    RUN_STAGE_WRITING,
    RUN_STATE_CANCELLED,
    RUN_STATE_HELD_BACK,
    RUN_STATE_SUCCEEDED,
    ClusteringParameters,
    ClusteringRun,
    Lineage,
)
from shoal.v1.cluster_service_pb2 import (
    ActivateClusteringRunRequest,
    CancelClusteringRunRequest,
    CompareClusteringRunsRequest,
    ExportAssignmentsRequest,
    ExportAssignmentsResponse,
    GetClusteringRunRequest,
    ListClusteringRunsRequest,
    ListClustersRequest,
    RunClusteringRequest,
    StreamClusteringRunRequest,
)
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, GetCollectionRequest
from shoal.v1.curation_service_pb2 import MoveImagesRequest
from shoal.v1.image_pb2 import Image
from shoal.v1.image_service_pb2 import DeleteImageRequest
from shoal_server.domain.errors import ClusteringFailed
from tests.fakes import FakeClusterer
from tests.rpc.conftest import PARENT, Served, refused, serving
from tests.rpc.faults import record_groups, slow

Labels = NDArray[np.int64]


def without_distinction(vectors: NDArray[np.float32]) -> Labels:
    """Three groups that have nothing to do with what the images show."""
    return np.arange(len(vectors), dtype=np.int64) % 3


def red_and_green_together(vectors: NDArray[np.float32]) -> Labels:
    """Two groups by the debug model's axes: 3 is red, 4 green, 5 blue; the others are noise."""
    color = np.argmax(vectors[:, :11], axis=1)
    groups = {3: 0, 4: 0, 5: 1}
    return np.array([groups.get(int(each), -1) for each in color], dtype=np.int64)


async def activate(served: Served, run: str) -> ClusteringRun:
    answer: ClusteringRun = await served.clusters.ActivateClusteringRun(ActivateClusteringRunRequest(name=run))
    return answer


async def exported(served: Served, name: str) -> list[ExportAssignmentsResponse.Assignment]:
    stretches = served.clusters.ExportAssignments(ExportAssignmentsRequest(name=name))
    return [each async for stretch in stretches for each in stretch.assignments]


async def start(served: Served, **parameters: Any) -> ClusteringRun:
    request = RunClusteringRequest(parent=PARENT, parameters=ClusteringParameters(**parameters))
    run: ClusteringRun = await served.clusters.RunClustering(request)
    return run


async def names_of(served: Served) -> dict[str, str]:
    listed = await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))
    return {cluster.name: cluster.display_name for cluster in listed.clusters}


async def test_a_run_tells_all_of_itself_and_a_list_what_is_short(served: Served) -> None:
    await served.three_colors()
    first = await served.recluster()
    assert (first.kind, first.trigger, first.parent) == (RUN_KIND_CLUSTERING, "person", "")
    assert first.retained
    assert first.activate_time.ToDatetime() >= first.create_time.ToDatetime()
    assert {entry.kind for entry in first.lineage} == {Lineage.KIND_BORN}
    chosen, ruled_out = first.trials
    assert (chosen.HasField("score"), chosen.score, chosen.verdict) == (True, 0.5, "chosen")
    assert not ruled_out.HasField("score")
    assert first.quality == {"silhouette": 0.5}
    assert {"reading", "neighbors"} <= set(first.timings)
    assert all(math.isfinite(seconds) and seconds >= 0 for seconds in first.timings.values())
    second = await served.recluster()
    assert second.parent == first.name
    assert {entry.kind for entry in second.lineage} == {Lineage.KIND_CONTINUED}
    for entry in second.lineage:
        [share] = entry.shares
        assert (share.cluster, share.image_count, share.of_before, share.of_now) == (entry.cluster, 12, 1.0, 1.0)
    listed = await served.clusters.ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))
    assert [run.name for run in listed.clustering_runs] == [second.name, first.name]
    for run in listed.clustering_runs:
        assert (len(run.lineage), len(run.trials)) == (0, 0)
        assert run.quality == {"silhouette": 0.5}


async def test_the_lineage_names_what_merged_and_what_parted(served: Served) -> None:
    stored = await served.three_colors()
    await served.recluster()
    red, green, blue = (await served.homes(stored)).values()
    served.clusterer.groups = red_and_green_together
    merged = {entry.cluster: entry for entry in (await served.recluster()).lineage}
    kept, lost = (red, green) if merged[red].kind == Lineage.KIND_MERGED else (green, red)
    assert (merged[kept].kind, merged[lost].kind) == (Lineage.KIND_MERGED, Lineage.KIND_DISSOLVED)
    assert merged[blue].kind == Lineage.KIND_CONTINUED
    assert [share.cluster for share in merged[lost].shares] == [kept]
    served.clusterer.groups = None
    parted = {entry.cluster: entry for entry in (await served.recluster()).lineage}
    [new] = parted.keys() - {kept, blue}
    assert (parted[kept].kind, parted[new].kind) == (Lineage.KIND_CONTINUED, Lineage.KIND_SPLIT)
    [share] = parted[new].shares
    assert (share.cluster, share.image_count, share.of_before, share.of_now) == (kept, 12, 0.5, 1.0)


async def test_the_lineage_names_what_dissolved_and_came_back(served: Served) -> None:
    stored = await served.three_colors()
    stored["yellow"] = await served.store("yellow", range(6))
    await served.recluster()
    homes = await served.homes(stored)
    # Seven images make a cluster now, which the yellow ones are not.
    served.clusterer.smallest = 7
    dissolved = {entry.cluster: entry for entry in (await served.recluster()).lineage}
    assert dissolved[homes["yellow"]].kind == Lineage.KIND_DISSOLVED
    [share] = dissolved[homes["yellow"]].shares
    assert (share.cluster, share.image_count, share.of_before) == ("", 6, 1.0)
    assert await served.homes(stored) == {**homes, "yellow": ""}
    served.clusterer.smallest = None
    back = {entry.cluster: entry.kind for entry in (await served.recluster()).lineage}
    assert back[homes["yellow"]] == Lineage.KIND_RETURNED
    assert await served.homes(stored) == homes


async def test_a_run_under_way_says_how_long_it_will_take(served: Served) -> None:
    await served.three_colors()
    served.clusterer.may_go_on.clear()
    run = await start(served)
    async for response in served.clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
        now = response.clustering_run
        if now.stage == RUN_STAGE_NEIGHBORS:
            served.clusterer.may_go_on.set()
            assert 0 < now.progress < 1
            assert now.HasField("remaining")
            assert now.remaining.ToMilliseconds() >= 0
            assert not now.retained
    assert not now.HasField("remaining")


async def test_images_deleted_under_a_run_are_in_none_of_its_clusters(served: Served) -> None:
    stored = await served.three_colors()
    served.clusterer.may_go_on.clear()
    running = asyncio.create_task(served.recluster())
    while not served.clusterer.jobs:
        await asyncio.sleep(0.01)
    # All that made one cluster, and all but one of another.
    gone = {image.name for image in [*stored["red"], *stored["green"][1:]]}
    for name in gone:
        await served.images.DeleteImage(DeleteImageRequest(name=name))
    served.clusterer.may_go_on.set()
    run = await running
    assert run.active
    listed = (await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))).clusters
    assert {cluster.size for cluster in listed} == {12, 1}
    assert not gone & {image for cluster in listed for image in cluster.exemplars}
    # Nor do they use up an id.
    ids = {f"{PARENT}/clusters/1", f"{PARENT}/clusters/2"}
    assert {entry.cluster for entry in run.lineage} == {cluster.name for cluster in listed} == ids


async def test_parameters_as_asked_for_and_as_used(served: Served) -> None:
    await served.three_colors()
    run = await start(
        served, granularity=GRANULARITY_FINE, reducer=REDUCER_PCA, method=CLUSTERING_METHOD_KMEANS, n_components=7
    )
    used = (await served.ended(run)).parameters
    assert (used.granularity, used.reducer, used.method) == (GRANULARITY_FINE, REDUCER_PCA, CLUSTERING_METHOD_KMEANS)
    assert (used.n_components, used.min_cluster_size, used.cluster_count) == (7, 5, 0)
    counted = (await served.ended(await start(served, cluster_count=3))).parameters
    assert (counted.cluster_count, counted.granularity) == (3, GRANULARITY_UNSPECIFIED)
    # What an answer says can be asked for again.
    request = RunClusteringRequest(parent=PARENT, parameters=counted)
    again = await served.ended(await served.clusters.RunClustering(request))
    assert again.parameters == counted


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"granularity": 17}, "parameters.granularity"),
        ({"reducer": 17}, "parameters.reducer"),
        ({"method": -1}, "parameters.method"),
        ({"cluster_count": 1}, "parameters.cluster_count"),
        ({"cluster_count": 3, "granularity": GRANULARITY_COARSE}, "give one of them"),
    ],
)
async def test_parameters_that_mean_nothing(tmp_path: Path, parameters: dict[str, int], word: str) -> None:
    async with serving(tmp_path) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", word):
            await start(served, **parameters)


async def test_rollback_restores_every_assignment_and_writes_only_the_difference(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.three_colors()
    first = await served.recluster()
    # These have their clusters by vote, the yellow ones none; the first run never read them.
    await served.store("green", range(50, 55))
    await served.store("yellow", range(3))
    before, names_before = await served.assigned(), await names_of(served)
    assert len([cluster for cluster in before.values() if not cluster]) == 3
    served.clusterer.groups = red_and_green_together
    second = await served.recluster()
    assert (second.state, second.active) == (RUN_STATE_SUCCEEDED, True)
    between = await served.assigned()
    differing = {name for name in before if between[name] != before[name]}
    assert len(differing) in (12, 17)

    written = record_groups(monkeypatch)
    back = await activate(served, first.name)
    assert (back.name, back.state, back.active) == (first.name, RUN_STATE_SUCCEEDED, True)
    assert back.summary.payload_write_count == len(differing)
    assert {f"{PARENT}/images/{identity}" for _, _, ids in written for identity in ids} == differing
    assert await served.assigned() == before
    assert await names_of(served) == names_before
    collection = await served.collections.GetCollection(GetCollectionRequest(name=PARENT))
    assert collection.active_run == first.name

    # And forth: the second run is as it was, too.
    written.clear()
    forth = await activate(served, second.name)
    assert forth.summary.payload_write_count == len(differing)
    assert await served.assigned() == between
    assert (await activate(served, second.name)).summary.payload_write_count == 0


async def test_images_that_came_after_both_runs_are_voted_on(served: Served) -> None:
    stored = await served.three_colors()
    first = await served.recluster()
    served.clusterer.groups = red_and_green_together
    await served.recluster()
    late = {color: (await served.store(color, [90]))[0].name for color in ("red", "green", "blue", "yellow")}
    gone = stored["blue"][0].name
    await served.images.DeleteImage(DeleteImageRequest(name=gone))
    await activate(served, first.name)
    after = await served.assigned()
    assert gone not in after
    assert after[late["yellow"]] == ""
    for color in ("red", "green", "blue"):
        assert after[late[color]] == after[stored[color][1].name]


async def test_what_cannot_be_put_in_force(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    served.clusterer.error = ClusteringFailed("the worker was killed")
    failed = await served.recluster()
    served.clusterer.error = None
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_ACTIVATABLE", "it failed"):
        await activate(served, failed.name)
    served.clusterer.may_go_on.clear()
    run = await start(served)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_ACTIVATABLE", "still under way"):
        await activate(served, run.name)
    await served.clusters.CancelClusteringRun(CancelClusteringRunRequest(name=run.name))
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_ACTIVATABLE", "was cancelled"):
        await activate(served, run.name)
    async with refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND"):
        await activate(served, f"{PARENT}/clusteringRuns/none")
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await activate(served, PARENT)


async def test_images_that_were_deleted_are_missed_after_a_correction_and_after_a_rollback(served: Served) -> None:
    async def remove(images: Iterable[Image]) -> None:
        for image in images:
            await served.images.DeleteImage(DeleteImageRequest(name=image.name))

    async def move(image: Image) -> None:
        request = MoveImagesRequest(parent=PARENT, images=[image.name], cluster="")
        await served.curation.MoveImages(request)

    async def is_as_before() -> bool:
        assert (await served.recluster()).state == RUN_STATE_SUCCEEDED
        assert served.clusterer.before is not None
        return served.clusterer.before.unchanged

    stored = await served.three_colors()
    first = await served.recluster()
    assert await is_as_before()
    await move(stored["red"][0])
    assert await is_as_before()
    await remove(stored["green"][:4])
    await move(stored["red"][1])
    await move(stored["red"][2])
    assert not await is_as_before()
    assert await is_as_before()
    # The file of a run that is superseded is written again if an image came: of what is there then.
    await activate(served, first.name)
    await remove(stored["blue"][:4])
    came = await served.store("blue", [20])
    await move(stored["red"][3])
    await remove(came)
    await activate(served, first.name)
    assert not await is_as_before()
    assert await is_as_before()


async def test_a_run_that_found_nothing_is_held_back_until_a_person_wants_it(served: Served) -> None:
    await served.three_colors()
    first = await served.recluster()
    before = await served.assigned()
    served.clusterer.threshold = 2.0
    held = await served.recluster()
    assert (held.state, held.active, held.retained) == (RUN_STATE_HELD_BACK, False, True)
    assert held.held_because == ["no cluster was found, while 3 are in force"]
    assert (held.summary.cluster_count, held.summary.noise_count) == (0, 36)
    assert held.HasField("end_time")
    assert not held.HasField("activate_time")
    assert not held.HasField("error")
    assert await served.assigned() == before
    wanted = await activate(served, held.name)
    assert (wanted.state, wanted.active) == (RUN_STATE_SUCCEEDED, True)
    assert wanted.held_because == held.held_because
    assert set((await served.assigned()).values()) == {""}
    assert await names_of(served) == {}
    await activate(served, first.name)
    assert await served.assigned() == before


async def test_a_run_that_loses_most_ids_is_held_back(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    before = await served.assigned()
    served.clusterer.groups = without_distinction
    held = await served.recluster()
    assert held.state == RUN_STATE_HELD_BACK
    assert "would keep their cluster's id" in held.held_because[0]
    assert await served.assigned() == before
    # Who asks for something else gets it.
    asked = await served.ended(await start(served, granularity=GRANULARITY_COARSE))
    assert asked.state == RUN_STATE_SUCCEEDED
    assert asked.held_because == []
    assert not set((await served.assigned()).values()) & set(before.values())


async def test_ids_of_a_run_that_was_held_back_are_not_given_again(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    served.clusterer.groups = without_distinction
    held = await served.recluster()
    of_held = {entry.cluster for entry in held.lineage if entry.kind == Lineage.KIND_BORN}
    assert len(of_held) == 3
    served.clusterer.groups = None
    await served.store("yellow", range(12))
    [born] = [entry.cluster for entry in (await served.recluster()).lineage if entry.kind == Lineage.KIND_BORN]
    assert born not in of_held


@pytest.mark.parametrize("first_run", [True, False])
async def test_a_run_cancelled_while_it_is_written_back_is_taken_back(
    served: Served, monkeypatch: pytest.MonkeyPatch, first_run: bool
) -> None:
    await served.three_colors()
    if not first_run:
        await served.recluster()
        served.clusterer.groups = without_distinction
    before, names_before = await served.assigned(), await names_of(served)
    with monkeypatch.context() as patched:
        slow(patched, "set_group", 0.2)
        written = record_groups(patched)
        # Another granularity, so that nothing objects.
        run = await start(served, granularity=GRANULARITY_COARSE)
        async for response in served.clusters.StreamClusteringRun(StreamClusteringRunRequest(name=run.name)):
            if response.clustering_run.stage == RUN_STAGE_WRITING:
                break
        while not written:
            await asyncio.sleep(0.01)
        cancelled = await served.clusters.CancelClusteringRun(CancelClusteringRunRequest(name=run.name))
    assert (cancelled.state, cancelled.active, cancelled.retained) == (RUN_STATE_CANCELLED, False, False)
    assert cancelled.HasField("end_time")
    assert await served.assigned() == before
    assert await names_of(served) == names_before
    assert await served.clusters.GetClusteringRun(GetClusteringRunRequest(name=run.name)) == cancelled
    served.clusterer.groups = None
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED


async def test_compare(served: Served) -> None:
    stored = await served.three_colors()
    first = await served.recluster()
    red, green, blue = (await served.homes(stored)).values()
    names = await names_of(served)
    served.clusterer.groups = red_and_green_together
    await served.recluster()
    await served.images.DeleteImage(DeleteImageRequest(name=stored["blue"][0].name))
    await served.store("yellow", range(4))
    second = await served.recluster()
    kept = (await served.assigned())[stored["red"][0].name]
    lost = green if kept == red else red
    compared = await served.clusters.CompareClusteringRuns(
        CompareClusteringRunsRequest(base=first.name, other=second.name)
    )
    assert (compared.same_count, compared.moved_count) == (12 + 11, 12)
    assert (compared.added_count, compared.removed_count) == (4, 1)
    [flow] = compared.flows
    assert (getattr(flow, "from"), flow.from_display_name) == (lost, names[lost])
    assert (flow.to, flow.to_display_name) == (kept, (await names_of(served))[kept])
    assert flow.image_count == 12
    assert (compared.new_clusters, compared.gone_clusters) == ([], [lost])
    backwards = await served.clusters.CompareClusteringRuns(
        CompareClusteringRunsRequest(base=second.name, other=first.name)
    )
    assert (backwards.new_clusters, backwards.gone_clusters) == ([lost], [])
    assert blue in await names_of(served)
    same = await served.clusters.CompareClusteringRuns(CompareClusteringRunsRequest(base=first.name, other=first.name))
    assert (same.same_count, same.moved_count, len(same.flows)) == (36, 0, 0)


async def test_what_cannot_be_compared(served: Served) -> None:
    await served.three_colors()
    run = await served.recluster()
    for base, other, code, reason, word in (
        (run.name, "collections/others/clusteringRuns/a", "INVALID_ARGUMENT", "INVALID_FIELD", "others"),
        (run.name, f"{PARENT}/clusteringRuns/none", "NOT_FOUND", "RUN_NOT_FOUND", "none"),
        ("", run.name, "INVALID_ARGUMENT", "INVALID_NAME", "clusteringRuns"),
    ):
        async with refused(grpc.StatusCode[code], reason, word):
            await served.clusters.CompareClusteringRuns(CompareClusteringRunsRequest(base=base, other=other))
    served.clusterer.error = ClusteringFailed("the worker was killed")
    failed = await served.recluster()
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_ACTIVATABLE", "failed"):
        await served.clusters.CompareClusteringRuns(CompareClusteringRunsRequest(base=run.name, other=failed.name))


async def test_export(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal_server.application.history.EXPORT_BATCH", 10)
    await served.three_colors()
    run = await served.recluster()
    names = await names_of(served)
    at_run = await served.assigned()
    [late] = await served.store("green", [80])
    [outlier] = await served.store("yellow", [80])
    now = await served.assigned()
    for name, wanted in ((run.name, at_run), (PARENT, now)):
        rows = await exported(served, name)
        assert {row.image.name: row.cluster for row in rows} == wanted
        assert [row.image.name for row in rows] == sorted(wanted)
        for row in rows:
            assert row.display_name == names.get(row.cluster, "")
            came_later = row.image.name in (late.name, outlier.name)
            assert (row.HasField("x"), row.HasField("y")) == (not came_later, not came_later)
            assert row.strength == (0.0 if came_later else 1.0)
            assert row.image.metadata.width == 48


async def test_an_export_before_the_first_run_and_of_what_does_not_exist(served: Served) -> None:
    assert await exported(served, PARENT) == []
    await served.store("red", range(2))
    rows = await exported(served, PARENT)
    assert [(row.cluster, row.display_name, row.strength) for row in rows] == [("", "", 0.0)] * 2
    async with refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND"):
        await exported(served, f"{PARENT}/clusteringRuns/none")
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"):
        await exported(served, "collections/none")
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await exported(served, "photos")


async def test_only_so_many_runs_are_kept_and_the_active_one_always_is(either_store: None, tmp_path: Path) -> None:
    async with serving(tmp_path, FakeClusterer(), keep_runs=2) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.three_colors()
        runs = [await served.recluster() for _ in range(4)]
        listed = await served.clusters.ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))
        assert [run.name for run in listed.clustering_runs] == [runs[3].name, runs[2].name]
        async with refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND"):
            await activate(served, runs[0].name)
        oldest = await activate(served, runs[2].name)
        served.clusterer.threshold = 2.0
        held = [await served.recluster() for _ in range(3)]
        assert {run.state for run in held} == {RUN_STATE_HELD_BACK}
        listed = await served.clusters.ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))
        assert oldest.name in {run.name for run in listed.clustering_runs}
        assert len(await names_of(served)) == 3

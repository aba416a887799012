"""People's corrections over the wire: taken, kept by later runs, listed and undone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from numpy.typing import NDArray

from shoal.v1.cluster_pb2 import (
    NAME_SOURCE_AUTOMATIC,
    NAME_SOURCE_PERSON,
    RUN_KIND_CORRECTION,
    RUN_STATE_SUCCEEDED,
    Cluster,
    ClusteringRun,
)
from shoal.v1.cluster_service_pb2 import (
    ActivateClusteringRunRequest,
    GetClusteringRunRequest,
    GetClusterRequest,
    ListClustersRequest,
    UpdateClusterRequest,
)
from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.correction_pb2 import (
    CORRECTION_KIND_DISSOLVE,
    CORRECTION_KIND_MERGE,
    CORRECTION_KIND_MOVE,
    CORRECTION_KIND_PIN,
    CORRECTION_KIND_REASSIGN_NOISE,
    CORRECTION_KIND_RENAME,
    CORRECTION_KIND_SPLIT,
    CORRECTION_KIND_UNPIN,
    Correction,
)
from shoal.v1.curation_service_pb2 import (
    CorrectionResult,
    DissolveClusterRequest,
    ListCorrectionsRequest,
    MergeClustersRequest,
    MoveImagesRequest,
    PinClusterRequest,
    ReassignNoiseRequest,
    SplitClusterRequest,
    UndoCorrectionRequest,
)
from shoal.v1.image_pb2 import Image
from shoal.v1.image_service_pb2 import DeleteImageRequest
from shoal_server.application import reassigning
from tests.rpc.conftest import PARENT, Served, refused, serving
from tests.rpc.faults import hold_reading, slow

NO_CLUSTER = f"{PARENT}/clusters/999"
NO_IMAGE = f"{PARENT}/images/00000000-0000-0000-0000-000000000000"

Stored = dict[str, list[Image]]


class Curator:
    """Somebody who corrects."""

    def __init__(self, served: Served, author: str = "ada") -> None:
        self._served = served
        self._stub = served.curation
        self.author = author

    async def merge(self, *clusters: str) -> CorrectionResult:
        return await self._ask("MergeClusters", MergeClustersRequest(parent=PARENT, clusters=clusters))

    async def split_off(self, cluster: str, images: Sequence[Image]) -> CorrectionResult:
        listed = SplitClusterRequest.Listed(images=[image.name for image in images])
        return await self._ask("SplitCluster", SplitClusterRequest(name=cluster, listed=listed))

    async def split(self, cluster: str, parts: int = 0) -> CorrectionResult:
        automatic = SplitClusterRequest.Automatic(part_count=parts)
        return await self._ask("SplitCluster", SplitClusterRequest(name=cluster, automatic=automatic))

    async def pin(self, cluster: str) -> CorrectionResult:
        return await self._ask("PinCluster", PinClusterRequest(name=cluster))

    async def unpin(self, cluster: str) -> CorrectionResult:
        return await self._ask("PinCluster", PinClusterRequest(name=cluster, unpin=True))

    async def move(self, images: Sequence[Image], cluster: str) -> CorrectionResult:
        names = [image.name for image in images]
        return await self._ask("MoveImages", MoveImagesRequest(parent=PARENT, images=names, cluster=cluster))

    async def dissolve(self, cluster: str) -> CorrectionResult:
        return await self._ask("DissolveCluster", DissolveClusterRequest(name=cluster))

    async def undo(self, correction: Correction | str) -> CorrectionResult:
        name = correction if isinstance(correction, str) else correction.name
        return await self._ask("UndoCorrection", UndoCorrectionRequest(name=name))

    async def rename(self, cluster: str, name: str) -> Cluster:
        request = UpdateClusterRequest(
            cluster=Cluster(name=cluster, display_name=name),
            update_mask=FieldMask(paths=["display_name"]),
            author=self.author,
        )
        renamed: Cluster = await self._served.clusters.UpdateCluster(request)
        return renamed

    async def corrections(self) -> list[Correction]:
        listed = await self._stub.ListCorrections(ListCorrectionsRequest(parent=PARENT))
        return list(listed.corrections)

    async def _ask(self, method: str, request: Any) -> CorrectionResult:
        request.author = self.author
        result: CorrectionResult = await getattr(self._stub, method)(request)
        return result


async def clusters_of(served: Served) -> dict[str, Cluster]:
    listed = await served.clusters.ListClusters(ListClustersRequest(parent=PARENT))
    return {cluster.name: cluster for cluster in listed.clusters}


async def named(served: Served) -> dict[str, str]:
    return {name: cluster.display_name for name, cluster in (await clusters_of(served)).items()}


async def three_clusters(served: Served) -> tuple[Stored, dict[str, str], Curator]:
    """Images and clusters by colour, and somebody to correct them."""
    stored = await served.three_colors()
    await served.recluster()
    return stored, await served.homes(stored), Curator(served)


async def test_merge_and_undo(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before, named_before = await served.assigned(), await named(served)
    result = await ada.merge(homes["green"], homes["red"])
    assert result.clusters == [homes["green"]]
    done = result.correction
    assert (done.kind, done.author, done.image_count) == (CORRECTION_KIND_MERGE, "ada", 12)
    assert done.clusters == [homes["green"], homes["red"]]
    assert done.HasField("create_time")
    assert not done.HasField("undo_time")
    run = await served.clusters.GetClusteringRun(GetClusteringRunRequest(name=done.run))
    assert (run.kind, run.state, run.active) == (RUN_KIND_CORRECTION, RUN_STATE_SUCCEEDED, True)
    assert (run.summary.payload_write_count, run.summary.cluster_count) == (12, 2)
    assert done.name.rpartition("/")[2] in run.trigger
    after = await served.homes(stored)
    assert after == {**homes, "red": homes["green"]}
    clusters = await clusters_of(served)
    assert set(clusters) == {homes["green"], homes["blue"]}
    assert (clusters[homes["green"]].merged, clusters[homes["blue"]].merged) == (True, False)
    assert clusters[homes["green"]].display_name == named_before[homes["green"]]
    assert (clusters[homes["green"]].size, clusters[homes["green"]].run_size) == (24, 24)

    undone = await ada.undo(done)
    assert undone.correction.name == done.name
    assert undone.correction.undo_author == "ada"
    assert undone.correction.HasField("undo_time")
    assert undone.clusters == done.clusters
    assert await served.assigned() == before
    assert await named(served) == named_before
    assert not any(cluster.merged for cluster in (await clusters_of(served)).values())
    await served.recluster()
    assert await served.assigned() == before


async def test_split_by_listing_and_undo(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before = await served.assigned()
    part = stored["green"][:4]
    result = await ada.split_off(homes["green"], part)
    assert result.correction.kind == CORRECTION_KIND_SPLIT
    old, new = result.clusters
    assert old == homes["green"]
    assert new not in homes.values()
    after = await served.homes({**stored, "green": stored["green"][4:], "part": part})
    assert after == {**homes, "part": new}
    clusters = await clusters_of(served)
    assert [clusters[name].split for name in (old, new, homes["red"])] == [True, True, False]
    assert len({cluster.display_name for cluster in clusters.values()}) == 4
    await served.recluster()
    assert await served.homes({**stored, "green": stored["green"][4:], "part": part}) == after
    await ada.undo(result.correction)
    assert await served.assigned() == before
    await served.recluster()
    assert await served.assigned() == before
    assert not any(cluster.split for cluster in (await clusters_of(served)).values())


async def test_split_by_a_clustering_and_undo(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before = await served.assigned()
    result = await ada.split(homes["blue"], 3)
    assert len(result.clusters) == 3
    assert result.clusters[0] == homes["blue"]
    clusters = await clusters_of(served)
    assert [clusters[name].size for name in result.clusters] == [4, 4, 4]
    assert {(await served.assigned())[image.name] for image in stored["blue"]} == set(result.clusters)
    await ada.undo(result.correction)
    assert await served.assigned() == before

    def found_within(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        labels = np.zeros(len(vectors), dtype=np.int64)
        labels[:5] = 1
        labels[5] = -1
        return labels

    served.clusterer.groups = found_within
    parts = (await ada.split(homes["red"])).clusters
    clusters = await clusters_of(served)
    # The larger part keeps the id, and nobody is left outside.
    assert parts[0] == homes["red"]
    assert sum(clusters[name].size for name in parts) == 12
    assert clusters[parts[0]].size > clusters[parts[1]].size
    assert "" not in (await served.assigned()).values()


async def test_what_cannot_be_split(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "does not fall apart"):
        await ada.split(homes["red"])
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "too few"):
        await ada.split(homes["red"], 13)
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "part_count"):
        await ada.split(homes["red"], 1)
    served.clusterer.groups = lambda vectors: np.zeros(len(vectors), np.int64)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "say into how many parts, or list"):
        await ada.split(homes["red"])
    # Who did say that is not asked again.
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "itself; list the images of the new"):
        await ada.split(homes["red"], 2)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "nothing would be left"):
        await ada.split_off(homes["red"], stored["red"])
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "is not in cluster"):
        await ada.split_off(homes["red"], [stored["blue"][0]])
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "images"):
        await ada.split_off(homes["red"], [])
    async with refused(grpc.StatusCode.NOT_FOUND, "CLUSTER_NOT_FOUND", "999"):
        await ada.split(NO_CLUSTER)
    async with refused(grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND"):
        await ada.split_off(homes["red"], [Image(name=NO_IMAGE)])
    assert await served.homes(stored) == homes
    assert await ada.corrections() == []


async def test_a_cluster_too_small_to_be_clustered_is_split_by_listing(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    await ada.move(stored["red"][9:], homes["blue"])
    for part_count in (0, 2):
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "9 images, too few", "listing"):
            await ada.split(homes["red"], part_count)
    assert len((await ada.split_off(homes["red"], stored["red"][:2])).clusters) == 2


async def test_pin_unpin_and_undo(served: Served) -> None:
    _, homes, ada = await three_clusters(served)
    red = homes["red"]
    pinned = await ada.pin(red)
    assert (pinned.correction.kind, pinned.correction.image_count) == (CORRECTION_KIND_PIN, 0)
    assert pinned.correction.run == ""
    assert pinned.clusters == [red]
    assert (await clusters_of(served))[red].pinned
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "pinned already"):
        await ada.pin(red)
    unpinned = await ada.unpin(red)
    assert unpinned.correction.kind == CORRECTION_KIND_UNPIN
    assert not (await clusters_of(served))[red].pinned
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_UNDO", "came after it"):
        await ada.undo(pinned.correction)
    await ada.undo(unpinned.correction)
    assert (await clusters_of(served))[red].pinned
    await ada.undo(pinned.correction)
    assert not (await clusters_of(served))[red].pinned
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "not pinned"):
        await ada.unpin(red)


async def test_a_pinned_cluster_stays_where_the_algorithm_finds_none(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    await ada.pin(homes["red"])

    def all_but_red(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        color = np.argmax(vectors[:, :11], axis=1)
        return np.where(color == 3, -1, color - 4)

    served.clusterer.groups = all_but_red
    run = await served.recluster()
    assert run.state == RUN_STATE_SUCCEEDED
    assert await served.homes(stored) == homes


async def test_move_into_a_cluster_and_undo(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before = await served.assigned()
    strays = stored["red"][:2]
    result = await ada.move(strays, homes["blue"])
    assert (result.correction.kind, result.correction.image_count) == (CORRECTION_KIND_MOVE, 2)
    assert result.clusters == [homes["blue"], homes["red"]]
    after = await served.assigned()
    assert after == {**before, **dict.fromkeys((image.name for image in strays), homes["blue"])}
    assert {name: cluster.size for name, cluster in (await clusters_of(served)).items()} == {
        homes["blue"]: 14,
        homes["red"]: 10,
        homes["green"]: 12,
    }
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "where it should be already"):
        await ada.move(strays, homes["blue"])
    await served.recluster()
    assert await served.assigned() == after
    await ada.undo(result.correction)
    assert await served.assigned() == before
    await served.recluster()
    assert await served.assigned() == before


async def test_move_out_of_any_cluster_and_undo(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before = await served.assigned()
    result = await ada.move(stored["green"][:1], "")
    assert result.clusters == [homes["green"]]
    assert (await served.assigned())[stored["green"][0].name] == ""
    await served.recluster()
    assert (await served.assigned())[stored["green"][0].name] == ""
    await ada.undo(result.correction)
    assert await served.assigned() == before


async def test_a_cluster_whose_last_image_is_moved_is_no_more(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before = await served.assigned()
    result = await ada.move(stored["red"], homes["blue"])
    assert result.clusters == [homes["blue"]]
    assert set(await clusters_of(served)) == {homes["blue"], homes["green"]}
    undone = await ada.undo(result.correction)
    assert set(undone.clusters) == {homes["blue"], homes["red"]}
    assert await served.assigned() == before


async def test_dissolve_and_undo(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before, named_before = await served.assigned(), await named(served)
    result = await ada.dissolve(homes["red"])
    assert (result.correction.kind, result.correction.image_count) == (CORRECTION_KIND_DISSOLVE, 12)
    assert result.clusters == []
    assert await served.homes(stored) == {**homes, "red": ""}
    await served.store("red", range(40, 43))
    run = await served.recluster()
    assert run.state == RUN_STATE_SUCCEEDED
    assert await served.homes(stored) == {**homes, "red": ""}
    assert set(await clusters_of(served)) == {homes["blue"], homes["green"]}
    await ada.undo(result.correction)
    assert {name: cluster for name, cluster in (await served.assigned()).items() if name in before} == before
    assert await named(served) == named_before
    await served.recluster()
    assert await served.homes(stored) == homes


async def test_noise_is_reassigned_only_when_asked_and_only_what_is_near(served: Served) -> None:
    stored, _, ada = await three_clusters(served)
    yellow = await served.store("yellow", range(3))
    # Who took an image out does not want it back in.
    await ada.move(stored["green"][:1], "")
    before = await served.assigned()

    async def reassign(**fields: Any) -> Any:
        return await served.curation.ReassignNoise(ReassignNoiseRequest(parent=PARENT, author="ada", **fields))

    nothing = await reassign(validate_only=True)
    assert (nothing.proposal_count, len(nothing.proposals), nothing.HasField("correction")) == (0, 0, False)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "lower min_similarity"):
        await reassign()
    preview = await reassign(min_similarity=-1.0, validate_only=True)
    assert not preview.HasField("correction")
    assert preview.proposal_count == 3
    assert {proposal.image for proposal in preview.proposals} == {image.name for image in yellow}
    similarities = [proposal.similarity for proposal in preview.proposals]
    assert similarities == sorted(similarities, reverse=True)
    assert await served.assigned() == before
    assert len(await ada.corrections()) == 1

    done = await reassign(min_similarity=-1.0)
    assert done.proposals == preview.proposals
    assert (done.correction.kind, done.correction.image_count) == (CORRECTION_KIND_REASSIGN_NOISE, 3)
    after = await served.assigned()
    assert after == {**before, **{proposal.image: proposal.cluster for proposal in preview.proposals}}
    await served.recluster()
    assert await served.assigned() == after
    await ada.undo(done.correction)
    assert await served.assigned() == before
    for wrong in (-1.5, float("nan")):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "min_similarity"):
            await reassign(min_similarity=wrong, validate_only=True)


@contextmanager
def long_search_for_homes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Images in no cluster are looked at one by one, a fifth of a second each."""
    with monkeypatch.context() as patched:
        patched.setattr(reassigning, "_BATCH", 1)
        slow(patched, "query_neighbors", 0.2)
        yield


@pytest.mark.parametrize("validate_only", [True, False])
async def test_while_homes_are_found_nobody_waits_and_what_others_correct_stands(
    served: Served, monkeypatch: pytest.MonkeyPatch, validate_only: bool
) -> None:
    _, homes, ada = await three_clusters(served)
    yellow = await served.store("yellow", range(20))
    request = ReassignNoiseRequest(parent=PARENT, min_similarity=-1.0, validate_only=True)
    nearest = (await served.curation.ReassignNoise(request)).proposals[0].cluster
    other = next(home for home in homes.values() if home != nearest)
    request.validate_only = validate_only
    with long_search_for_homes(monkeypatch):
        searching = asyncio.ensure_future(served.curation.ReassignNoise(request))
        await asyncio.sleep(0.5)
        await ada.move(yellow[:1], other)
        await ada.dissolve(nearest)
        assert not searching.done()
        answer = await searching
    assert answer.proposals
    assert nearest not in {proposal.cluster for proposal in answer.proposals}
    if not validate_only:
        assigned = await served.assigned()
        assert assigned[yellow[0].name] == other
        assert yellow[0].name not in {proposal.image for proposal in answer.proposals}
        assert all(assigned[proposal.image] == proposal.cluster for proposal in answer.proposals)


async def test_a_search_for_homes_ends_with_its_caller(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, homes, ada = await three_clusters(served)
    await served.store("yellow", range(10))
    request = ReassignNoiseRequest(parent=PARENT, min_similarity=-1.0, author="ada")
    with long_search_for_homes(monkeypatch):
        call = served.curation.ReassignNoise(request)
        await asyncio.sleep(0.3)
        call.cancel()
        await ada.move(stored["red"][:1], homes["blue"])
    assert [each.kind for each in await ada.corrections()] == [CORRECTION_KIND_MOVE]


async def test_rename_with_an_author_and_undo(served: Served) -> None:
    _, homes, ada = await three_clusters(served)
    red = homes["red"]
    automatic = (await named(served))[red]
    renamed = await ada.rename(red, "Poppies")
    assert (renamed.display_name, renamed.name_source) == ("Poppies", NAME_SOURCE_PERSON)
    [first] = await ada.corrections()
    assert (first.kind, first.author) == (CORRECTION_KIND_RENAME, "ada")
    assert first.clusters == [red]
    assert "Poppies" in first.detail
    bob = Curator(served, "bob")
    await bob.rename(red, "Tulips")
    second, _ = await ada.corrections()
    assert second.author == "bob"
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_UNDO", "undo that one first"):
        await ada.undo(first)
    # A pin changes no name, so it is no hindrance.
    await ada.pin(red)
    await ada.undo(second)
    assert (await named(served))[red] == "Poppies"
    await ada.undo(first)
    back = await served.clusters.GetCluster(GetClusterRequest(name=red))
    assert (back.display_name, back.name_source, back.pinned) == (automatic, NAME_SOURCE_AUTOMATIC, True)


async def test_the_list_of_corrections(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    merged = (await ada.merge(homes["green"], homes["red"])).correction
    moved = (await ada.move(stored["blue"][:1], "")).correction
    undone = (await ada.undo(moved)).correction
    await ada.rename(homes["blue"], "Sea")
    renamed, *others = await ada.corrections()
    assert renamed.kind == CORRECTION_KIND_RENAME
    assert others == [undone, merged]
    seen, token = [], ""
    while True:
        request = ListCorrectionsRequest(parent=PARENT, page_size=2, page_token=token)
        page = await served.curation.ListCorrections(request)
        seen += page.corrections
        token = page.next_page_token
        if not token:
            break
    assert seen == [renamed, undone, merged]


async def test_what_cannot_be_corrected(served: Served) -> None:
    curator = Curator(served)
    await served.three_colors()
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_CLUSTERED"):
        await curator.merge(NO_CLUSTER, f"{PARENT}/clusters/998")
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_CLUSTERED"):
        await served.curation.ReassignNoise(ReassignNoiseRequest(parent=PARENT))
    stored, homes, ada = await three_clusters(served)
    red, green = homes["red"], homes["green"]
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "at least two"):
        await ada.merge(red)
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "at least two"):
        await ada.merge(red, red)
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME", "another collection"):
        await ada.merge(red, "collections/others/clusters/1")
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await ada.move([Image(name=red)], green)
    for refused_call in (
        ada.merge(red, NO_CLUSTER),
        ada.pin(NO_CLUSTER),
        ada.dissolve(NO_CLUSTER),
        ada.move(stored["red"][:1], NO_CLUSTER),
        ada.rename(NO_CLUSTER, "x"),
    ):
        async with refused(grpc.StatusCode.NOT_FOUND, "CLUSTER_NOT_FOUND", "999"):
            await refused_call
    async with refused(grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND"):
        await ada.move([*stored["red"], Image(name=NO_IMAGE)], green)
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "images"):
        await ada.move([], green)
    for author in ("x" * 201, "two\nlines"):
        wordy = Curator(served, author)
        for refused_call in (
            wordy.merge(red, green),
            wordy.split(red),
            wordy.pin(red),
            wordy.move(stored["red"][:1], green),
            wordy.dissolve(red),
            wordy.rename(red, "x"),
        ):
            async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "author"):
                await refused_call
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "author"):
            await served.curation.ReassignNoise(ReassignNoiseRequest(parent=PARENT, author=author))
    assert await served.homes(stored) == homes
    assert await ada.corrections() == []


async def test_what_cannot_be_undone(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    async with refused(grpc.StatusCode.NOT_FOUND, "CORRECTION_NOT_FOUND"):
        await ada.undo(f"{PARENT}/corrections/none")
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME", "corrections"):
        await ada.undo(homes["red"])
    moved = (await ada.move(stored["red"][:1], homes["blue"])).correction
    await ada.undo(moved)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_UNDO", "undone already"):
        await ada.undo(moved)
    renamed = await ada.rename(homes["red"], "Poppies")
    [named_so, *_] = await ada.corrections()
    await ada.undo(named_so)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_UNDO", "undone already"):
        await ada.undo(named_so)
    assert renamed.name == homes["red"]
    # Of the first of two moves of the same image nothing is left to take back.
    first = (await ada.move(stored["red"][:1], homes["blue"])).correction
    await ada.move(stored["red"][:1], homes["green"])
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_UNDO", "still where it put them"):
        await ada.undo(first)
    assert (await served.assigned())[stored["red"][0].name] == homes["green"]


async def test_an_undo_leaves_alone_what_was_moved_since(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    merged = (await ada.merge(homes["green"], homes["red"])).correction
    moved = stored["red"][:2]
    await ada.move(moved, homes["blue"])
    await ada.undo(merged)
    after = await served.assigned()
    assert {after[image.name] for image in moved} == {homes["blue"]}
    assert {after[image.name] for image in stored["red"][2:]} == {homes["red"]}


async def test_all_of_them_survive_three_reclusterings_with_growing_data(served: Served) -> None:
    colors = ("red", "green", "blue", "yellow", "purple", "white")
    stored = {color: await served.store(color, range(10)) for color in colors}
    assert (await served.recluster()).summary.cluster_count == 6
    homes = await served.homes(stored)
    ada = Curator(served)
    await ada.merge(homes["red"], homes["green"])
    part = stored["blue"][:4]
    _, new = (await ada.split_off(homes["blue"], part)).clusters
    stray = stored["yellow"][:1]
    await ada.move(stray, homes["purple"])
    await ada.pin(homes["purple"])
    await ada.rename(homes["white"], "Snow")
    wanted = {
        "red": homes["red"],
        "green": homes["red"],
        "blue": homes["blue"],
        "part": new,
        "yellow": homes["yellow"],
        "stray": homes["purple"],
        "purple": homes["purple"],
        "white": homes["white"],
    }
    images = {
        **stored,
        "blue": stored["blue"][4:],
        "part": part,
        "yellow": stored["yellow"][1:],
        "stray": stray,
    }
    assert await served.homes(images) == wanted
    for turn in range(1, 4):
        for color in colors:
            await served.store(color, range(10 * turn, 10 * turn + 3))
        run = await served.recluster()
        assert run.state == RUN_STATE_SUCCEEDED
        assert await served.homes(images) == wanted
        clusters = await clusters_of(served)
        assert set(clusters) == set(wanted.values())
        assert clusters[homes["white"]].display_name == "Snow"
        assert clusters[homes["white"]].name_source == NAME_SOURCE_PERSON
        assert clusters[homes["purple"]].pinned
        assert clusters[homes["red"]].merged
        assert clusters[homes["blue"]].split
        assert clusters[new].split
        grown = {color: await served.store(color, [10 * turn]) for color in ("red", "green", "purple", "white")}
        assert await served.homes(grown) == {color: wanted[color] for color in grown}


async def test_only_parts_of_the_same_split_are_kept_apart(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    red, blue = stored["red"], stored["blue"]
    [red_part] = (await ada.split_off(homes["red"], red[:4])).clusters[1:]
    [blue_part] = (await ada.split_off(homes["blue"], blue[:4])).clusters[1:]
    groups = [red[5:11], red[:5], blue[4:] + red[11:], blue[:4], stored["green"]]
    label_of = {image.name: label for label, group in enumerate(groups) for image in group}
    in_order = np.array([label_of[name] for name in sorted(label_of)], dtype=np.int64)
    served.clusterer.groups = lambda vectors: in_order
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED
    images = {"red": red[4:11], "red part": red[:4], "blue": blue[4:] + red[11:], "blue part": blue[:4]}
    wanted = {"red": homes["red"], "red part": red_part, "blue": homes["blue"], "blue part": blue_part}
    assert await served.homes(images) == wanted


async def halted_run(served: Served) -> asyncio.Task[ClusteringRun]:
    """A run that has read the collection, and ends once the clusterer may go on."""
    jobs = served.clusterer.jobs
    served.clusterer.may_go_on.clear()
    running = asyncio.create_task(served.recluster())
    while served.clusterer.jobs == jobs:
        await asyncio.sleep(0.01)
    return running


async def test_a_correction_while_a_run_is_under_way_stands(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    running = await halted_run(served)
    await ada.merge(homes["green"], homes["red"])
    await ada.move(stored["blue"][:1], "")
    served.clusterer.may_go_on.set()
    assert (await running).state == RUN_STATE_SUCCEEDED
    blue = {"blue": stored["blue"][1:], "stray": stored["blue"][:1]}
    assert await served.homes({**stored, **blue}) == {**homes, "red": homes["green"], "stray": ""}


async def test_while_a_run_reads_the_vectors_nobody_waits_for_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, homes, ada = await three_clusters(served)
    with monkeypatch.context() as patched:
        held, may_go_on = hold_reading(patched)
        running = asyncio.create_task(served.recluster())
        await held.wait()
        await asyncio.wait_for(ada.merge(homes["green"], homes["red"]), 10)
        # What comes and goes now is not in what was read, or not in what there is.
        late = await asyncio.wait_for(served.store("blue", range(40, 42)), 10)
        await asyncio.wait_for(served.images.DeleteImage(DeleteImageRequest(name=stored["blue"][0].name)), 10)
        may_go_on.set()
        assert (await running).state == RUN_STATE_SUCCEEDED
    assert served.clusterer.before is not None
    assert not served.clusterer.before.unchanged
    blue = {"blue": [*stored["blue"][1:], *late]}
    assert await served.homes({**stored, **blue}) == {**homes, "red": homes["green"]}


async def test_a_correction_of_images_that_came_while_a_run_is_under_way_stands(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    running = await halted_run(served)
    came = await served.store("blue", range(20, 30))
    [part] = (await ada.split_off(homes["blue"], came[:3])).clusters[1:]
    await ada.rename(part, "Sea")
    await ada.move(came[3:5], homes["red"])
    await ada.move(came[5:7], "")
    [lost] = (await ada.split_off(homes["blue"], came[7:9])).clusters[1:]
    await ada.dissolve(lost)
    served.clusterer.may_go_on.set()
    run = await running
    assert (run.state, run.summary.image_count, run.summary.cluster_count) == (RUN_STATE_SUCCEEDED, 36, 4)
    images = {**stored, "part": came[:3], "moved": came[3:5], "out": came[5:7], "lost": came[7:9], "voted": came[9:]}
    wanted = {**homes, "part": part, "moved": homes["red"], "out": "", "lost": "", "voted": homes["blue"]}
    assert await served.homes(images) == wanted
    clusters = await clusters_of(served)
    assert (clusters[part].display_name, clusters[part].split, clusters[part].size) == ("Sea", True, 3)
    assert clusters[homes["red"]].run_size == 14
    # What is read by the next run stays as well.
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED
    del images["lost"], wanted["lost"]
    assert await served.homes(images) == wanted
    assert (await clusters_of(served))[part].display_name == "Sea"


async def test_an_image_that_was_deleted_and_sent_again_is_not_held_where_the_vote_puts_it(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    red = stored["red"]
    await ada.move(red[:1], homes["blue"])
    await ada.move(red[1:2], "")
    for image in red[:2]:
        await served.images.DeleteImage(DeleteImageRequest(name=image.name))
    assert [image.name for image in await served.store("red", [0, 1])] == [image.name for image in red[:2]]
    assert await served.homes({"red": red}) == {"red": homes["red"]}
    label_of = {image.name: label for label, color in enumerate(stored) for image in stored[color]}
    label_of |= {image.name: label_of[stored["green"][0].name] for image in red[:2]}
    in_order = np.array([label_of[name] for name in sorted(label_of)], dtype=np.int64)
    served.clusterer.groups = lambda vectors: in_order
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED
    assert await served.homes({"red": red[2:], "green": red[:2]}) == {"red": homes["red"], "green": homes["green"]}


async def test_two_corrections_at_the_same_time(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    await asyncio.gather(
        ada.move(stored["red"][:1], homes["blue"]),
        ada.move(stored["red"][1:2], homes["green"]),
        ada.rename(homes["blue"], "Sea"),
    )
    after = await served.assigned()
    assert [after[image.name] for image in stored["red"][:3]] == [homes["blue"], homes["green"], homes["red"]]
    assert (await named(served))[homes["blue"]] == "Sea"
    assert len(await ada.corrections()) == 3


@pytest.mark.parametrize("leave_after", [0.05, 0.25])
async def test_a_caller_who_leaves_while_a_correction_is_undone(
    served: Served, monkeypatch: pytest.MonkeyPatch, leave_after: float
) -> None:
    stored, homes, ada = await three_clusters(served)
    merged = (await ada.merge(homes["green"], homes["red"])).correction
    with monkeypatch.context() as patched:
        slow(patched, "set_group", 0.2)
        slow(patched, "put_correction", 0.2)
        call = served.curation.UndoCorrection(UndoCorrectionRequest(name=merged.name, author="ada"))
        await asyncio.sleep(leave_after)
        call.cancel()
        await asyncio.sleep(0)
        # Waits for its turn behind the undoing.
        await ada.move(stored["blue"][:1], "")
        await asyncio.sleep(0.3)
    blue = {"blue": stored["blue"][1:], "stray": stored["blue"][:1]}
    moved, listed = await ada.corrections()
    assert (moved.kind, listed.name) == (CORRECTION_KIND_MOVE, merged.name)
    # All of it or nothing, and the record says which.
    red = homes["red"] if listed.HasField("undo_time") else homes["green"]
    assert await served.homes({**stored, **blue}) == {**homes, "red": red, "stray": ""}


async def test_rollback_past_a_correction_and_back(served: Served) -> None:
    _, homes, ada = await three_clusters(served)
    before = await served.assigned()
    merged = (await ada.merge(homes["green"], homes["red"])).correction
    after = await served.assigned()
    run = await served.clusters.GetClusteringRun(GetClusteringRunRequest(name=merged.run))
    await served.clusters.ActivateClusteringRun(ActivateClusteringRunRequest(name=run.parent))
    assert await served.assigned() == before
    await served.clusters.ActivateClusteringRun(ActivateClusteringRunRequest(name=run.name))
    assert await served.assigned() == after


async def test_corrections_are_there_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as first:
        await first.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        stored, homes, ada = await three_clusters(first)
        before = await first.assigned()
        merged = (await ada.merge(homes["green"], homes["red"])).correction
        corrected = await first.assigned()
        listed = await ada.corrections()
    async with serving(tmp_path) as second:
        ada = Curator(second)
        assert await ada.corrections() == listed
        assert await second.assigned() == corrected
        await second.recluster()
        assert await second.assigned() == corrected
        await ada.undo(merged)
        assert await second.assigned() == before
        assert await second.homes(stored) == homes


@pytest.mark.parametrize("name", ["", "collections/photos", "collections/photos/corrections/", "corrections/a"])
async def test_names_that_are_none(served: Served, name: str) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await Curator(served).undo(name)

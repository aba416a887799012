"""What taking a correction back must leave alone: what others corrected before, since, or at the same time."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from shoal.v1.cluster_service_pb2 import ActivateClusteringRunRequest
from shoal.v1.collection_service_pb2 import GetCollectionRequest
from shoal.v1.correction_pb2 import CORRECTION_KIND_DISSOLVE, CORRECTION_KIND_REASSIGN_NOISE
from shoal.v1.curation_service_pb2 import CorrectionResult, ReassignNoiseRequest
from tests.rpc.conftest import PARENT, Served, refused
from tests.rpc.test_curation_service import clusters_of, named, three_clusters


async def activate(served: Served, run: str) -> None:
    await served.clusters.ActivateClusteringRun(ActivateClusteringRunRequest(name=run))


async def test_a_split_is_not_undone_under_what_was_merged_into_a_part(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before = await served.assigned()
    split = await ada.split_off(homes["green"], stored["green"][:4])
    part = split.clusters[1]
    merged = (await ada.merge(part, homes["red"])).correction
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_UNDO", "came after it; undo that one first"):
        await ada.undo(split.correction)
    assert (await served.homes({"red": stored["red"]}))["red"] == part
    await ada.undo(merged)
    await ada.undo(split.correction)
    assert await served.assigned() == before


async def test_a_split_is_undone_after_a_rollback_past_a_merge_into_a_part(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before = await served.assigned()
    split = await ada.split_off(homes["green"], stored["green"][:4])
    await ada.merge(split.clusters[1], homes["red"])
    await activate(served, split.correction.run)
    await ada.undo(split.correction)
    assert await served.assigned() == before


async def test_undoing_a_dissolution_keeps_what_was_moved_there(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    strays = stored["red"][:3]
    await ada.move(strays, homes["blue"])
    moved = await served.assigned()
    await ada.undo((await ada.dissolve(homes["blue"])).correction)
    assert await served.assigned() == moved
    await served.recluster()
    assert await served.assigned() == moved


@pytest.mark.parametrize("by", ["dissolving", "moving"])
async def test_the_last_cluster_comes_back(served: Served, by: str) -> None:
    stored, homes, ada = await three_clusters(served)
    await ada.rename(homes["blue"], "Poppies")
    before, named_before = await served.assigned(), await named(served)
    done = []
    for color, home in homes.items():
        emptied = await (ada.dissolve(home) if by == "dissolving" else ada.move(stored[color], ""))
        done.append(emptied.correction)
    assert await clusters_of(served) == {}
    for correction in done:
        await ada.undo(correction)
    assert await served.assigned() == before
    assert await named(served) == named_before


async def test_undoing_a_reassignment_keeps_what_was_dissolved(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    await ada.dissolve(homes["red"])
    await served.recluster()
    dissolved = await served.assigned()
    request = ReassignNoiseRequest(parent=PARENT, min_similarity=-1.0)
    reassigned = (await served.curation.ReassignNoise(request)).correction
    assert reassigned.image_count == 12
    await ada.undo(reassigned)
    assert await served.assigned() == dissolved
    await served.recluster()
    assert await served.assigned() == dissolved
    assert await served.homes(stored) == {**homes, "red": ""}
    listed = await ada.corrections()
    assert [each.kind for each in listed] == [CORRECTION_KIND_REASSIGN_NOISE, CORRECTION_KIND_DISSOLVE]
    assert [each.HasField("undo_time") for each in listed] == [True, False]


async def test_a_pin_undone_twice_at_once(served: Served) -> None:
    _, homes, ada = await three_clusters(served)
    pinned = (await ada.pin(homes["red"])).correction
    answers = await asyncio.gather(ada.undo(pinned), ada.undo(pinned), return_exceptions=True)
    assert sorted(isinstance(answer, CorrectionResult) for answer in answers) == [False, True]
    [refusal] = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert refusal.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "undone already" in (refusal.details() or "")
    assert not (await clusters_of(served))[homes["red"]].pinned


async def test_a_pin_outlives_a_rollback_and_is_undone_after_it(served: Served) -> None:
    await served.three_colors()
    first = await served.recluster()
    _, homes, ada = await three_clusters(served)
    red = homes["red"]
    pinned = (await ada.pin(red)).correction
    second = (await served.collections.GetCollection(GetCollectionRequest(name=PARENT))).active_run
    await activate(served, first.name)
    assert (await clusters_of(served))[red].pinned
    await ada.undo(pinned)
    assert not (await clusters_of(served))[red].pinned
    # And what is pinned no more stays so.
    await activate(served, second)
    assert not (await clusters_of(served))[red].pinned


async def test_a_pinned_cluster_that_is_merged_into_another_passes_its_pin_on(served: Served) -> None:
    _, homes, ada = await three_clusters(served)
    await ada.pin(homes["red"])
    merged = (await ada.merge(homes["green"], homes["red"])).correction
    assert (await clusters_of(served))[homes["green"]].pinned
    await ada.undo(merged)
    assert {name for name, cluster in (await clusters_of(served)).items() if cluster.pinned} >= {homes["red"]}


async def test_undoing_everything_in_any_order_leaves_nothing_behind(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    before = await served.assigned()
    both = stored["red"][:2]
    first = (await ada.move(both, homes["green"])).correction
    second = (await ada.move(both[:1], homes["blue"])).correction
    await ada.undo(first)
    after = await served.assigned()
    assert [after[image.name] for image in both] == [homes["blue"], homes["red"]]
    await ada.undo(second)
    assert await served.assigned() == before


async def test_a_name_that_a_person_gave_survives_a_merge_into_another_cluster(served: Served) -> None:
    _, homes, ada = await three_clusters(served)
    await ada.rename(homes["red"], "Poppies")
    green = (await clusters_of(served))[homes["green"]].display_name
    merged = (await ada.merge(homes["green"], homes["red"])).correction
    assert (await clusters_of(served))[homes["green"]].display_name == "Poppies"
    await ada.undo(merged)
    names = {name: cluster.display_name for name, cluster in (await clusters_of(served)).items()}
    assert (names[homes["green"]], names[homes["red"]]) == (green, "Poppies")


async def test_two_clusters_do_not_get_one_name(served: Served) -> None:
    _, homes, ada = await three_clusters(served)
    await ada.rename(homes["red"], "Poppies")
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "CANNOT_CORRECT", "is called 'Poppies' already"):
        await ada.rename(homes["green"], "poppies")
    await ada.rename(homes["red"], "poppies")

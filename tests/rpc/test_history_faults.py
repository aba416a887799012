"""The history when things happen at the same time, the store stumbles, or files are damaged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from shoal.v1.cluster_pb2 import (
    GRANULARITY_COARSE,
    RUN_KIND_CLUSTERING,
    RUN_KIND_CORRECTION,
    RUN_STATE_CANCELLED,
    RUN_STATE_FAILED,
    RUN_STATE_HELD_BACK,
    RUN_STATE_SUCCEEDED,
    ClusteringRun,
)
from shoal.v1.cluster_service_pb2 import (
    CancelClusteringRunRequest,
    GetClusteringRunRequest,
    ListClusteringRunsRequest,
)
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, DeleteCollectionRequest, GetCollectionRequest
from shoal_server.application import clustering
from shoal_server.domain.errors import StoreUnavailable
from shoal_server.domain.plausibility import Change, objections
from tests.rpc.conftest import PARENT, Served, refused, serving
from tests.rpc.faults import record_groups, replace_in_stores, slow, stumble
from tests.rpc.test_curation_service import Curator, clusters_of, three_clusters
from tests.rpc.test_runs import activate, exported, start, without_distinction


@asynccontextmanager
async def keeping(folder: Path, runs: int) -> AsyncIterator[Served]:
    """A server that keeps few runs, with an empty collection."""
    async with serving(folder, keep_runs=runs) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        yield served


async def runs_of(served: Served) -> list[ClusteringRun]:
    listed = await served.clusters.ListClusteringRuns(ListClusteringRunsRequest(parent=PARENT))
    return list(listed.clustering_runs)


async def active_run(served: Served) -> str:
    collection = await served.collections.GetCollection(GetCollectionRequest(name=PARENT))
    return str(collection.active_run)


async def delete_and_make_again(served: Served) -> None:
    await served.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
    await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
    await served.three_colors()


async def is_untouched(served: Served) -> bool:
    nowhere = set((await served.assigned()).values()) == {""}
    return nowhere and not await active_run(served) and not await Curator(served).corrections()


async def test_no_run_is_let_go_of_while_it_is_put_in_force(
    either_store: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(tmp_path, runs=2) as served:
        await served.three_colors()
        oldest = await served.recluster()
        await served.recluster()
        letting_go = asyncio.Event()

        def noted(works: Callable[..., Any]) -> Callable[..., Any]:
            async def note_and_wait(store: Any, collection: str, run: str) -> Any:
                # Storing clusters begins with deleting, too.
                if oldest.name.endswith(run):
                    letting_go.set()
                    await asyncio.sleep(0.3)
                return await works(store, collection, run)

            return note_and_wait

        replace_in_stores(monkeypatch, "delete_clusters", noted)
        newest = asyncio.create_task(served.recluster())
        await letting_go.wait()
        async with refused(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND"):
            await activate(served, oldest.name)
        assert await active_run(served) == (await newest).name
        assert set((await served.assigned()).values()) == set(await clusters_of(served))


async def test_a_run_that_is_half_let_go_of_is_not_put_in_force(
    either_store: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(tmp_path, runs=1) as served:
        await served.three_colors()
        first = await served.recluster()
        # Its clusters are gone then, its file is not.
        stumble(monkeypatch, "delete_groupings", times=1)
        second = await served.recluster()
        before = await served.assigned()
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_ACTIVATABLE", "cluster again"):
            await activate(served, first.name)
        assert await active_run(served) == second.name
        assert await served.assigned() == before
        assert len(await clusters_of(served)) == 3


async def test_a_store_that_stumbles_while_a_run_is_taken_back_is_asked_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, _ = await three_clusters(served)
    before, run_before = await served.assigned(), await active_run(served)
    served.clusterer.groups = without_distinction
    with monkeypatch.context() as patched:
        slow(patched, "set_group", 0.2)
        written = record_groups(patched)
        # Another granularity, so that nothing objects.
        run = await start(served, granularity=GRANULARITY_COARSE)
        while not written:
            await asyncio.sleep(0.01)
        calls = stumble(patched, "get_clusters", times=1)
        cancelled = await served.clusters.CancelClusteringRun(CancelClusteringRunRequest(name=run.name))
        assert calls() == 2
    assert cancelled.state == RUN_STATE_CANCELLED
    assert await active_run(served) == run_before
    assert await served.assigned() == before
    served.clusterer.groups = None
    assert (await served.recluster()).state == RUN_STATE_SUCCEEDED


async def test_a_run_that_was_held_back_is_out_of_date_after_a_correction(served: Served) -> None:
    stored, homes, ada = await three_clusters(served)
    served.clusterer.threshold = 2.0
    held = await served.recluster()
    assert held.state == RUN_STATE_HELD_BACK
    await ada.move(stored["red"][:1], homes["blue"])
    corrected = await served.assigned()
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "RUN_NOT_ACTIVATABLE", "changed", "cluster again"):
        await activate(served, held.name)
    assert await served.assigned() == corrected


async def test_a_correction_that_fails_leaves_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    _, homes, ada = await three_clusters(served)
    before = await served.assigned()
    with monkeypatch.context() as patched:
        stumble(patched, "put_clusters", times=1)
        async with refused(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "stumbled"):
            await ada.merge(homes["green"], homes["red"])
    assert await ada.corrections() == []
    failed = (await runs_of(served))[0]
    assert (failed.kind, failed.state, failed.retained) == (RUN_KIND_CORRECTION, RUN_STATE_FAILED, False)
    assert "was not carried out" in failed.error.message
    assert failed.HasField("end_time")
    assert await served.assigned() == before

    merged = (await ada.merge(homes["green"], homes["red"])).correction
    after = await served.assigned()
    with monkeypatch.context() as patched:
        stumble(patched, "put_clusters", times=1)
        async with refused(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", "stumbled"):
            await ada.undo(merged)
    assert await ada.corrections() == [merged]
    assert await served.assigned() == after
    await ada.undo(merged)
    assert await served.assigned() == before


async def test_a_run_in_force_is_recorded_even_if_the_store_stumbles_over_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as first:
        await first.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await first.three_colors()
        with monkeypatch.context() as patched:
            # Written as it begins, as it is put in force, and as it has ended.
            calls = stumble(patched, "put_run", times=1, after=2)
            run = await first.recluster()
            assert calls() == 4
        assert (run.state, run.active) == (RUN_STATE_SUCCEEDED, True)
        _, homes, ada = await three_clusters(first)
        with monkeypatch.context() as patched:
            calls = stumble(patched, "put_run", times=1, after=2)
            merged = (await ada.merge(homes["green"], homes["red"])).correction
            assert calls() == 4
        corrected = await first.clusters.GetClusteringRun(GetClusteringRunRequest(name=merged.run))
        assert (corrected.state, corrected.active) == (RUN_STATE_SUCCEEDED, True)
        await first.recluster()
        runs = await runs_of(first)
        assert {each.state for each in runs} == {RUN_STATE_SUCCEEDED}
    async with serving(tmp_path) as second:
        assert await Curator(second).corrections() == [merged]
        assert await runs_of(second) == runs


async def test_a_run_in_force_outlives_a_stop_before_its_end_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "_STOP_S", 0.1)
    async with serving(tmp_path) as first:
        await first.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await first.three_colors()
        ending = asyncio.Event()
        calls = 0

        def hung(works: Callable[..., Any]) -> Callable[..., Any]:
            async def hang_or_work(*arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == 3:
                    ending.set()
                    await asyncio.Event().wait()
                return await works(*arguments)

            return hang_or_work

        replace_in_stores(monkeypatch, "put_run", hung)
        run = await start(first)
        await ending.wait()
    async with serving(tmp_path) as second:
        finished = await second.clusters.GetClusteringRun(GetClusteringRunRequest(name=run.name))
        assert (finished.state, finished.active) == (RUN_STATE_SUCCEEDED, True)
        assert len(await clusters_of(second)) == 3
        assert set((await second.assigned()).values()) == set(await clusters_of(second))
        assert len(await exported(second, run.name)) == 36


async def test_a_collection_made_again_is_not_touched_by_a_split_of_the_old(served: Served) -> None:
    _, homes, ada = await three_clusters(served)
    jobs = served.clusterer.jobs
    served.clusterer.may_go_on.clear()
    splitting = asyncio.create_task(ada.split(homes["red"], 2))
    while served.clusterer.jobs == jobs:
        await asyncio.sleep(0.01)
    await delete_and_make_again(served)
    served.clusterer.may_go_on.set()
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"):
        await splitting
    assert await is_untouched(served)


async def test_a_collection_is_deleted_after_a_correction_under_way(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, homes, ada = await three_clusters(served)
    with monkeypatch.context() as patched:
        slow(patched, "set_group", 0.3)
        written = record_groups(patched)
        merging = asyncio.create_task(ada.merge(homes["green"], homes["red"]))
        while not written:
            await asyncio.sleep(0.01)
        await delete_and_make_again(served)
        # Whether its caller is told that it was done or that it is gone makes no difference.
        await asyncio.wait([merging])
    assert await is_untouched(served)


async def test_a_collection_made_again_is_not_touched_by_an_undo_of_the_old(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, homes, ada = await three_clusters(served)
    pinned = (await ada.pin(homes["red"])).correction
    with monkeypatch.context() as patched:
        asked, go_on = asyncio.Event(), asyncio.Event()

        def noted(works: Callable[..., Any]) -> Callable[..., Any]:
            async def work_and_wait(*arguments: Any) -> Any:
                found = await works(*arguments)
                asked.set()
                await go_on.wait()
                return found

            return work_and_wait

        replace_in_stores(patched, "get_correction", noted)
        undoing = asyncio.create_task(ada.undo(pinned))
        await asked.wait()
        await delete_and_make_again(served)
        go_on.set()
        async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"):
            await undoing
    assert await is_untouched(served)


async def test_corrections_do_not_push_reclusterings_out_of_the_history(either_store: None, tmp_path: Path) -> None:
    async with keeping(tmp_path, runs=2) as served:
        await served.three_colors()
        asked = await served.ended(await start(served, cluster_count=3))
        stored = await served.three_colors()
        assigned = await served.assigned()
        ada = Curator(served)
        other = next(name for name in await clusters_of(served) if name != assigned[stored["red"][0].name])
        moves = [(await ada.move([image], to)).correction for image in stored["red"][:2] for to in ("", other)]
        assert [run.name for run in await runs_of(served)] == [moves[3].run, moves[2].run, asked.name]
        assert (await runs_of(served))[0].parameters.cluster_count == 3
        again = await served.recluster()
        kinds = [run.kind for run in await runs_of(served)]
        assert kinds == [RUN_KIND_CLUSTERING, RUN_KIND_CORRECTION, RUN_KIND_CORRECTION, RUN_KIND_CLUSTERING]
        assert again.parent == moves[3].run


async def test_images_that_came_after_a_run_are_news_to_the_next_in_spite_of_a_correction(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, homes, ada = await three_clusters(served)
    late = await served.store("green", range(50, 55))
    await ada.move(stored["red"][:1], homes["blue"])
    changes: list[Change] = []

    def noted(change: Change) -> tuple[str, ...]:
        changes.append(change)
        return objections(change)

    monkeypatch.setattr("shoal_server.application.reclustering.objections", noted)
    await served.recluster()
    await ada.move(stored["red"][1:2], homes["blue"])
    await served.recluster()
    assert [(int(change.read.sum()), len(change.read)) for change in changes] == [(36, 41), (41, 41)]
    assert {(await served.assigned())[image.name] for image in late} == {homes["green"]}


async def test_a_damaged_file_is_told_of_and_not_an_internal_error(tmp_path: Path) -> None:
    async with keeping(tmp_path, runs=5) as served:
        _, homes, ada = await three_clusters(served)
        merged = (await ada.merge(homes["green"], homes["red"])).correction
        for file in (tmp_path / "runs").glob("*/photos/*"):
            file.write_bytes(b"garbage" * 50)
        for name in (PARENT, merged.run):
            async with refused(grpc.StatusCode.FAILED_PRECONDITION, "STORE_INCOMPATIBLE", "damaged", "backup"):
                await exported(served, name)
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "STORE_INCOMPATIBLE", "damaged"):
            await ada.undo(merged)
        run = await served.recluster()
        assert run.state == RUN_STATE_FAILED
        assert "is damaged" in run.error.message
        # What the points say is served on.
        assert set((await served.assigned()).values()) == {homes["green"], homes["blue"]}


async def test_who_took_a_correction_back_is_known_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        _, homes, ada = await three_clusters(served)
        merged = (await ada.merge(homes["red"], homes["green"])).correction
        with monkeypatch.context() as patch:
            # The run is in force, and the last write of all does not get through.
            stumble(patch, "put_correction", times=1)
            async with refused(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
                await Curator(served, "bob by name").undo(merged)
    async with serving(tmp_path) as served:
        [correction] = await Curator(served).corrections()
        assert (correction.name, correction.undo_author) == (merged.name, "bob by name")
        assert correction.HasField("undo_time")


async def test_an_activation_whose_first_line_was_taken_unseen_is_dropped_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken_unseen(works: Callable[..., Any]) -> Callable[..., Any]:
        async def take(store: Any, record: Any, *fence: Any) -> Any:
            await works(store, record, *fence)
            if record.activating_run is not None:
                raise StoreUnavailable("edge", "the answer was lost")

        return take

    async with serving(tmp_path) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        _, homes, ada = await three_clusters(served)
        before = await served.assigned()
        with monkeypatch.context() as patch:
            replace_in_stores(patch, "update_collection", taken_unseen)
            async with refused(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"):
                await ada.merge(homes["red"], homes["green"])
    async with serving(tmp_path) as served:
        assert await served.assigned() == before
        assert await Curator(served).corrections() == []
        run = (await runs_of(served))[0]
        assert (run.kind, run.state) == (RUN_KIND_CORRECTION, RUN_STATE_FAILED)
        # And nothing is left that would hinder the next.
        await Curator(served).merge(homes["red"], homes["green"])
        assert set((await served.assigned()).values()) == {homes["red"], homes["blue"]}

"""What only the store on a folder does: locks, formats, crashes, index builds."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import shoal_server.adapters.edge_store.indexing as indexing_module
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.domain.errors import (
    CollectionNotFound,
    FolderInUse,
    RunNotFound,
    ShuttingDown,
    StoreIncompatible,
    StoreUnavailable,
)
from shoal_server.domain.image import ImageFilter
from shoal_server.domain.run import ClusteringRun, RunStage, RunState
from tests.contract.conftest import a_cluster, a_collection, an_image, numbered_images, unit_vectors

EVERY = ImageFilter()
REPOSITORY = Path(__file__).parents[2]


@asynccontextmanager
async def running(program: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program beside this file after it has printed a line; killed with SIGKILL at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"tests.contract.{program}",
        *arguments,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 120)
        yield process
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def opened(folder: Path, threshold_kb: int = 40_000) -> AsyncIterator[EdgeStore]:
    store = await EdgeStore.open(folder, threshold_kb)
    try:
        yield store
    finally:
        await store.close()


async def all_ids(store: EdgeStore) -> set[str]:
    return {str(each) async for part in store.scan_vectors("photos", with_vectors=False) for each in part.ids}


# The folder.


async def test_a_second_opener_in_this_process_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(FolderInUse, match=f"process {os.getpid()}"):
            await EdgeStore.open(tmp_path)
    async with opened(tmp_path) as again:
        assert await again.list_collections() == []


async def test_a_folder_open_in_another_process_is_refused_until_that_ends(tmp_path: Path) -> None:
    async with running("holds_folder", str(tmp_path)) as holder:
        with pytest.raises(FolderInUse, match=f"process {holder.pid}"):
            await EdgeStore.open(tmp_path)
    async with opened(tmp_path) as store:
        assert await store.list_collections() == []


async def test_the_format_is_recorded_and_a_newer_one_refused(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    path = tmp_path / "format.json"
    assert json.loads(path.read_text()) == {"format": 1}
    path.write_text('{"format": 2}')
    with pytest.raises(StoreIncompatible, match=r"format 2.*up to 1"):
        await EdgeStore.open(tmp_path)
    # The refusal let go of the lock.
    path.write_text('{"format": 1}')
    async with opened(tmp_path):
        pass


async def test_a_folder_of_somebody_else_is_refused_and_not_touched(tmp_path: Path) -> None:
    theirs = tmp_path / "collections" / "stamps"
    theirs.mkdir(parents=True)
    with pytest.raises(StoreIncompatible, match="Shoal did not make it"):
        await EdgeStore.open(tmp_path)
    assert theirs.exists()


async def test_a_stray_file_among_the_collections_is_passed_over(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    stray = tmp_path / "collections" / ".DS_Store"
    stray.touch()
    async with opened(tmp_path) as store:
        assert await store.list_collections() == []
    assert stray.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": "photos"}', "\udcff"])
async def test_a_damaged_collection_record_is_named(tmp_path: Path, content: str) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
    path = tmp_path / "collections" / "photos" / "collection.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(StoreIncompatible, match=r"collection\.json"):
        await EdgeStore.open(tmp_path)


async def test_a_damaged_run_record_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        (tmp_path / "collections" / "photos" / "runs" / "r1.json").write_text("{}")
        with pytest.raises(StoreIncompatible, match=r"r1\.json"):
            await store.get_run("photos", "r1")
        with pytest.raises(RunNotFound):
            await store.get_run("photos", "../collection")


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="file"):
        await EdgeStore.open(tmp_path / "file")


async def test_a_closed_store_says_that_it_is_shutting_down(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
    with pytest.raises(ShuttingDown):
        await store.list_collections()


# Durability.


async def test_everything_is_there_after_closing_and_opening(tmp_path: Path) -> None:
    images = numbered_images(300, lambda i: i % 3 or None)
    async with opened(tmp_path) as store:
        record = a_collection("photos")
        await store.create_collection(record)
        await store.upsert_images("photos", images)
        await store.put_clusters("photos", "r1", [a_cluster(1), a_cluster(2)])
    async with opened(tmp_path) as store:
        assert await store.list_collections() == [record]
        assert await store.get_images("photos", [image.id for image, _ in images]) == {i.id: i for i, _ in images}
        assert await store.get_clusters("photos", "r1") == [a_cluster(1), a_cluster(2)]
        nearest = await store.query_images("photos", images[7][1], EVERY, 1)
        assert nearest[0].image == images[7][0]
        await store.upsert_images("photos", [(an_image(1000), images[0][1])])
        assert await store.count_images("photos", EVERY) == 301


@pytest.mark.parametrize("threshold_kb", [40_000, 0], ids=["writing", "indexing"])
async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, threshold_kb: int) -> None:
    async with running("killed_while_storing", str(tmp_path), str(threshold_kb)):
        pass
    images = numbered_images(700)
    clusters = {image.id: 3 for image, _ in images[:50]} | {image.id: 4 for image, _ in images[55:60]}
    kept = {image.id: replace(image, cluster_id=clusters.get(image.id)) for image, _ in images[:690]}
    async with opened(tmp_path) as store:
        assert await store.get_images("photos", [image.id for image, _ in images]) == kept
        vectors = await store.get_vectors("photos", list(kept))
        for image, vector in images[:690]:
            np.testing.assert_allclose(vectors[image.id], vector, atol=1e-6)
        assert await store.count_by_cluster("photos") == {3: 50, 4: 5}
        assert await store.get_clusters("photos", "r1") == [a_cluster(3), a_cluster(4)]
        record = await store.get_collection("photos")
        assert (record.activating_run, record.next_cluster_id) == ("r1", 5)
        run = await store.get_run("photos", "r1")
        assert (run.state, run.stage, run.progress) == (RunState.RUNNING, RunStage.WRITING, 0.5)
        assert not (tmp_path / "collections" / "photos" / "images.new").exists()


async def test_what_a_crash_left_is_cleared_away(tmp_path: Path) -> None:
    run = ClusteringRun("r1", RunState.RUNNING, RunStage.READING, 0.0, a_collection().created_at)
    async with opened(tmp_path) as store:
        for name in ("photos", "deleted"):
            await store.create_collection(a_collection(name))
            await store.upsert_images(name, numbered_images(5))
        await store.put_run("photos", run)
    collections = tmp_path / "collections"
    photos = collections / "photos"
    (collections / "deleted" / "collection.json").unlink()
    (collections / "half-made" / "images" / "segments").mkdir(parents=True)
    shutil.copytree(photos / "images", photos / "images.new")
    leftovers = [
        tmp_path / ".format.json.a1.tmp",
        photos / ".collection.json.x1.tmp",
        photos / "runs" / ".r1.json.x1.tmp",
    ]
    for leftover in leftovers:
        leftover.write_text("{")

    async with opened(tmp_path) as store:
        assert [each.id for each in await store.list_collections()] == ["photos"]
        assert sorted(each.name for each in collections.iterdir()) == ["photos"]
        assert not (photos / "images.new").exists()
        assert not any(leftover.exists() for leftover in leftovers)
        assert await store.count_images("photos", EVERY) == 5
        assert await store.list_runs("photos") == [run]
        for name in ("deleted", "half-made"):
            with pytest.raises(CollectionNotFound):
                await store.get_collection(name)
            await store.create_collection(a_collection(name))
            assert await store.count_images(name, EVERY) == 0


async def test_a_collection_half_made_in_this_process_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        with monkeypatch.context() as patched:
            patched.setattr(store, "_add", lambda _: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(StoreUnavailable, match="disk full"):
                await store.create_collection(a_collection("photos"))
        assert await store.list_collections() == []
        await store.create_collection(a_collection("photos"))
        assert await store.count_images("photos", EVERY) == 0


@pytest.mark.parametrize("stage", ["between the renames", "after them"])
async def test_a_crash_while_an_index_takes_its_place_loses_nothing(tmp_path: Path, stage: str) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(5))
    place = tmp_path / "collections" / "photos"
    shutil.copytree(place / "images", place / "whole")
    if stage == "between the renames":
        (place / "images").rename(place / "images.old")
        (place / "whole").rename(place / "images.new")
    else:
        # The removal of the old shard had begun.
        (place / "whole").rename(place / "images.old")
        shutil.rmtree(place / "images.old" / "segments")
    async with opened(tmp_path) as store:
        assert await store.count_images("photos", EVERY) == 5
    assert not (place / "images.old").exists()
    assert not (place / "images.new").exists()


# Index builds.


async def until_built(caplog: pytest.LogCaptureFixture, times: int = 1) -> None:
    while sum("built the search index" in record.message for record in caplog.records) < times:
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR], caplog.text
        await asyncio.sleep(0.05)


async def test_an_index_is_built_while_the_store_is_read_and_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="shoal_server")
    images = numbered_images(3000, lambda i: i % 7 or None)
    async with opened(tmp_path, threshold_kb=50) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", images)
        await store.optimize("photos")
        await store.optimize("photos")
        copy = tmp_path / "collections" / "photos" / "images.new"
        while not copy.exists():
            await asyncio.sleep(0.001)
        new = an_image(5000)
        await store.upsert_images("photos", [(new, images[0][1])])
        await store.set_cluster("photos", 99, [images[1][0].id])
        await store.set_cluster("photos", None, [images[2][0].id])
        await store.delete_images("photos", [images[3][0].id])
        await until_built(caplog)

        changed = {1: replace(images[1][0], cluster_id=99), 2: replace(images[2][0], cluster_id=None)}
        expected = {image.id: changed.get(i, image) for i, (image, _) in enumerate(images) if i != 3} | {new.id: new}
        ids = [image.id for image, _ in images] + [new.id]
        assert await store.get_images("photos", ids) == expected
        assert await store.count_images("photos", EVERY) == 3000
        assert await store.count_by_cluster("photos") == {**dict.fromkeys(range(1, 7), 0), 99: 1} | {
            cluster: sum(image.cluster_id == cluster for image in expected.values()) for cluster in range(1, 7)
        }
        query = unit_vectors(1, seed=8)[0]
        best = max(images[4:], key=lambda each: float(each[1] @ query))[0]
        found = await store.query_images("photos", query, EVERY, 3)
        assert best.id in [each.image.id for each in found]
        await store.upsert_images("photos", [(an_image(6000), images[0][1])])
    assert not copy.exists()
    async with opened(tmp_path) as store:
        assert await store.count_images("photos", EVERY) == 3001
        assert await store.get_images("photos", ids) == expected


async def test_no_index_is_built_below_the_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Path] = []

    async def worker(folder: Path, dimension: int, threshold_kb: int) -> None:
        started.append(folder)

    monkeypatch.setattr(indexing_module, "_run_worker", worker)
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(100))
        await store.optimize("photos")
        await asyncio.sleep(0.2)
    assert started == []


async def test_requests_during_a_build_lead_to_one_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="shoal_server")
    go_on, started = asyncio.Event(), asyncio.Event()
    builds: list[Path] = []

    async def worker(folder: Path, dimension: int, threshold_kb: int) -> None:
        builds.append(folder)
        started.set()
        await go_on.wait()

    monkeypatch.setattr(indexing_module, "_run_worker", worker)
    async with opened(tmp_path, threshold_kb=0) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(10))
        await store.optimize("photos")
        await started.wait()
        for _ in range(5):
            await store.optimize("photos")
        go_on.set()
        await until_built(caplog, times=2)
        await asyncio.sleep(0.1)
        assert len(builds) == 2
        assert await store.count_images("photos", EVERY) == 10


async def test_a_failed_build_is_logged_and_the_store_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def worker(folder: Path, dimension: int, threshold_kb: int) -> None:
        raise RuntimeError("no space")

    async with opened(tmp_path, threshold_kb=0) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(10))
        with monkeypatch.context() as patched:
            patched.setattr(indexing_module, "_run_worker", worker)
            await store.optimize("photos")
            while not caplog.records:
                await asyncio.sleep(0.01)
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert "photos" in record.message
        assert record.exc_info is not None
        assert "no space" in str(record.exc_info[1])
        await store.upsert_images("photos", [(an_image(50), unit_vectors(1)[0])])
        assert await store.count_images("photos", EVERY) == 11
        assert not (tmp_path / "collections" / "photos" / "images.new").exists()


async def test_the_worker_says_why_it_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="status 1"):
        await indexing_module._run_worker(tmp_path / "absent", 8, 0)


@pytest.mark.parametrize("end", ["close", "delete"])
async def test_closing_and_deleting_stop_a_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def worker(folder: Path, dimension: int, threshold_kb: int) -> None:
        started.set()
        try:
            await asyncio.sleep(600)
        finally:
            stopped.set()

    monkeypatch.setattr(indexing_module, "_run_worker", worker)
    async with opened(tmp_path, threshold_kb=0) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(10))
        await store.optimize("photos")
        await started.wait()
        if end == "delete":
            await store.delete_collection("photos")
            assert stopped.is_set()
            await store.create_collection(a_collection("photos"))
            assert await store.count_images("photos", EVERY) == 0
    assert stopped.is_set()
    assert not (tmp_path / "collections" / "photos" / "images.new").exists()


async def test_writers_and_readers_at_the_same_time(tmp_path: Path) -> None:
    images = numbered_images(600)
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))

        async def read() -> None:
            for _ in range(20):
                await store.query_images("photos", images[0][1], EVERY, 5)
                await store.count_by_cluster("photos")

        async with asyncio.TaskGroup() as tasks:
            for start in range(0, 600, 100):
                tasks.create_task(store.upsert_images("photos", images[start : start + 100]))
            tasks.create_task(read())
            tasks.create_task(read())
        assert await all_ids(store) == {str(image.id) for image, _ in images}

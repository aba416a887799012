"""What only the store on a folder does: locks, formats, crashes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import qdrant_edge as edge

from shoal_server.adapters.edge_store import EdgeStore, points, room
from shoal_server.adapters.edge_store.upgrading import upgrade_images
from shoal_server.domain.errors import (
    CollectionExists,
    CollectionNotFound,
    CorrectionNotFound,
    FolderInUse,
    RunNotFound,
    ShuttingDown,
    StoreIncompatible,
    StoreUnavailable,
)
from shoal_server.domain.filters import ImageFilter, OneOf
from shoal_server.domain.groupings import Groupings
from shoal_server.domain.payload import INDEXED, PLACE_ID
from shoal_server.domain.run import ClusteringRun, RunStage, RunState
from tests.contract.conftest import (
    a_cluster,
    a_collection,
    a_correction,
    an_image,
    numbered_images,
    opened,
    some_groupings,
    unit_vectors,
)

EVERY = ImageFilter()
#: Indexed fields that versions before did not write.
LATER_FIELDS = [
    "place_id",
    "moment_id",
    "captured_local",
    "captured_year",
    "local_time",
    "frame_count",
    "altitude_m",
    "phash",
]
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
    async with opened(tmp_path) as store:
        with pytest.raises(StoreIncompatible, match=r"collection\.json cannot be read .*put this file back"):
            await store.count_images("photos", EVERY)


@pytest.mark.parametrize(
    ("harm", "cause"),
    [
        (lambda place: (place / "images" / "edge_config.json").write_bytes(b""), "restore that folder from a backup"),
        (lambda place: (place / "clusters" / "edge_config.json").write_bytes(b""), "restore that folder"),
        (lambda place: shutil.rmtree(place / "images"), "cannot be opened"),
        (lambda place: (place / "collection.json").write_text("{"), "put this file back"),
        (lambda place: (place / "collection.json").unlink(), r"collection\.json is gone"),
        (lambda place: (place / "collection.json").rename(place / "arriving.json"), r"arriving\.json cannot be read"),
    ],
    ids=["shard of images", "shard of clusters", "no images", "record", "no record", "arrival"],
)
async def test_a_collection_that_cannot_be_opened_is_set_aside_and_the_others_are_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], object], cause: str
) -> None:
    async with opened(tmp_path) as store:
        for name in ("dogs", "photos"):
            await store.create_collection(a_collection(name))
            await store.upsert_images(name, numbered_images(5))
            await store.put_correction(name, a_correction("c1"))
    place = tmp_path / "collections" / "photos"
    copy = tmp_path / "copy"
    shutil.copytree(place, copy)
    harm(place)
    for _ in range(2):
        caplog.clear()
        async with opened(tmp_path) as store:
            assert await store.count_images("dogs", EVERY) == 5
            assert [each.id for each in await store.list_collections()] == ["dogs", "photos"]
            problem = (await store.get_collection("photos")).unusable
            assert "'photos' cannot be used" in problem
            assert problem in caplog.text
            for asked in (store.count_images("photos", EVERY), store.list_corrections("photos")):
                with pytest.raises(StoreIncompatible, match=cause):
                    await asked
            with pytest.raises(CollectionExists):
                await store.create_collection(a_collection("photos"))
    assert (place / "corrections" / "c1.json").exists()
    shutil.rmtree(place)
    copy.rename(place)
    async with opened(tmp_path) as store:
        assert await store.count_images("photos", EVERY) == 5
        assert (await store.get_collection("photos")).unusable == ""


async def test_a_collection_that_cannot_be_opened_can_be_deleted(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
    place = tmp_path / "collections" / "photos"
    (place / "collection.json").write_text("{")
    async with opened(tmp_path) as store:
        await store.delete_collection("photos")
        assert not place.exists()
        assert await store.list_collections() == []
        with pytest.raises(CollectionNotFound):
            await store.delete_collection("photos")
        await store.create_collection(a_collection("photos"))
        assert await store.count_images("photos", EVERY) == 0


async def test_a_deletion_that_a_crash_cut_short_is_ended_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(5))
        with monkeypatch.context() as patch:
            patch.setattr(room, "remove", lambda folder: shutil.rmtree(folder / "images"))
            await store.delete_collection("photos")
    assert (tmp_path / "collections" / "photos" / "clusters").exists()
    async with opened(tmp_path) as store:
        assert await store.list_collections() == []
    assert not (tmp_path / "collections" / "photos").exists()


async def test_a_folder_that_is_no_collections_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
    collections = tmp_path / "collections"
    shutil.copytree(collections / "photos", collections / "photos.kept")
    async with opened(tmp_path) as store:
        assert [each.id for each in await store.list_collections()] == ["photos"]
        shutil.copytree(collections / "photos" / "images", collections / "cats" / "images")
        with pytest.raises(StoreIncompatible, match="move it away"):
            await store.create_collection(a_collection("cats"))
    assert (collections / "photos.kept" / "collection.json").exists()
    assert (collections / "cats").exists()


async def test_the_old_shard_stays_until_the_new_one_is_known_to_be_readable(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
    place = tmp_path / "collections" / "photos"
    shutil.copytree(place / "images", place / "images.old")
    (place / "images" / "edge_config.json").write_bytes(b"")
    async with opened(tmp_path) as store:
        assert (await store.get_collection("photos")).unusable
    assert (place / "images.old" / "edge_config.json").stat().st_size > 0


async def test_a_damaged_run_record_is_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        (tmp_path / "collections" / "photos" / "runs" / "r1.json").write_text("{}")
        with pytest.raises(StoreIncompatible, match=r"r1\.json"):
            await store.get_run("photos", "r1")
        with pytest.raises(RunNotFound):
            await store.get_run("photos", "../collection")


async def test_an_id_that_would_lead_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        await store.put_run(
            "photos", ClusteringRun("r1", RunState.RUNNING, RunStage.READING, 0.0, a_collection().created_at)
        )
        for name in ("../collection", "../runs/r1", "", "a/b", "."):
            with pytest.raises(CorrectionNotFound):
                await store.put_correction("photos", a_correction(name))
            with pytest.raises(RunNotFound):
                await store.put_groupings("photos", name, some_groupings())
            await store.delete_run("photos", name)
            await store.delete_groupings("photos", name)
            await store.delete_correction("photos", name)
            assert await store.get_groupings("photos", name) == Groupings()
        assert [run.id for run in await store.list_runs("photos")] == ["r1"]
    async with opened(tmp_path) as store:
        assert [each.id for each in await store.list_collections()] == ["photos"]


@pytest.mark.parametrize("content", ["", "{}", '{"themes": [{}], "places": [], "moments": []}', "[]"])
async def test_damaged_groupings_and_corrections_are_named(tmp_path: Path, content: str) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        await store.put_groupings("photos", "r1", some_groupings())
        await store.put_correction("photos", a_correction("c1"))
        place = tmp_path / "collections" / "photos"
        (place / "groupings" / "r1.json").write_text(content)
        (place / "corrections" / "c1.json").write_text(content)
        with pytest.raises(StoreIncompatible, match=r"r1\.json"):
            await store.get_groupings("photos", "r1")
        with pytest.raises(StoreIncompatible, match=r"c1\.json"):
            await store.get_correction("photos", "c1")
        with pytest.raises(StoreIncompatible, match=r"c1\.json"):
            await store.list_corrections("photos")


async def test_a_collection_of_the_first_version_is_opened(tmp_path: Path) -> None:
    """It has a record and runs without the later fields, no folders for the rest and no indexes of the later fields."""
    images = numbered_images(20, lambda i: i % 3 or None)
    run = ClusteringRun("r1", RunState.SUCCEEDED, RunStage.WRITING, 1.0, a_collection().created_at)
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", images)
        await store.put_run("photos", run)
        for name in LATER_FIELDS:
            store._room("photos").images.update(edge.UpdateOperation.delete_field_index(name))
        older = points.of_ids([image.id for image, _ in images])
        store._room("photos").images.update(
            edge.UpdateOperation.delete_payload_by_filter(older, [*LATER_FIELDS, "attributes", "also_at"])
        )
    place = tmp_path / "collections" / "photos"
    assert not (place / "corrections").exists()
    for path, later in (
        (place / "collection.json", ("next_theme_id", "next_place_id", "next_moment_id", "schedule")),
        (
            place / "runs" / "r1.json",
            (
                *("kind", "trigger", "parent", "lineage", "held_because", "trials", "quality", "timings"),
                *("activated_at", "sampled"),
            ),
        ),
    ):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in record.items() if name not in later}))

    async with opened(tmp_path) as store:
        assert await store.get_collection("photos") == a_collection("photos")
        assert await store.list_runs("photos") == [run]
        assert await store.list_corrections("photos") == []
        assert await store.get_groupings("photos", "r1") == Groupings()
        await store.put_correction("photos", a_correction("c1"))
        await store.put_groupings("photos", "r1", some_groupings())
        await store.set_group("photos", PLACE_ID, 5, [image.id for image, _ in images[:7]])
        assert await store.count_images("photos", ImageFilter(places=(5,))) == 7
        assert set(store._room("photos").images.info().payload_schema) == set(INDEXED)
    async with opened(tmp_path) as store:
        assert await store.list_corrections("photos") == [a_correction("c1")]
        assert await store.get_groupings("photos", "r1") == some_groupings()
        assert await store.count_images("photos", ImageFilter(places=(5,))) == 7


async def test_images_of_an_older_version_are_found_by_what_it_did_not_write(tmp_path: Path) -> None:
    times = ["2020-02-03T04:05:06", "2019-07-08T09:10:11.5+02:00", None]
    images = [
        (replace(image, metadata=replace(image.metadata, captured_at=times[i % 3])), vector)
        for i, (image, vector) in enumerate(numbered_images(3000))
    ]
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", images)
        shard = store._room("photos").images
        for name in (*LATER_FIELDS, "orientation"):
            shard.update(edge.UpdateOperation.delete_field_index(name))
            shard.update(edge.UpdateOperation.delete_payload_by_filter(edge.Filter(), [name]))
        broken = points.of_ids([images[0][0].id])
        shard.update(edge.UpdateOperation.set_payload_by_filter(broken, {"captured_at": "rubbish"}))
    for _ in range(2):
        async with opened(tmp_path) as store:
            assert await store.count_by("photos", "captured_year", EVERY) == {2020: 999, 2019: 1000}
            local = ImageFilter(conditions=(OneOf("local_time", (True,)),))
            assert await store.count_images("photos", local) == 999
            [first], _ = await store.page_by_capture("photos", EVERY, None, 1, descending=False)
            assert first.metadata.captured_at == times[1]
            assert first.metadata.frame_count == 1
            assert first.phash is None
            shard = store._room("photos").images
            assert set(shard.info().payload_schema) == set(INDEXED)
            watched = Mock(info=shard.info)
            upgrade_images(watched)
            watched.update.assert_not_called()
            watched.scroll.assert_not_called()


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
    places = {image.id: 6 for image, _ in images[40:60]}
    kept = {
        image.id: replace(image, cluster_id=clusters.get(image.id), place_id=places.get(image.id))
        for image, _ in images[:690]
    }
    async with opened(tmp_path) as store:
        assert await store.get_images("photos", [image.id for image, _ in images]) == kept
        vectors = await store.get_vectors("photos", list(kept))
        for image, vector in images[:690]:
            np.testing.assert_allclose(vectors[image.id], vector, atol=1e-6)
        assert await store.count_by_cluster("photos") == {3: 50, 4: 5}
        assert await store.get_clusters("photos", "r1") == [a_cluster(3), a_cluster(4)]
        assert await store.get_groupings("photos", "r1") == some_groupings()
        assert await store.list_corrections("photos") == [a_correction("c1")]
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
        await store.put_groupings("photos", "r1", some_groupings())
        await store.put_correction("photos", a_correction("c1"))
    collections = tmp_path / "collections"
    photos = collections / "photos"
    (collections / "deleted" / "collection.json").unlink()
    (collections / "deleted" / "disposable").touch()
    (collections / "half-made" / "images" / "segments").mkdir(parents=True)
    shutil.copytree(photos / "images", photos / "images.new")
    leftovers = [
        tmp_path / ".format.json.a1.tmp",
        photos / ".collection.json.x1.tmp",
        photos / "runs" / ".r1.json.x1.tmp",
        photos / "groupings" / ".r1.json.x1.tmp",
        photos / "corrections" / ".c1.json.x1.tmp",
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
        assert await store.list_corrections("photos") == [a_correction("c1")]
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


@pytest.mark.parametrize("others_ask", [False, True])
async def test_a_scan_rests_while_others_ask_for_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others_ask: bool
) -> None:
    sleep, rests = asyncio.sleep, list[float]()

    async def noted(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(40))
        monkeypatch.setattr(asyncio, "sleep", noted)
        parts = 0
        async for _ in store.scan_vectors("photos", batch=4):
            parts += 1
            if others_ask and parts == 3:
                await store.query_images("photos", unit_vectors(1)[0], EVERY, 5)
    rests = rests[: parts - 1]
    assert parts == 10
    # The question came between the third part and the fourth; from then on there may be more.
    assert [rest > 0 for rest in rests] == [False, False, *[others_ask] * 7]

"""Index builds of the store on a folder."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

import shoal_server.adapters.edge_store.indexing as indexing_module
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.edge_store.index_worker import build_index
from shoal_server.domain.filters import ImageFilter, Within
from shoal_server.domain.payload import CAPTURED_YEAR, CLUSTER_ID
from tests.contract.conftest import (
    DIMENSION,
    a_collection,
    an_image,
    numbered_images,
    opened,
    unit_vectors,
)
from tests.contract.test_image_filters import AREAS, CONDITIONS, an_archive, check

EVERY = ImageFilter()


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
        await store.set_group("photos", CLUSTER_ID, 99, [images[1][0].id])
        await store.set_group("photos", CLUSTER_ID, None, [images[2][0].id])
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


def everything_in(folder: Path) -> dict[int, Path]:
    """All files and folders, by their inodes."""
    return {path.stat().st_ino: path for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Inodes of what this process made durable."""
    inodes: set[int] = set()
    works = os.fsync

    def noted(descriptor: int) -> None:
        works(descriptor)
        inodes.add(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    return inodes


async def test_the_new_shard_is_durable_before_it_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synced: set[int]
) -> None:
    renames: list[str] = []
    not_durable: list[Path] = []
    works = Path.rename

    def noted(path: Path, target: Path) -> Path:
        if not renames and path.name == "images":
            new = everything_in(path.with_name("images.new"))
            not_durable.extend(new[inode] for inode in new.keys() - synced)
        renames.append(path.name)
        return works(path, target)

    async with opened(tmp_path, threshold_kb=1) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(300))
        monkeypatch.setattr(Path, "rename", noted)
        await store.optimize("photos")
        await store.indexed("photos")
        assert renames == ["images", "images.new"]
        assert not_durable == []
        assert await store.count_images("photos", EVERY) == 300


async def test_the_worker_makes_durable_what_it_has_not_changed_too(tmp_path: Path, synced: set[int]) -> None:
    async with opened(tmp_path) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(300))
    images = tmp_path / "collections" / "photos" / "images"
    synced.clear()
    build_index(str(images), DIMENSION, 40_000)
    assert everything_in(images).keys() <= synced


async def test_filters_counts_and_orders_mean_the_same_with_an_index(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="shoal_server")
    images = an_archive()
    async with opened(tmp_path, threshold_kb=1) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", list(zip(images, unit_vectors(len(images)), strict=True)))

        async def answers() -> list[object]:
            years = await store.count_by("photos", CAPTURED_YEAR, EVERY)
            tags = await store.count_by("photos", "tags", ImageFilter(clusters=(1, 2)))
            pages = [await store.page_by_capture("photos", EVERY, None, 40, way) for way in (False, True)]
            return [years, tags, *pages]

        before = await answers()
        await store.optimize("photos")
        await until_built(caplog)
        assert await answers() == before
        conditions = [each for each, _ in CONDITIONS] + [Within("location", area) for area, _ in AREAS]
        for condition in conditions:
            await check(store, "photos", images, ImageFilter(conditions=(condition,)))


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


async def test_what_is_stored_bit_by_bit_gets_an_index_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="shoal_server")
    builds: list[int] = []

    async def worker(folder: Path, dimension: int, threshold_kb: int) -> None:
        builds.append(threshold_kb)

    monkeypatch.setattr(indexing_module, "_run_worker", worker)
    images = numbered_images(1_200)
    async with opened(tmp_path, threshold_kb=30) as store:
        await store.create_collection(a_collection("photos"))
        for start in range(0, 900, 100):
            await store.upsert_images("photos", images[start : start + 100])
        await store.indexed("photos")
        assert builds == []
        await store.upsert_images("photos", images[900:])
        await store.indexed("photos")
        assert builds == [30]
        assert await store.count_images("photos", EVERY) == 1_200


async def test_an_index_that_few_new_images_lack_is_built_only_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await EdgeStore.open(tmp_path, 1)
    built: list[Path] = []

    async def worker(folder: Path, dimension: int, threshold_kb: int) -> None:
        built.append(folder)

    monkeypatch.setattr(indexing_module, "_run_worker", worker)
    # As if there were so many with an index that a thousand more are a small part of all.
    monkeypatch.setattr("shoal_server.adapters.edge_store.store._UNINDEXED_SHARE", 1.1)
    try:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(1_000))
        await store.indexed("photos")
        assert built == []
        await store.optimize("photos")
        await store.indexed("photos")
        assert len(built) == 1
    finally:
        await store.close()


async def test_images_that_a_run_wrote_to_get_their_index_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="shoal_server")
    images = numbered_images(600)
    async with opened(tmp_path, threshold_kb=8) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", images)
        await store.optimize("photos")
        await until_built(caplog)
        await store.optimize("photos")
        await store.indexed("photos")
        await store.set_group("photos", CLUSTER_ID, 7, [image.id for image, _ in images[:300]])

    builds: list[Path] = []

    async def worker(folder: Path, dimension: int, threshold_kb: int) -> None:
        builds.append(folder)

    monkeypatch.setattr(indexing_module, "_run_worker", worker)
    async with opened(tmp_path, threshold_kb=8) as store:
        await store.optimize("photos")
        await store.indexed("photos")
        assert len(builds) == 1
        await store.optimize("photos")
        await store.indexed("photos")
        assert len(builds) == 1


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

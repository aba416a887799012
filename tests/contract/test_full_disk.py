"""What the embedded store does when the disk is full."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.free_space import DiskSpace
from shoal_server.application.ports import FreeSpace, Purpose
from shoal_server.domain.errors import StoreFull
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.payload import CLUSTER_ID
from tests.contract.conftest import a_cluster, a_collection, numbered_images
from tests.small_disk import SmallDisk, mounted

MEBIBYTE = 1 << 20
ROOT = Path(__file__).resolve().parents[2]


class Room(FreeSpace):
    """Has room for some purposes only."""

    def __init__(self) -> None:
        self.refused: set[Purpose] = set()

    def check(self, purpose: Purpose, needed: int = 0) -> None:
        if purpose in self.refused:
            raise StoreFull("the test")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted(tmp_path / "disk", 300 * MEBIBYTE) as small:
        yield small


async def store_until_full(folder: Path, min_free_bytes: int) -> tuple[list[str], int]:
    """The lines that the process printed, and how it ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.contract.stores_until_full", str(folder), str(min_free_bytes)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return said.decode().split(), process.returncode


async def test_with_a_reserve_writes_are_refused_before_the_disk_is_full(disk: SmallDisk) -> None:
    reserve = 32 * MEBIBYTE
    said, status = await store_until_full(disk.folder / "data", reserve)
    assert (said[-1], status) == ("STORE_FULL", 0)
    acknowledged = int(said[-2])
    assert disk.free > reserve // 2
    store = await EdgeStore.open(disk.folder / "data", space=DiskSpace(disk.folder, reserve))
    images = numbered_images(acknowledged + 10)
    assert await store.count_images("photos", ImageFilter()) == acknowledged
    # Ids can be written, and images removed, with what is left.
    ids = [image.id for image, _ in images[:50]]
    await store.set_group("photos", CLUSTER_ID, 3, ids)
    await store.delete_images("photos", ids[:20])
    with pytest.raises(StoreFull, match="no space left"):
        await store.upsert_images("photos", images[-10:])
    disk.make_room()
    await store.upsert_images("photos", images[-10:])
    assert await store.count_images("photos", ImageFilter()) == acknowledged - 20 + 10
    assert await store.count_by_cluster("photos") == {3: 30}
    await store.close()


async def test_without_one_a_full_disk_ends_the_process_and_loses_nothing(disk: SmallDisk) -> None:
    said, status = await store_until_full(disk.folder / "data", 0)
    # Qdrant Edge writes to files with holes that are mapped into memory: where the disk has no room for what is
    # written, the system ends the process. This is why there is a reserve.
    assert status == -signal.SIGBUS or said[-1] == "STORE_FULL"
    acknowledged = int([line for line in said if line.isdigit()][-1])
    disk.make_room()
    store = await EdgeStore.open(disk.folder / "data")
    images = numbered_images(acknowledged)
    found = await store.get_images("photos", [image.id for image, _ in images])
    assert len(found) == acknowledged
    await store.upsert_images("photos", numbered_images(acknowledged + 10)[-10:])
    await store.close()


async def test_what_finishes_and_what_makes_room_may_go_on_where_nothing_new_is_taken(tmp_path: Path) -> None:
    room = Room()
    store = await EdgeStore.open(tmp_path, space=room)
    await store.create_collection(a_collection("photos"))
    images = numbered_images(20)
    ids = [image.id for image, _ in images]
    await store.upsert_images("photos", images)
    await store.put_clusters("photos", "r1", [a_cluster(3), a_cluster(4)])
    room.refused = {Purpose.GROW}
    for growing in (
        store.upsert_images("photos", images),
        store.put_clusters("photos", "r2", [a_cluster(3)]),
        store.create_collection(a_collection("others")),
    ):
        with pytest.raises(StoreFull):
            await growing
    await store.set_group("photos", CLUSTER_ID, 3, ids[:5])
    await store.put_cluster("photos", "r1", a_cluster(4))
    await store.delete_images("photos", ids[10:])
    await store.delete_clusters("photos", "r1")
    record = await store.get_collection("photos")
    await store.update_collection(replace(record, version=record.version + 1))
    room.refused = {Purpose.GROW, Purpose.FINISH}
    for finishing in (store.set_group("photos", CLUSTER_ID, 4, ids[:5]), store.delete_images("photos", ids)):
        with pytest.raises(StoreFull):
            await finishing
    assert await store.count_by_cluster("photos") == {3: 5}
    assert await store.count_images("photos", ImageFilter()) == 10
    # A collection can always be removed.
    await store.delete_collection("photos")
    assert await store.list_collections() == []
    await store.close()
    room.refused = {Purpose.OPEN}
    with pytest.raises(StoreFull):
        await EdgeStore.open(tmp_path, space=room)


async def test_an_index_is_not_built_where_its_copy_has_no_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    room = Room()
    store = await EdgeStore.open(tmp_path, indexing_threshold_kb=0, space=room)
    await store.create_collection(a_collection("photos"))
    await store.upsert_images("photos", numbered_images(300))
    room.refused = {Purpose.GROW}
    with caplog.at_level(logging.WARNING):
        await store.optimize("photos")
        async with asyncio.timeout(20):
            while "gets no search index" not in caplog.text:
                await asyncio.sleep(0.01)
    assert not (tmp_path / "collections" / "photos" / "images.new").exists()
    await store.close()


def test_a_start_without_room_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(StoreFull, match=r"must be free for a start.*SHOAL_MIN_FREE_BYTES"):
        DiskSpace(tmp_path, 2**60).check(Purpose.OPEN)
    with pytest.raises(StoreFull, match="send it again"):
        DiskSpace(tmp_path, 2**60).check(Purpose.GROW)

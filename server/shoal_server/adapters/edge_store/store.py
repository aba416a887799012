"""The Store port on Qdrant Edge."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

import qdrant_edge as edge

from shoal_server.adapters.edge_store import files, points, room
from shoal_server.adapters.edge_store.clusters import EdgeClusters
from shoal_server.adapters.edge_store.engine import Engine, disk_was_full
from shoal_server.adapters.edge_store.folder_format import bring_up_to_date
from shoal_server.adapters.edge_store.history import EdgeHistory
from shoal_server.adapters.edge_store.images import EdgeImages
from shoal_server.adapters.edge_store.indexing import Indexing
from shoal_server.adapters.edge_store.setting_aside import record_is_gone, set_aside
from shoal_server.adapters.edge_store.snapshots import SNAPSHOTS, EdgeSnapshots
from shoal_server.application.ports import FreeSpace, Purpose
from shoal_server.domain.collection import Collection, check_collection_id, is_collection_id
from shoal_server.domain.errors import CollectionExists, CollectionNotFound, RecordChanged, StoreIncompatible
from shoal_server.domain.image import Image, Vector
from shoal_server.domain.lease import Fence
from shoal_server.domain.payload import INDEXED, FieldType

_log = logging.getLogger(__name__)

#: Below 10 MB of vectors without an index (5,000 of 512 dimensions, about 2.5 ms a query) search is exact.
INDEXING_THRESHOLD_KB = 10_000
#: New images after which the store asks itself whether to build an index, and how large a share of all must have none.
_ASK_AFTER, _UNINDEXED_SHARE = 1_000, 0.05
#: What an empty collection takes on the disk, measured: its indexes above all.
_FRESH_BYTES = 64 << 20


class EdgeStore(EdgeImages, EdgeClusters, EdgeHistory, EdgeSnapshots):
    """Collections in a folder that belongs to this process alone.

    What has been acknowledged is in a write-ahead log or in a file that was written whole, and survives the end of the
    process at any moment.
    """

    def __init__(self, folder: Path, lock: IO[str], engine: Engine, indexing: Indexing) -> None:
        super().__init__(engine)
        self._folder = folder
        self._collections = folder / "collections"
        self._lock = lock
        self._indexing = indexing
        self._making = asyncio.Lock()

    @classmethod
    async def open(
        cls, folder: Path, indexing_threshold_kb: int = INDEXING_THRESHOLD_KB, space: FreeSpace | None = None
    ) -> Self:
        """Opens a folder, which is made if it does not exist, and puts right what a crash has left in it.

        Args:
            folder: the data folder.
            indexing_threshold_kb: kilobytes of vectors in a collection beyond which :meth:`optimize` builds an index.
            space: asked before every write; None: nobody is, and a full disk ends the process.

        Raises:
            FolderInUse: another process, or another store of this one, has it open.
            StoreIncompatible: a newer version wrote it, or its own record is damaged. A collection that cannot be
                opened is set aside: it is listed, and can be deleted, and whatever else is asked of it says why.
            StoreFull: there is too little room to open it.
            StoreUnavailable: the folder cannot be read or written.
        """
        engine = Engine(folder, space)
        try:
            lock = await engine.run(lambda: _lock(folder))
        except BaseException:
            engine.shut_down()
            raise
        store = cls(folder, lock, engine, Indexing(engine, indexing_threshold_kb))
        try:
            await engine.run(store._load)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Stops index builds, makes everything durable and lets go of the folder."""
        for each in list(self._rooms.values()):
            await self._indexing.stop(each)
        try:
            await self._engine.run(self._close)
        finally:
            self._engine.shut_down()

    async def upsert_images(self, collection: str, images: Sequence[tuple[Image, Vector]]) -> None:
        """As the port has it. What is stored bit by bit gets an index too, without anybody asking for it."""
        await super().upsert_images(collection, images)
        found = self._rooms.get(collection)
        if found is None:
            return
        found.unasked += len(images)
        if found.unasked >= _ASK_AFTER:
            found.unasked = 0
            self._indexing.request(found, _UNINDEXED_SHARE)

    async def create_collection(self, collection: Collection) -> None:
        """Makes the room for its images and clusters, payload indexes first, then the record.

        Raises:
            CollectionExists: there is one of that id.
            InvalidName: the id is not of the form of one.
            StoreIncompatible: one of that id is being moved here, or its folder is somebody else's.
        """
        async with self._making:
            new = await self._make(collection)
            await self._engine.run(lambda: self._add(new))

    async def get_collection(self, collection: str) -> Collection:
        """Raises:
        CollectionNotFound: there is none of that id.
        """
        return await self._engine.run(lambda: self._aside.get(collection) or self._room(collection).record)

    async def list_collections(self) -> list[Collection]:
        """All, by id, those included that cannot be opened."""
        return await self._engine.run(
            lambda: sorted(
                (*(each.record for each in self._rooms.values()), *self._aside.values()), key=lambda record: record.id
            )
        )

    async def update_collection(self, collection: Collection, fence: Fence | None = None) -> None:
        """Replaces the record of an existing collection, if this is its next version.

        The folder is one server's, so that there are no leases and a fence always holds.
        """
        await self._within(collection.id, lambda found: _replace(found, collection))

    async def delete_collection(self, collection: str) -> None:
        """Removes the record first, then images, clusters, runs, groupings and corrections.

        Raises:
            CollectionNotFound: there is none of that id.
        """
        if collection in self._aside:
            await self._engine.run(lambda: self._delete_aside(collection))
            return
        found = self._room(collection)
        await self._indexing.stop(found)
        async with found.writing:
            await self._within(collection, lambda _: self._rooms.pop(collection).delete())

    async def optimize(self, collection: str) -> None:
        """Asks for the index to be rebuilt, if enough vectors are without one; returns at once."""
        self._indexing.request(self._room(collection))

    async def indexed(self, collection: str) -> None:
        """Waits until no index of a collection is asked for or being built."""
        await self._indexing.settled(self._room(collection))

    def _load(self) -> None:
        self._engine.check_space(Purpose.OPEN)
        files.remove_temporaries(self._folder)
        bring_up_to_date(self._folder, self._collections)
        shutil.rmtree(self._folder / SNAPSHOTS, ignore_errors=True)
        self._collections.mkdir(exist_ok=True)
        for place in sorted(each for each in self._collections.iterdir() if each.is_dir()):
            if is_collection_id(place.name):
                self._load_one(place)
            else:
                _log.warning("the folder %s is no collection's: it is passed over", place)

    def _load_one(self, place: Path) -> None:
        try:
            if room.exists(place):
                self._rooms[place.name] = room.load(place)
            elif room.lost(place):
                raise record_is_gone(place)
            elif room.arriving(place) is None:
                room.remove(place)
        # The engine's panics are no Exceptions.
        except BaseException as error:
            if disk_was_full(error):
                raise
            aside = self._aside[place.name] = set_aside(place, error)
            _log.error("%s", aside.unusable)

    def _delete_aside(self, collection: str) -> None:
        if collection not in self._aside:
            raise CollectionNotFound(collection)
        room.delete(self._collections / collection)
        del self._aside[collection]

    def _close(self) -> None:
        try:
            while self._rooms:
                _, each = self._rooms.popitem()
                each.close()
        finally:
            self._lock.close()

    def _prepare(self, place: Path, collection: Collection) -> tuple[edge.EdgeShard, edge.EdgeShard]:
        if collection.id in self._rooms or collection.id in self._aside:
            raise CollectionExists(collection.id)
        if (arrival := room.arriving(place)) is not None:
            raise StoreIncompatible(
                f"the collection {collection.id!r} is half moved here from {arrival.source}; let `shoal migrate` "
                "finish that, or choose another name",
                collection=collection.id,
            )
        if room.lost(place):
            raise StoreIncompatible(
                f"there is a folder {place}, and this server did not make it; move it away, or choose another name",
                collection=collection.id,
            )
        if place.exists():
            room.remove(place)
        self._engine.check_space(Purpose.GROW, _FRESH_BYTES)
        room.begin(place)
        (place / room.RUNS).mkdir()
        dimension = collection.model.dimension
        images = points.create_shard(place / room.IMAGES, dimension)
        return images, points.create_shard(place / room.CLUSTERS, dimension)

    async def _make(self, collection: Collection) -> room.Room:
        """A collection that is empty, and does not exist yet."""
        place = self._collections / check_collection_id(collection.id)
        images, clusters = await self._engine.run(lambda: self._prepare(place, collection))
        for field, kind in INDEXED.items():
            await self._create_index(images, field, kind)
        for field, kind in points.CLUSTER_FIELDS.items():
            await self._create_index(clusters, field, kind)
        return room.Room(place, collection, images, clusters)

    async def _create_index(self, shard: edge.EdgeShard, field: str, kind: FieldType) -> None:
        await self._engine.run(lambda: shard.update(points.create_index(field, kind)))

    def _add(self, new: room.Room) -> None:
        new.establish()
        self._rooms[new.record.id] = new


def _replace(found: room.Room, collection: Collection) -> None:
    if collection.version != found.record.version + 1:
        raise RecordChanged(collection.id)
    found.save(collection)


def _lock(folder: Path) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return files.lock_folder(folder)

"""The Store port on Qdrant Edge."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import IO

import qdrant_edge as edge

from shoal_server.adapters.edge_store import files, points, room
from shoal_server.adapters.edge_store.clusters import EdgeClusters
from shoal_server.adapters.edge_store.engine import Engine
from shoal_server.adapters.edge_store.history import EdgeHistory
from shoal_server.adapters.edge_store.images import EdgeImages
from shoal_server.adapters.edge_store.indexing import Indexing
from shoal_server.domain.collection import Collection, check_collection_id
from shoal_server.domain.errors import CollectionExists
from shoal_server.domain.payload import INDEXED, FieldType

#: Below 40 MB of vectors without an index (20,000 of 512 dimensions, about 10 ms a query) search is exact.
INDEXING_THRESHOLD_KB = 40_000


class EdgeStore(EdgeImages, EdgeClusters, EdgeHistory):
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
    async def open(cls, folder: Path, indexing_threshold_kb: int = INDEXING_THRESHOLD_KB) -> EdgeStore:
        """Opens a folder, which is made if it does not exist, and puts right what a crash has left in it.

        Args:
            folder: the data folder.
            indexing_threshold_kb: kilobytes of vectors in a collection beyond which :meth:`optimize` builds an index.

        Raises:
            FolderInUse: another process, or another store of this one, has it open.
            StoreIncompatible: a newer version wrote it, or a record in it is damaged.
            StoreUnavailable: the folder cannot be read or written.
        """
        engine = Engine(folder)
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

    async def create_collection(self, collection: Collection) -> None:
        """Makes the room for its images and clusters, payload indexes first, then the record.

        Raises:
            CollectionExists: there is one of that id.
            InvalidName: the id is not of the form of one.
        """
        place = self._collections / check_collection_id(collection.id)
        async with self._making:
            images, clusters = await self._engine.run(lambda: self._prepare(place, collection))
            for field, kind in INDEXED.items():
                await self._create_index(images, field, kind)
            for field, kind in points.CLUSTER_FIELDS.items():
                await self._create_index(clusters, field, kind)
            await self._engine.run(lambda: self._add(room.Room(place, collection, images, clusters)))

    async def get_collection(self, collection: str) -> Collection:
        """Raises:
        CollectionNotFound: there is none of that id.
        """
        return await self._within(collection, lambda found: found.record)

    async def list_collections(self) -> list[Collection]:
        """All, by id."""
        return await self._engine.run(
            lambda: sorted((each.record for each in self._rooms.values()), key=lambda record: record.id)
        )

    async def update_collection(self, collection: Collection) -> None:
        """Replaces the record of an existing collection."""
        await self._within(collection.id, lambda found: found.save(collection))

    async def delete_collection(self, collection: str) -> None:
        """Removes the record first, then images, clusters, runs, groupings and corrections.

        Raises:
            CollectionNotFound: there is none of that id.
        """
        found = self._room(collection)
        await self._indexing.stop(found)
        async with found.writing:
            await self._within(collection, lambda _: self._rooms.pop(collection).delete())

    async def optimize(self, collection: str) -> None:
        """Asks for the index to be rebuilt, if enough vectors are without one; returns at once."""
        self._indexing.request(self._room(collection))

    def _load(self) -> None:
        files.remove_temporaries(self._folder)
        files.check_format(self._folder, self._collections)
        self._collections.mkdir(exist_ok=True)
        for place in sorted(each for each in self._collections.iterdir() if each.is_dir()):
            if room.exists(place):
                self._rooms[place.name] = room.load(place)
            else:
                shutil.rmtree(place)

    def _close(self) -> None:
        try:
            while self._rooms:
                _, each = self._rooms.popitem()
                each.close()
        finally:
            self._lock.close()

    def _prepare(self, place: Path, collection: Collection) -> tuple[edge.EdgeShard, edge.EdgeShard]:
        if collection.id in self._rooms:
            raise CollectionExists(collection.id)
        if place.exists():
            shutil.rmtree(place)
        (place / room.RUNS).mkdir(parents=True)
        dimension = collection.model.dimension
        images = points.create_shard(place / room.IMAGES, dimension)
        return images, points.create_shard(place / room.CLUSTERS, dimension)

    async def _create_index(self, shard: edge.EdgeShard, field: str, kind: FieldType) -> None:
        await self._engine.run(lambda: shard.update(points.create_index(field, kind)))

    def _add(self, new: room.Room) -> None:
        new.save(new.record)
        files.sync_folder(self._collections)
        self._rooms[new.record.id] = new


def _lock(folder: Path) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return files.lock_folder(folder)

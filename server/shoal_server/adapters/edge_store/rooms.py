"""The open collections of a store, and how to do something with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

from shoal_server.adapters.edge_store.engine import Engine
from shoal_server.adapters.edge_store.room import Room
from shoal_server.application.ports import Purpose
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import CollectionNotFound, StoreIncompatible, WrongDimension
from shoal_server.domain.image import Vector

T = TypeVar("T")
Item = TypeVar("Item")

#: Points in one upsert and in one read, so that no job stops the event loop for longer than about 50 ms.
UPSERT_BATCH = 256
READ_BATCH = 1024


class Rooms:
    """What the parts of the store share."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Changed on the engine's thread only.
        self._rooms: dict[str, Room] = {}
        # Records of collections that cannot be opened.
        self._aside: dict[str, Collection] = {}

    def _room(self, collection: str) -> Room:
        """Raises:
        CollectionNotFound: there is none of that id.
        StoreIncompatible: it cannot be opened.
        """
        found = self._rooms.get(collection)
        if found is not None:
            return found
        aside = self._aside.get(collection)
        if aside is not None:
            raise StoreIncompatible(aside.unusable, collection=collection)
        raise CollectionNotFound(collection)

    async def _within(self, collection: str, job: Callable[[Room], T]) -> T:
        """Runs a job in a collection that exists when it runs."""
        return await self._engine.run(lambda: job(self._room(collection)))

    async def _ask(self, collection: str, job: Callable[[Room], T]) -> T:
        """Runs a job that does nothing but ask the engine one question."""
        return await self._engine.run_at_once(lambda: job(self._room(collection)))

    async def _write_within(self, collection: str, job: Callable[[Room], T], purpose: Purpose) -> T:
        """Runs a job that writes points, if there is room for it."""

        def write(room: Room) -> T:
            # On the engine's thread: what was written before is counted.
            self._engine.check_space(purpose)
            return job(room)

        return await self._within(collection, write)

    async def _write_images(
        self,
        collection: str,
        items: Sequence[Item],
        batch: int,
        job: Callable[[Room, Sequence[Item]], None],
        purpose: Purpose,
    ) -> None:
        """Runs jobs that write images, in batches, while no index build copies or replaces the shard."""
        async with self._room(collection).writing:
            for start in range(0, len(items), batch):
                await self._write_batch(collection, items[start : start + batch], job, purpose)

    async def _write_batch(
        self, collection: str, batch: Sequence[Item], job: Callable[[Room, Sequence[Item]], None], purpose: Purpose
    ) -> None:
        await self._write_within(collection, lambda room: job(room, batch), purpose)


def check_dimension(record: Collection, vector: Vector) -> None:
    """Checks a vector before it is written or asked for.

    The engine logs an operation first and finds out only then that it cannot be done.

    Raises:
        WrongDimension: it is not of the collection's model.
    """
    if vector.shape != (record.model.dimension,):
        raise WrongDimension(vector.size, record.model.dimension, record.model.name)


def optional_id(following: int | UUID | str | None) -> UUID | None:
    """Where a scroll goes on; None at its end."""
    return None if following is None else UUID(str(following))

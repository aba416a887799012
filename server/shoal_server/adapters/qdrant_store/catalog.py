"""Records of collections, runs, groupings and corrections: points of one Qdrant collection.

A collection's record passes through three kinds, each reached by one atomic write: ``creating`` and ``deleting`` mark
what a crash may leave half done, so that Shoal never takes somebody else's Qdrant collection for its own leftovers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

from qdrant_client import models

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.connection import Connection
from shoal_server.domain import records
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import StoreIncompatible

T = TypeVar("T")

#: No collection's id has a dot, so that none can have this name.
CATALOG = "shoal.records"

CREATING = "creating"
READY = "collection"
DELETING = "deleting"
RUN = "run"
GROUPINGS = "groupings"
CORRECTION = "correction"

_PAGE = 256


class Catalog:
    """Reads and writes records."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client
        self._made = False
        self._making = asyncio.Lock()

    async def put_collection(self, kind: str, collection: Collection) -> None:
        """Writes a collection's record in one step."""
        await self._put(
            points.record_point(
                points.record_id(READY, collection.id), kind, collection.id, records.collection_to_record(collection)
            )
        )

    async def find_collection(self, collection: str) -> tuple[str, Collection] | None:
        """A collection's record and its kind, or None."""
        point = await self._find(points.record_id(READY, collection))
        return None if point is None else (_payload(point)[points.KIND], _decode(point, records.collection_from_record))

    async def collections(self, kind: str) -> list[Collection]:
        """Those whose record is of a kind, in no order."""
        condition = points.matching(kind=kind)
        return [_decode(point, records.collection_from_record) async for point in self._all(condition)]

    async def forget(self, collection: str) -> None:
        """Removes the records of what belongs to a collection and then its own."""
        with self._connection.translated():
            for kind in (RUN, GROUPINGS, CORRECTION):
                await self._client.delete(CATALOG, points.matching(kind=kind, collection=collection), wait=True)
            await self._client.delete(CATALOG, [points.record_id(READY, collection)], wait=True)

    async def put(self, kind: str, collection: str, identity: str, record: records.Record) -> None:
        """Writes a record of something that belongs to a collection in one step.

        Args:
            kind: ``RUN``, ``GROUPINGS`` or ``CORRECTION``.
            collection: which.
            identity: of what is recorded, unique among the collection's records of that kind.
            record: JSON values.
        """
        await self._put(points.record_point(points.record_id(kind, collection, identity), kind, collection, record))

    async def find(
        self, kind: str, collection: str, identity: str, decode: Callable[[Mapping[str, Any]], T]
    ) -> T | None:
        """What a record stands for, or None."""
        point = await self._find(points.record_id(kind, collection, identity))
        return None if point is None else _decode(point, decode)

    async def all(self, kind: str, collection: str, decode: Callable[[Mapping[str, Any]], T]) -> list[T]:
        """All records of a kind that belong to a collection, in no order."""
        condition = points.matching(kind=kind, collection=collection)
        return [_decode(point, decode) async for point in self._all(condition)]

    async def delete(self, kind: str, collection: str, identity: str) -> None:
        """Removes a record, if it is there."""
        await self._make()
        with self._connection.translated():
            await self._client.delete(CATALOG, [points.record_id(kind, collection, identity)], wait=True)

    async def _put(self, point: models.PointStruct) -> None:
        await self._make()
        with self._connection.translated():
            await self._client.upsert(CATALOG, [point], wait=True)

    async def _find(self, identity: str) -> models.Record | None:
        await self._make()
        with self._connection.translated():
            found = await self._client.retrieve(CATALOG, [identity], with_payload=True)
        return found[0] if found else None

    async def _all(self, condition: models.Filter) -> AsyncIterator[models.Record]:
        await self._make()
        after: Any = None
        while True:
            with self._connection.translated():
                found, after = await self._client.scroll(CATALOG, condition, _PAGE, offset=after, with_payload=True)
            for point in found:
                yield point
            if after is None:
                return

    async def _make(self) -> None:
        async with self._making:
            if self._made:
                return
            with self._connection.translated():
                if not await self._client.collection_exists(CATALOG):
                    await self._client.create_collection(CATALOG, vectors_config={})
                # Again each time: a crash may have come between, and what exists stays.
                for field, kind in points.RECORD_FIELDS.items():
                    await self._client.create_payload_index(CATALOG, field, points.SCHEMA[kind], wait=True)
            self._made = True


def _payload(point: models.Record) -> Mapping[str, Any]:
    return point.payload or {}


def _decode(point: models.Record, decode: Callable[[Mapping[str, Any]], T]) -> T:
    try:
        return decode(_payload(point)[points.RECORD])
    except (KeyError, ValueError, TypeError) as error:
        raise StoreIncompatible(
            f"the record {point.id} in the Qdrant collection {CATALOG!r} cannot be understood "
            f"({type(error).__name__}: {error}); restore it from a snapshot, or delete the point if what it describes "
            "can be given up",
            record=str(point.id),
        ) from error

"""Records of collections, runs, groupings and corrections: points of one Qdrant collection.

A collection's record passes through three kinds, each reached by one atomic write: ``creating`` and ``deleting`` mark
what a crash may leave half done, so that Shoal never takes somebody else's Qdrant collection for its own leftovers.

Several servers may write a collection's record. Qdrant applies an operation on one point at a time, and one that sets
fields of the points that match a filter looks at the filter when it is applied. So a write that asks for the version
before, or for a lease, is a compare-and-set; whether it was taken shows in what is read afterwards (``_TRAIL``). Every
version of Qdrant that is supported has that; conditional upserts came later.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

from qdrant_client import models

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.connection import Connection
from shoal_server.domain import records
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import RecordChanged, StoreIncompatible

T = TypeVar("T")

#: No collection's id has a dot, so that none can have this name.
CATALOG = "shoal.records"

CREATING = "creating"
READY = "collection"
DELETING = "deleting"
#: It is being moved here, and does not exist yet.
ARRIVING = "arriving"
RUN = "run"
GROUPINGS = "groupings"
CORRECTION = "correction"
MEMBER = "member"

#: Field of a collection's point: marks of the last writes of its record. A write whose mark is there was taken,
#: whatever came after it.
_TRAIL = "trail"
_TRAIL_LENGTH = 16
#: Field of a collection's point: mark of the last write that gave it its kind. Whoever makes or removes what belongs to
#: the collection looks whether it is still its own.
_CLAIM = "claim"

_PAGE = 256


class Catalog:
    """Reads and writes records."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client
        self._made = False
        self._making = asyncio.Lock()

    async def put_collection(self, kind: str, collection: Collection) -> str:
        """Writes a collection's record in one step, whatever stood there; leases on it are gone.

        Returns:
            A mark that tells this step from those of other servers.
        """
        mark = secrets.token_hex(8)
        record = records.collection_to_record(collection)
        point = points.record_point(collection_point(collection.id), kind, collection.id, record)
        point.payload = {**(point.payload or {}), points.VERSION: collection.version, _CLAIM: mark}
        await self._put(point)
        return mark

    async def turn(self, collection: Collection, before: str, after: str, claim: str | None = None) -> str:
        """Gives a collection's record another kind in one step, if no other server was faster.

        Args:
            collection: as it was read.
            before: kind that it has.
            after: kind that it gets; may be the same, to take over what another server may have begun.
            claim: mark of the step that gave it the kind; None for any.

        Returns:
            A mark that tells this step from those of other servers.

        Raises:
            RecordChanged: another server was faster.
        """
        identity = collection_point(collection.id)
        point = await self._find(identity)
        if point is None or _decode(point, records.collection_from_record).created_at != collection.created_at:
            raise RecordChanged(collection.id)
        last = _payload(point).get(_CLAIM)
        if claim is not None and last != claim:
            raise RecordChanged(collection.id)
        unclaimed = models.IsEmptyCondition(is_empty=models.PayloadField(key=_CLAIM))
        mark = secrets.token_hex(8)
        conditions = [matches(points.KIND, before), unclaimed if last is None else matches(_CLAIM, last)]
        await self.set_if(identity, {points.KIND: after, _CLAIM: mark}, conditions)
        await self.confirm_claim(collection.id, mark)
        return mark

    async def confirm_claim(self, collection: str, claim: str) -> None:
        """Raises:
        RecordChanged: the record is not as the step with this mark left it.
        """
        point = await self._find(collection_point(collection))
        if point is None or _payload(point).get(_CLAIM) != claim:
            raise RecordChanged(collection)

    async def next_version(self, collection: Collection, conditions: Sequence[models.Condition]) -> bool:
        """Replaces the record of a collection that is ready, if this is its next version; whether it did.

        Args:
            collection: with a version one above that in the store.
            conditions: of the point, that must hold as well.
        """
        identity = collection_point(collection.id)
        before = await self._find(identity)
        trail = [] if before is None else list(_payload(before).get(_TRAIL, ()))
        mark = secrets.token_hex(8)
        fields = {
            points.RECORD: records.collection_to_record(collection),
            points.VERSION: collection.version,
            _TRAIL: [*trail, mark][-_TRAIL_LENGTH:],
        }
        expected = collection.version - 1
        version: models.Condition = matches(points.VERSION, expected)
        if expected == 0:
            # A version of Shoal that did not count has written it.
            unversioned = models.IsEmptyCondition(is_empty=models.PayloadField(key=points.VERSION))
            version = models.Filter(should=[version, unversioned])
        await self.set_if(identity, fields, [matches(points.KIND, READY), version, *conditions])
        after = await self._find(identity)
        return after is not None and mark in _payload(after).get(_TRAIL, ())

    async def set_if(
        self, identity: str, fields: Mapping[str, Any], conditions: Sequence[models.Condition], below: str | None = None
    ) -> None:
        """Sets fields of a point in one step if all conditions hold of it then; nothing tells whether it did.

        Args:
            identity: of the point.
            fields: the others stay as they are.
            conditions: of the point.
            below: the fields are in this one, an object.
        """
        await self._make()
        chosen = models.Filter(must=[models.HasIdCondition(has_id=[identity]), *conditions])
        with self._connection.translated():
            await self._client.set_payload(
                CATALOG, dict(fields), chosen, key=below, wait=True, ordering=models.WriteOrdering.STRONG
            )

    async def ready(self, collection: str) -> tuple[Collection, Mapping[str, Any]] | None:
        """The record of a collection that is ready, and all of its point's payload, read in one step; or None."""
        point = await self._find(collection_point(collection))
        if point is None or _payload(point)[points.KIND] != READY:
            return None
        return _decode(point, records.collection_from_record), _payload(point)

    async def payloads(self, kind: str) -> list[tuple[Collection, Mapping[str, Any]]]:
        """All collections of a kind with their points' payload."""
        return [
            (_decode(point, records.collection_from_record), _payload(point))
            async for point in self._all(points.matching(kind=kind))
        ]

    async def find_collection(self, collection: str) -> tuple[str, Collection] | None:
        """A collection's record and its kind, or None."""
        point = await self._find(collection_point(collection))
        return None if point is None else (_payload(point)[points.KIND], _decode(point, records.collection_from_record))

    async def collections(self, kind: str) -> list[Collection]:
        """Those whose record is of a kind, in no order."""
        condition = points.matching(kind=kind)
        return [_decode(point, records.collection_from_record) async for point in self._all(condition)]

    async def forget(self, collection: str, claim: str) -> None:
        """Removes the records of what belongs to a collection and then its own.

        Raises:
            RecordChanged: it is not as the step with this mark left it.
        """
        for kind in (RUN, GROUPINGS, CORRECTION):
            await self.confirm_claim(collection, claim)
            with self._connection.translated():
                await self._client.delete(CATALOG, points.matching(kind=kind, collection=collection), wait=True)
        its_own = models.Filter(
            must=[models.HasIdCondition(has_id=[collection_point(collection)]), matches(_CLAIM, claim)]
        )
        with self._connection.translated():
            await self._client.delete(CATALOG, its_own, wait=True)

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
                await self._connection.make_collection(CATALOG)
                # Again each time: a crash may have come between, and what exists stays.
                for field, kind in points.RECORD_FIELDS.items():
                    await self._client.create_payload_index(CATALOG, field, points.SCHEMA[kind], wait=True)
            self._made = True


def collection_point(collection: str) -> str:
    """The id of the point that is a collection's record."""
    return points.record_id(READY, collection)


def matches(key: str, value: str | int) -> models.FieldCondition:
    """A field has a value."""
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


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

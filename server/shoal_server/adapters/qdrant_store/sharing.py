"""What several Shoal servers need of a Qdrant server: leases on collections, and records of the servers themselves.

A lease stands on the point of the collection's record, so that one condition guards a write of the record by it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from qdrant_client import models

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.access import Access
from shoal_server.adapters.qdrant_store.catalog import MEMBER, READY, collection_point, matches
from shoal_server.application.shared_store import SharedCollection
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import CollectionNotFound
from shoal_server.domain.lease import Fence, Lease, Member, Purpose

_MARK = "mark"


class QdrantSharing(Access):
    """Leases and members."""

    async def shared_collections(self) -> list[SharedCollection]:
        """All collections with their leases, in no order."""
        return [_shared(record, payload) for record, payload in await self._catalog.payloads(READY)]

    async def shared_collection(self, collection: str) -> SharedCollection:
        """Raises:
        CollectionNotFound: there is none of that id.
        """
        found = await self._catalog.ready(collection)
        if found is None:
            raise CollectionNotFound(collection)
        return _shared(*found)

    async def take_lease(self, collection: str, purpose: Purpose, before: Lease, after: Lease) -> bool:
        """Replaces a lease if holder, epoch and beat are as before; whether it did."""
        field = _field(purpose)
        conditions: list[models.Condition] = [matches(points.KIND, READY)]
        if before.epoch:
            conditions += [
                matches(f"{field}.holder", before.holder),
                matches(f"{field}.epoch", before.epoch),
                matches(f"{field}.beat", before.beat),
            ]
        else:
            conditions.append(models.IsEmptyCondition(is_empty=models.PayloadField(key=field)))
        mark = secrets.token_hex(8)
        await self._catalog.set_if(collection_point(collection), {field: {**asdict(after), _MARK: mark}}, conditions)
        payload = await self._payload(collection)
        if payload is None:
            raise CollectionNotFound(collection)
        return bool(payload.get(field, {}).get(_MARK) == mark)

    async def renew_lease(self, collection: str, fence: Fence, lease: Lease) -> Lease | None:
        """Writes beat, run, stage and progress of a lease that a server still has; the lease as it stands then."""
        field = _field(fence.purpose)
        fields = {"beat": lease.beat, "run": lease.run, "stage": lease.stage, "progress": float(lease.progress)}
        await self._catalog.set_if(collection_point(collection), fields, _holds(fence), below=field)
        payload = await self._payload(collection)
        if payload is None:
            return None
        present = _lease(payload.get(field, {}))
        return present if (present.holder, present.epoch) == (fence.holder, fence.epoch) else None

    async def ask_to_cancel(self, collection: str, epoch: int, run: str) -> None:
        """Asks the holder of the lease to run to cancel a run."""
        field = _field(Purpose.RUNNING)
        condition = matches(f"{field}.epoch", epoch)
        await self._catalog.set_if(collection_point(collection), {"asked_to_cancel": run}, [condition], below=field)

    async def put_member(self, member: Member) -> None:
        """Shows this server to the others."""
        await self._catalog.put(MEMBER, "", member.id, asdict(member))

    async def members(self) -> list[Member]:
        """All servers that have shown themselves."""
        return await self._catalog.all(MEMBER, "", _member)

    async def forget_members(self, members: Sequence[str]) -> None:
        """Removes servers that are no more."""
        for member in members:
            await self._catalog.delete(MEMBER, "", member)

    async def _payload(self, collection: str) -> Mapping[str, Any] | None:
        found = await self._catalog.ready(collection)
        return None if found is None else found[1]


def fenced(fence: Fence | None) -> list[models.Condition]:
    """Conditions of a collection's point for a write that only the holder of a lease may do."""
    return [] if fence is None else _holds(fence)


def holds(payload: Mapping[str, Any], fence: Fence) -> bool:
    """Whether a lease on a collection is as a fence says."""
    lease = _lease(payload.get(_field(fence.purpose), {}))
    return (lease.holder, lease.epoch) == (fence.holder, fence.epoch)


def _holds(fence: Fence) -> list[models.Condition]:
    field = _field(fence.purpose)
    return [matches(f"{field}.holder", fence.holder), matches(f"{field}.epoch", fence.epoch)]


def _field(purpose: Purpose) -> str:
    return f"lease_{purpose.value}"


def _lease(value: Mapping[str, Any]) -> Lease:
    return Lease(**{name: value[name] for name in Lease.__dataclass_fields__ if name in value})


def _member(record: Mapping[str, Any]) -> Member:
    return Member(id=record["id"], round=record["round"], beat=record.get("beat", 0))


def _shared(record: Collection, payload: Mapping[str, Any]) -> SharedCollection:
    leases = {purpose: _lease(payload[field]) for purpose in Purpose if (field := _field(purpose)) in payload}
    return SharedCollection(record, leases)

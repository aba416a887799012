"""What several servers on one store need of it, to take turns and to see what the others do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from shoal_server.domain.collection import Collection
from shoal_server.domain.lease import Fence, Lease, Member, Purpose

#: Nobody has ever had it.
NO_LEASE = Lease()


@dataclass(frozen=True, slots=True)
class SharedCollection:
    """A collection's record and who has which right, read in one step.

    Attributes:
        record: as in the store.
        leases: those that somebody has or had.
    """

    record: Collection
    leases: Mapping[Purpose, Lease] = field(default_factory=dict)

    def lease(self, purpose: Purpose) -> Lease:
        """The lease for a purpose."""
        return self.leases.get(purpose, NO_LEASE)


@runtime_checkable
class SharedStore(Protocol):
    """Conditional writes, each atomic and durable. All raise StoreUnavailable where the store does not answer."""

    async def shared_collections(self) -> list[SharedCollection]:
        """All collections, in no order."""
        ...

    async def shared_collection(self, collection: str) -> SharedCollection:
        """Raises:
        CollectionNotFound: there is none of that id.
        """
        ...

    async def take_lease(self, collection: str, purpose: Purpose, before: Lease, after: Lease) -> bool:
        """Replaces a lease if holder, epoch and beat are as before; whether it did.

        Raises:
            CollectionNotFound: there is no such collection.
        """
        ...

    async def renew_lease(self, collection: str, fence: Fence, lease: Lease) -> Lease | None:
        """Writes beat, run, stage and progress of a lease that a server still has.

        Returns:
            The lease as it stands then, with what others ask; None if another server has it, or the collection is gone.
        """
        ...

    async def ask_to_cancel(self, collection: str, epoch: int, run: str) -> None:
        """Asks the holder of the lease to run to cancel a run; nothing comes of it if the lease has changed hands."""
        ...

    async def put_member(self, member: Member) -> None:
        """Shows this server to the others."""
        ...

    async def members(self) -> list[Member]:
        """All servers that have shown themselves, the dead included."""
        ...

    async def forget_members(self, members: Sequence[str]) -> None:
        """Removes servers that are no more."""
        ...

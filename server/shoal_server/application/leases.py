"""The rights that this server has among several on one store: taken, kept, given back, and lost.

Time is measured by each server on its own monotonic clock, as the time since it saw a beat change last: clocks that
differ or jump make no difference. A server that does not renew for ``lease_s`` seconds may lose a right to another one;
whatever it writes to a record from then on is refused by the store, because the write names the epoch of its lease
(https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html, "Making the lock safe with fencing").
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from shoal_server.application.shared_store import SharedStore
from shoal_server.domain.errors import CollectionNotFound, LeaseLost, ShoalError
from shoal_server.domain.lease import Fence, Lease, Purpose

_log = logging.getLogger(__name__)

#: A right is renewed at least so many times before it would be lost, and at least so often in seconds.
_RENEWALS = 5
_RENEW_EVERY_S = 1.0

#: Called with a right's lease before and after each renewal; the stage and the share done that others are told.
Told = Callable[[Lease], tuple[str, float]]
#: Seconds between two looks at a lease that another server has.
_LOOK_AGAIN_S = 0.2


class Right:
    """A lease that this server has.

    Attributes:
        collection: on what.
        lease: as this server wrote it last, with what others ask.
    """

    def __init__(self, store: SharedStore, collection: str, purpose: Purpose, lease: Lease, lasts_s: float) -> None:
        self.collection = collection
        self.lease = lease
        self._store = store
        self._purpose = purpose
        self._lasts_s = lasts_s
        self._renewed_at = time.monotonic()
        self._lost = False
        self._renewing = asyncio.Lock()

    @property
    def fence(self) -> Fence:
        """What a write must name that only the holder may do."""
        return Fence(self._purpose, self.lease.holder, self.lease.epoch)

    @property
    def lost(self) -> bool:
        """Another server has it."""
        return self._lost

    async def confirm(self) -> None:
        """Makes sure that it is still this server's; asks the store only if that is not certain.

        Raises:
            LeaseLost: another server has it.
            StoreUnavailable: the store does not answer.
        """
        if self._lost or time.monotonic() - self._renewed_at > self._lasts_s / 2:
            await self.renew()

    async def renew(self, stage: str = "", progress: float = 0.0) -> None:
        """Shows that this server is alive. Raises as :meth:`confirm`."""
        async with self._renewing:
            if self._lost:
                raise LeaseLost(self.collection)
            began = time.monotonic()
            beating = replace(
                self.lease,
                beat=self.lease.beat + 1,
                stage=stage or self.lease.stage,
                progress=max(progress, self.lease.progress),
            )
            present = await self._store.renew_lease(self.collection, self.fence, beating)
            if present is None:
                self._lost = True
                raise LeaseLost(self.collection)
            self.lease = present
            self._renewed_at = began

    async def give_back(self) -> None:
        """Lets others have it. If that cannot be written, they get it when its time has run out."""
        # A renewal under way ends first: the lease is only replaced as it was read last.
        async with self._renewing:
            if self._lost:
                return
            self._lost = True
            try:
                if not await self._replace_by_nobody(self.lease):
                    # A renewal may have been taken although its answer was lost.
                    present = (await self._store.shared_collection(self.collection)).lease(self._purpose)
                    if (present.holder, present.epoch) == (self.lease.holder, self.lease.epoch):
                        await self._replace_by_nobody(present)
            except ShoalError as error:
                if not isinstance(error, CollectionNotFound):
                    _log.warning("collection %s: a lease was not given back: %s", self.collection, error.message)

    async def _replace_by_nobody(self, before: Lease) -> bool:
        # Somebody may have asked for something since: holder, epoch and beat are what counts.
        nobody = Lease(epoch=before.epoch, beat=before.beat + 1)
        return await self._store.take_lease(self.collection, self._purpose, before, nobody)


class Leases:
    """Takes rights for this server, keeps them, and watches those of the others."""

    def __init__(self, store: SharedStore, server: str, lease_s: float) -> None:
        """Args:
        store: all servers'.
        server: id of this one.
        lease_s: seconds after which a right that is not renewed is anybody's.
        """
        self._store = store
        self.server = server
        self._lease_s = lease_s
        #: The lease, since when its beat stands still, and when it was looked at last.
        self._seen: dict[tuple[str, Purpose], tuple[Lease, float, float]] = {}
        self._kept: dict[Right, Told | None] = {}

    @property
    def renew_every_s(self) -> float:
        """Seconds between two calls of :meth:`keep`."""
        return min(self._lease_s / _RENEWALS, _RENEW_EVERY_S)

    async def take_now(
        self, collection: str, purpose: Purpose, run: str = "", told: Told | None = None
    ) -> Right | Lease:
        """Takes a right if it is free, this server's from before, or its holder has not been heard of for long.

        Args:
            collection: on what.
            purpose: what for.
            run: the run that a right to run is for.
            told: says what to tell the others with every renewal, and hears what they ask.

        Returns:
            The right, or the lease of whoever has it.

        Raises:
            CollectionNotFound: there is no such collection.
        """
        shared = await self._store.shared_collection(collection)
        before = shared.lease(purpose)
        mine = before.holder == self.server and not any(
            right.collection == collection and right.fence == Fence(purpose, before.holder, before.epoch)
            for right in self._kept
        )
        if before.holder and not mine and not self.is_stale(collection, purpose, before):
            return before
        after = Lease(holder=self.server, epoch=before.epoch + 1, beat=before.beat + 1, run=run)
        began = time.monotonic()
        if not await self._store.take_lease(collection, purpose, before, after):
            return (await self._store.shared_collection(collection)).lease(purpose)
        if before.holder and before.holder != self.server:
            _log.warning("collection %s: took over from server %s, which is silent", collection, before.holder)
        right = Right(self._store, collection, purpose, after, self._lease_s)
        right._renewed_at = began
        self._kept[right] = told
        return right

    async def take(self, collection: str, purpose: Purpose) -> Right:
        """Takes a right, and waits until whoever has it gives it back or falls silent.

        Raises:
            CollectionNotFound: there is no such collection, or no more.
        """
        while True:
            taken = await self.take_now(collection, purpose)
            if isinstance(taken, Right):
                return taken
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def give_back(self, right: Right) -> None:
        """Gives a right back."""
        self._kept.pop(right, None)
        await right.give_back()

    async def keep(self) -> list[Right]:
        """Renews all rights; those of them that were lost."""
        lost = []
        for right, told in list(self._kept.items()):
            try:
                await right.renew(*(("", 0.0) if told is None else told(right.lease)))
                if told is not None:
                    told(right.lease)
            except LeaseLost:
                if right in self._kept:
                    del self._kept[right]
                    lost.append(right)
            except ShoalError as error:
                # Whatever is wrong with this one, the others are renewed.
                _log.warning("collection %s: a lease was not renewed: %s", right.collection, error.message)
        return lost

    def is_stale(self, collection: str, purpose: Purpose, lease: Lease) -> bool:
        """Notes a lease as it is, and says whether its holder has been silent for too long.

        Time in which nobody here looked does not count: where the store did not answer, its holder could not renew.
        """
        if not lease.holder:
            return False
        moment = time.monotonic()
        seen, since, looked = self._seen.get((collection, purpose), (None, moment, moment))
        beat = (lease.holder, lease.epoch, lease.beat)
        if seen is None or (seen.holder, seen.epoch, seen.beat) != beat or moment - looked > self._lease_s:
            since = moment
        self._seen[collection, purpose] = (lease, since, moment)
        return moment - since > self._lease_s

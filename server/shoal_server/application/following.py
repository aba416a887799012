"""Seeing what other servers on the same store do, and standing in for one that falls silent.

Each server looks at all records again and again. While another one writes a run's ids back, it gives no answer that
names a cluster; the other one waits with the first id until every server that is alive has looked once more, so that
nobody sees half of them (:meth:`Following.all_have_looked`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from shoal_server.application.leases import Leases
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.shared_store import SharedCollection, SharedStore
from shoal_server.domain.errors import CollectionNotFound, ShoalError
from shoal_server.domain.lease import Member, Purpose

_log = logging.getLogger(__name__)

#: Servers that have been silent for so many leases are forgotten.
_FORGOTTEN_AFTER = 20
#: Seconds between two looks at whether the others have looked.
_POLL_S = 0.1


class Following:
    """Follows the other servers. One task does it, which :meth:`run` is."""

    def __init__(
        self,
        store: SharedStore,
        collections: OpenCollections,
        leases: Leases,
        lease_s: float,
        every_s: float = 0.5,
    ) -> None:
        """Args:
        store: all servers'.
        collections: this server's.
        leases: of this server.
        lease_s: seconds after which a silent server counts as dead.
        every_s: seconds between two looks.
        """
        self._store = store
        self._collections = collections
        self._leases = leases
        self._lease_s = lease_s
        self._every_s = every_s
        self._round = int(time.time())
        self._beat = 0
        self._looks_fail = False
        #: What each said last, and when that was seen.
        self._members: dict[str, tuple[Member, float]] = {}
        self._noted_at = time.monotonic()
        self._failed_at: dict[str, float] = {}
        self._standing_in: dict[str, asyncio.Task[None]] = {}
        #: Puts right what a silent server has left of a collection; may raise what it likes.
        self.stand_in: Callable[[OpenCollection], Awaitable[None]] | None = None
        #: Told of a collection whose record another server has written.
        self.changed: Callable[[str], None] = lambda collection: None

    @property
    def others(self) -> int:
        """How many other servers are alive."""
        return len(self._alive())

    async def run(self) -> None:
        """Follows until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_leases())
                while True:
                    try:
                        await self.look(tasks)
                        self._looks_fail = False
                    except ShoalError as error:
                        self._looks_fail = True
                        _log.warning("the other servers could not be followed: %s", error.message)
                    await asyncio.sleep(self._every_s)
        finally:
            await self._leave()

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._leases.renew_every_s)
            try:
                for right in await self._leases.keep():
                    _log.warning("collection %s: another server has taken over", right.collection)
                if not self._looks_fail:
                    # A look may wait for answers that take long; who cannot look at all must not be waited for.
                    await self._show()
            except ShoalError as error:
                _log.warning("the other servers were not told that this one is alive: %s", error.message)

    async def look(self, tasks: asyncio.TaskGroup | None = None) -> None:
        """Looks once at everything, and tells the others.

        Args:
            tasks: that standing in for others belongs to; None: it is not done.
        """
        before = {opened.id: opened for opened in await self._collections.opened_now()}
        shared = {each.record.id: each for each in await self._store.shared_collections()}
        # What was being opened while the records were read has read one that may be older.
        for opened in await self._collections.opened_now():
            found = shared.get(opened.id)
            try:
                if found is not None:
                    await self._follow(opened, found)
                elif before.get(opened.id) is opened and not opened.deleting:
                    await self._collections.refresh(opened)
            except ShoalError as error:
                _log.warning("collection %s: another server's changes are not here yet: %s", opened.id, error.message)
        if tasks is not None:
            for each in shared.values():
                self._stand_in_for_silent(each, before.get(each.record.id), tasks)
        self._round += 1
        await self._show()
        await self._note_members()

    async def all_have_looked(self) -> None:
        """Waits until every other server that is alive has seen whatever was written before this call.

        A look that is under way may have come too early, so that each has to end two.
        """
        await self._note_members()
        seen = {name: member.round for name, (member, _) in self._members.items()}
        while any(round_ < seen.get(name, round_) + 2 for name, round_ in self._alive().items() if name in seen):
            await asyncio.sleep(_POLL_S)
            await self._note_members()

    def _alive(self) -> dict[str, int]:
        moment = time.monotonic()
        return {name: member.round for name, (member, at) in self._members.items() if moment - at <= self._lease_s}

    async def _show(self) -> None:
        self._beat += 1
        await self._store.put_member(Member(self._leases.server, self._round, self._beat))

    async def _note_members(self) -> None:
        found = {member.id: member for member in await self._store.members() if member.id != self._leases.server}
        moment = time.monotonic()
        # Where the store did not answer, the others could not show themselves either.
        unseen = moment - self._noted_at > self._lease_s
        self._noted_at = moment
        for name, member in found.items():
            known = self._members.get(name)
            if known is None or known[0] != member or unseen:
                self._members[name] = (member, moment)
        dead = [name for name in found if moment - self._members[name][1] > _FORGOTTEN_AFTER * self._lease_s]
        self._members = {name: known for name, known in self._members.items() if name in found and name not in dead}
        if dead:
            await self._store.forget_members(dead)

    async def _follow(self, opened: OpenCollection, found: SharedCollection) -> None:
        if opened.deciding.held or found.record.version < opened.record.version:
            # What this server is about to write is newer than what it would read.
            return
        if found.record.version > opened.record.version:
            self.changed(opened.id)
        await self._collections.take_in(opened, found.record)

    def _stand_in_for_silent(
        self, found: SharedCollection, opened: OpenCollection | None, tasks: asyncio.TaskGroup
    ) -> None:
        collection = found.record.id
        # Whoever began to put a run in force has given up, or could not be told that it had begun.
        here = opened is not None and opened.deciding.locked()
        left = found.record.activating_run is not None and not here
        left = left and found.lease(Purpose.DECIDING).holder in ("", self._leases.server)
        stale = [
            lease
            for purpose in Purpose
            if (lease := found.lease(purpose)).holder not in ("", self._leases.server)
            and self._leases.is_stale(collection, purpose, lease)
        ]
        failed_at = self._failed_at.get(collection)
        again = failed_at is None or time.monotonic() - failed_at > self._lease_s
        if (stale or left) and again and collection not in self._standing_in:
            task = tasks.create_task(self._stand_in(collection), name=f"standing in at {collection}")
            self._standing_in[collection] = task
            task.add_done_callback(lambda _: self._standing_in.pop(collection, None))

    async def _stand_in(self, collection: str) -> None:
        if self.stand_in is None:
            return
        try:
            await self.stand_in(await self._collections.open_any(collection))
            self._failed_at.pop(collection, None)
        except CollectionNotFound:
            return
        except ShoalError as error:
            self._failed_at[collection] = time.monotonic()
            _log.error("collection %s: what a silent server has left was not put right: %s", collection, error.message)

    async def _leave(self) -> None:
        try:
            await asyncio.shield(self._store.forget_members([self._leases.server]))
        except ShoalError as error:
            _log.warning("the other servers were not told that this one stops: %s", error.message)

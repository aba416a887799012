"""The turn to decide which image belongs to which cluster: one at a time in this process, and among all servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from shoal_server.application.leases import Leases, Right
from shoal_server.domain.errors import LeaseLost
from shoal_server.domain.lease import Fence, Purpose


class Deciding:
    """Held as an asynchronous context, from looking at what there is to the end of writing it back.

    Where several servers share the store, whoever enters waits for those on other servers too, and finds everything as
    they left it.
    """

    def __init__(
        self, collection: str, leases: Leases | None = None, arrived: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Args:
        collection: about what.
        leases: of this server; None: there is no other server.
        arrived: takes in what others did, and finishes what one of them could not; called with the turn held.
        """
        self._collection = collection
        self._leases = leases
        self._arrived = arrived
        self._lock = asyncio.Lock()
        self._right: Right | None = None

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        try:
            if self._leases is not None:
                self._right = await self._leases.take(self._collection, Purpose.DECIDING)
                if self._arrived is not None:
                    await self._arrived()
        except BaseException:
            await self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        right, self._right = self._right, None
        try:
            if right is not None and self._leases is not None:
                await asyncio.shield(self._leases.give_back(right))
        finally:
            self._lock.release()

    def locked(self) -> bool:
        """Whether somebody in this process has the turn."""
        return self._lock.locked()

    @property
    def held(self) -> bool:
        """Whether this server has the turn as others see it."""
        return self._right is not None and not self._right.lost

    @property
    def fence(self) -> Fence | None:
        """What writes must name that only the holder may do; None where there is no other server.

        Raises:
            LeaseLost: this server has no turn.
        """
        if self._leases is None:
            return None
        if self._right is None:
            raise LeaseLost(self._collection)
        return self._right.fence

    async def confirm(self) -> None:
        """Makes sure, before a write that no record guards, that the turn is still this server's.

        Raises:
            LeaseLost: another server has taken over.
            StoreUnavailable: the store does not answer.
        """
        if self._leases is not None:
            if self._right is None:
                raise LeaseLost(self._collection)
            await self._right.confirm()

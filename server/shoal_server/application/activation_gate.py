"""Lets many answers be given at once, or one activation be carried out, never both.

While the cluster ids of a run are being written back, the store holds some old and some new ones. No answer that names
a cluster is given in that time: readers hold the gate shared, the activation holds it alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shoal_server.domain.errors import WriteBackHalted


class ActivationGate:
    """A shared/exclusive lock for one event loop. First come, first served: neither side can starve the other.

    Attributes:
        halted: collection and problem where an activation has been waiting for long; nobody waits for it then.
    """

    def __init__(self) -> None:
        self.halted: tuple[str, str] | None = None
        self._readers = 0
        self._activating = False
        self._held = False
        self._stays_closed = False
        #: Whether it is to be alone, and its turn, which says whether it takes the place of the one who holds.
        self._waiting: deque[tuple[bool, asyncio.Future[bool]]] = deque()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Held while an answer that names clusters is put together.

        Raises:
            WriteBackHalted: nobody knows when that will be possible.
        """
        if self.halted is not None and self._activating:
            raise WriteBackHalted(*self.halted)
        await self._enter(exclusive=False)
        try:
            yield
        finally:
            self._leave(exclusive=False)

    @asynccontextmanager
    async def activating(self) -> AsyncIterator[None]:
        """Held while stored cluster ids change."""
        await self._enter(exclusive=True)
        try:
            yield
        finally:
            stays_closed, self._stays_closed = self._stays_closed, False
            if stays_closed:
                self._hold()
            else:
                self._leave(exclusive=True)

    def stay_closed(self) -> None:
        """Called while activating: when that ends, readers are kept out as by :meth:`hold`."""
        self._stays_closed = True

    async def hold(self) -> None:
        """Keeps the readers out until :meth:`let_go`, while another server changes the ids. Whoever activates in this
        process takes the place of the one who holds, with no reader in between, also one that waits already.
        """
        await self._enter(exclusive=True)
        self._hold()

    def let_go(self) -> None:
        """Lets the readers in again; nothing where nobody holds, or an activation has taken the place."""
        if self._held:
            self._held = False
            self._leave(exclusive=True)

    @property
    def held(self) -> bool:
        """Whether readers are kept out for another server."""
        return self._held

    async def _enter(self, *, exclusive: bool) -> None:
        if exclusive and self._held:
            self._held = False
            return
        if not self._waiting and self._free(exclusive):
            self._take(exclusive)
            return
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((exclusive, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._wake()
            elif turn.result():
                self._hold()
            else:
                self._leave(exclusive)
            raise

    def _hold(self) -> None:
        """Whoever is alone keeps the readers out for others; the next one that waits to be alone takes its place."""
        for place in self._waiting:
            exclusive, turn = place
            if exclusive and not turn.done():
                self._waiting.remove(place)
                turn.set_result(True)
                return
        self._held = True

    # Leaving never awaits: a task that is cancelled while it leaves must still let the next one in.
    def _leave(self, exclusive: bool) -> None:
        if exclusive:
            self._activating = False
        else:
            self._readers -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            exclusive, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif self._free(exclusive):
                self._waiting.popleft()
                self._take(exclusive)
                turn.set_result(False)
            else:
                return

    def _free(self, exclusive: bool) -> bool:
        return not self._activating and not (exclusive and self._readers)

    def _take(self, exclusive: bool) -> None:
        if exclusive:
            self._activating = True
        else:
            self._readers += 1

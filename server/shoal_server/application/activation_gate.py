"""Lets many answers be given at once, or one activation be carried out, never both.

While the cluster ids of a run are being written back, the store holds some old and some new ones. No answer that names
a cluster is given in that time: readers hold the gate shared, the activation holds it alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ActivationGate:
    """A shared/exclusive lock for one event loop. First come, first served: neither side can starve the other."""

    def __init__(self) -> None:
        self._readers = 0
        self._activating = False
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Held while an answer that names clusters is put together."""
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
            self._leave(exclusive=True)

    async def _enter(self, *, exclusive: bool) -> None:
        if not self._waiting and self._free(exclusive):
            self._take(exclusive)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((exclusive, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._leave(exclusive)
            else:
                self._wake()
            raise

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
                turn.set_result(None)
            else:
                return

    def _free(self, exclusive: bool) -> bool:
        return not self._activating and not (exclusive and self._readers)

    def _take(self, exclusive: bool) -> None:
        if exclusive:
            self._activating = True
        else:
            self._readers += 1

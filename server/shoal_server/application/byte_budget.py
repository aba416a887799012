"""Bounds the bytes that many streams hold at once."""

from __future__ import annotations

import asyncio
from collections import deque


class ByteBudget:
    """Lets so many bytes in at once, first come, first served; a thing larger than all of it goes in alone."""

    def __init__(self, limit: int) -> None:
        """Args:
        limit: bytes, at least 1.
        """
        self._limit = limit
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """Bytes let in and not yet given back."""
        return self._used

    async def take(self, size: int) -> None:
        """Waits until there is room."""
        if not self._waiting and self._fits(size):
            self._used += size
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            # It may have been let in at the very moment that it left.
            if admitted.cancelled():
                self._admit()
            else:
                self.give_back(size)
            raise

    def give_back(self, size: int) -> None:
        """Makes room again for what was taken."""
        self._used -= size
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            size, admitted = self._waiting[0]
            if admitted.cancelled():
                self._waiting.popleft()
            elif self._fits(size):
                self._waiting.popleft()
                self._used += size
                admitted.set_result(None)
            else:
                return

    def _fits(self, size: int) -> bool:
        return self._used == 0 or self._used + size <= self._limit

"""Bound the bytes that many streams hold at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


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


class GrowingBudget:
    """Lets so many bytes in of things that grow, how large nobody knows beforehand.

    Things that have grown half-way could wait for one another for ever. So the oldest never waits: there may be as much
    as it takes beside the limit.
    """

    def __init__(self, limit: int) -> None:
        """Args:
        limit: bytes, at least 1.
        """
        self._limit = limit
        self._used = 0
        #: The oldest first.
        self._growing: dict[Growing, None] = {}
        self._eased = asyncio.Event()

    @contextmanager
    def growing(self) -> Iterator[Growing]:
        """A thing without a byte yet; all of its bytes are given back at the end."""
        thing = Growing(self)
        self._growing[thing] = None
        try:
            yield thing
        finally:
            del self._growing[thing]
            self._shrink(thing)

    async def _grow(self, thing: Growing, size: int) -> None:
        while self._used + size > self._limit and next(iter(self._growing)) is not thing:
            await self._eased.wait()
        self._used += size
        thing.size += size

    def _shrink(self, thing: Growing) -> None:
        self._used -= thing.size
        thing.size = 0
        self._eased.set()
        self._eased = asyncio.Event()


class Growing:
    """Something that grows within a budget.

    Attributes:
        size: its bytes.
    """

    __slots__ = ("_budget", "size")

    def __init__(self, budget: GrowingBudget) -> None:
        self._budget = budget
        self.size = 0

    async def grow(self, size: int) -> None:
        """Waits until there is room for so many bytes more."""
        await self._budget._grow(self, size)

    def shrink(self) -> None:
        """Gives all of its bytes back."""
        self._budget._shrink(self)

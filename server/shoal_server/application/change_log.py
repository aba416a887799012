"""A durable log of which images were about to be written, and who is still writing.

An entry names images before they are written, so that after a crash at any moment those whose assignment may have
changed are known. It says nothing of what they were changed to: whoever reads the log looks that up, and so needs only
the images of entries whose write is over.

Every process writes under a name of its own, its entries numbered without a gap. A later writer's numbers are above all
that ended writers have used.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from shoal_server.application.unbroken import unbroken
from shoal_server.domain.errors import Invalid, NotFound, Precondition, ShuttingDown

#: Seconds after which a write that failed without saying whether it was carried out is certainly over: more than the
#: store's own time limit.
IN_DOUBT_S = 75.0

_CERTAIN = (NotFound, Invalid, Precondition)


@dataclass(frozen=True, slots=True)
class Entry:
    """Images that were about to be written.

    Attributes:
        writer: the process.
        number: grows by one with each of the writer's entries.
        images: their ids.
    """

    writer: str
    number: int
    images: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a reader has come.

    Attributes:
        base: of a writer that is not in ``reached``, everything up to this number is read.
        reached: by writer.
    """

    base: int = 0
    reached: Mapping[str, int] = field(default_factory=dict)

    def of(self, writer: str) -> int:
        """The number of a writer's last entry that is read."""
        return self.reached.get(writer, self.base)

    def after(self, entry: Entry) -> Position:
        """With one more entry read."""
        return replace(self, reached={**self.reached, entry.writer: entry.number})


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a writer.

    Attributes:
        settled: the write of every entry up to this number is over.
        ended: it writes no more, and all its entries are settled.
    """

    settled: int
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Heads:
    """The writers of a collection's log at a moment.

    Attributes:
        writers: by name.
        floor: no entry up to this number is kept of writers that are not in ``writers``.
    """

    writers: Mapping[str, Head]
    floor: int = 0

    def settled(self, entry: Entry) -> bool:
        """Whether an entry's write is over for certain."""
        head = self.writers.get(entry.writer)
        return head is not None and entry.number <= head.settled

    def position(self) -> Position:
        """After everything that is settled."""
        return self.shortened(Position(self.floor, {name: head.settled for name, head in self.writers.items()}))

    def shortened(self, position: Position) -> Position:
        """The same position without writers that have ended and are read to their end: they need not be named."""
        reached = {name: position.of(name) for name in self.writers} | dict(position.reached)
        done = [name for name, head in self.writers.items() if head.ended and head.settled <= reached[name]]
        base = max([position.base, *(self.writers[name].settled for name in done)])
        return Position(base, {name: number for name, number in reached.items() if name not in done})


class ChangeLog(Protocol):
    """Keeps the entries of all collections; a number of images for each, the oldest are let go of."""

    async def append(self, collection: str, images: Sequence[UUID]) -> Entry:
        """Adds an entry, durable on return. One at a time for each collection.

        Raises:
            StoreUnavailable: the log cannot be written.
            StoreFull: there is no room for it.
        """
        ...

    def settle(self, collection: str, writer: str, number: int) -> None:
        """Takes note that the writes of this process are over up to a number; other processes learn of it soon."""
        ...

    async def heads(self, collection: str) -> Heads:
        """All writers; those of this process as :meth:`settle` was told."""
        ...

    async def read(self, collection: str, after: Position, limit: int) -> tuple[list[Entry], bool]:
        """Entries after a position, for each writer in their order.

        Args:
            collection: which.
            after: the position.
            limit: no more entries are added once this many images are reached.

        Returns:
            The entries, and whether there may be more.

        Raises:
            ChangesExpired: there were entries after the position that are not kept any more, or it is none of this log.
        """
        ...

    async def forget(self, collection: str) -> None:
        """Removes the log of a collection that was deleted."""
        ...

    async def aclose(self) -> None:
        """Lets go of everything."""
        ...


@dataclass(slots=True)
class _Writing:
    """What this process writes to a collection.

    Attributes:
        open: entries whose write is under way, by writer and number.
        doubtful: entries whose write failed, and until when it may still be carried out.
        last: number of the last entry of each writer that this process was.
        version: grows when something is written or over.
    """

    appending: asyncio.Lock = field(default_factory=asyncio.Lock)
    open: set[tuple[str, int]] = field(default_factory=set)
    doubtful: dict[tuple[str, int], float] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    version: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Journal:
    """Puts entries into the log around writes, and knows which of this process's writes are under way."""

    def __init__(self, log: ChangeLog, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        log: of all collections.
        clock: seconds that only grow.
        """
        self._log = log
        self._clock = clock
        self._writing: defaultdict[str, _Writing] = defaultdict(_Writing)
        self._stopped = False

    @contextlib.asynccontextmanager
    async def writing(self, collection: str, images: Sequence[UUID]) -> AsyncIterator[None]:
        """Around the write of images whose assignment may change.

        Raises:
            StoreUnavailable: the log cannot be written; the images must not be, then.
            StoreFull: there is no room for the log.
        """
        if not images:
            yield
            return
        state = self._writing[collection]
        opened = await unbroken(self._open(collection, state, images))
        try:
            yield
        except _CERTAIN:
            self._close(collection, state, opened)
            raise
        except BaseException:
            # It may still be carried out, by a store that was only slow to answer.
            state.doubtful[opened] = self._clock() + IN_DOUBT_S
            self._close(collection, state, opened)
            raise
        self._close(collection, state, opened)

    async def heads(self, collection: str) -> Heads:
        """See :meth:`ChangeLog.heads`."""
        state = self._writing[collection]
        if state.doubtful:
            self._settle(collection, state)
        return await self._log.heads(collection)

    async def read(self, collection: str, after: Position, limit: int) -> tuple[list[Entry], bool]:
        """See :meth:`ChangeLog.read`."""
        return await self._log.read(collection, after, limit)

    def is_open(self, collection: str, entry: Entry) -> bool:
        """Whether an entry's write is under way in this process."""
        return (entry.writer, entry.number) in self._writing[collection].open

    def version(self, collection: str) -> int:
        """A number that grows with everything that this process writes to a collection."""
        return self._writing[collection].version

    async def after(self, collection: str, version: int, wait_s: float) -> None:
        """Waits until the version is another one, or for some seconds.

        Raises:
            ShuttingDown: there will be no more.
        """
        state = self._writing[collection]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while state.version == version and not self._stopped:
                    await state.changed.wait()
        if self._stopped:
            raise ShuttingDown

    def stop(self) -> None:
        """Sends those away who wait; writes under way may still end."""
        self._stopped = True
        for state in self._writing.values():
            _tell(state)

    async def forget(self, collection: str) -> None:
        """See :meth:`ChangeLog.forget`."""
        state = self._writing.pop(collection, None)
        await self._log.forget(collection)
        if state is not None:
            _tell(state)

    async def aclose(self) -> None:
        """See :meth:`ChangeLog.aclose`."""
        await self._log.aclose()

    async def _open(self, collection: str, state: _Writing, images: Sequence[UUID]) -> tuple[str, int]:
        async with state.appending:
            entry = await self._log.append(collection, images)
            key = (entry.writer, entry.number)
            state.open.add(key)
            state.last[entry.writer] = entry.number
        return key

    def _close(self, collection: str, state: _Writing, key: tuple[str, int]) -> None:
        state.open.discard(key)
        self._settle(collection, state)
        _tell(state)

    def _settle(self, collection: str, state: _Writing) -> None:
        now = self._clock()
        state.doubtful = {key: until for key, until in state.doubtful.items() if until > now}
        if self._writing.get(collection) is not state:
            # The collection was deleted meanwhile.
            return
        for writer, last in state.last.items():
            held = [number for name, number in (*state.open, *state.doubtful) if name == writer]
            self._log.settle(collection, writer, min(held, default=last + 1) - 1)


def _tell(state: _Writing) -> None:
    state.version += 1
    state.changed.set()
    state.changed = asyncio.Event()

"""Which contents are being stored, and which workers there are: one process of the cluster knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from shoal_server.application.grouped_calls import GroupedCalls

#: Most claims in one question.
_AT_ONCE = 256

#: A content, and the number of the file that claims it.
Claim = tuple[bytes, int]


class Registry:
    """The workers and their claims; an actor of Ray.

    A claim is a file's and not a worker's: what a worker that died was storing is tried again under the same number. It
    knows only what is under way. Should it be lost with its machine, the next one begins empty, and at worst a content
    that is in two files is stored twice, under the same id.
    """

    def __init__(self) -> None:
        self._held: dict[bytes, int] = {}
        self._workers: set[str] = set()

    def come(self, worker: str) -> None:
        """A worker begins; one that is started again is the same."""
        self._workers.add(worker)

    def go(self, worker: str) -> None:
        """A worker has left."""
        self._workers.discard(worker)

    def workers(self) -> int:
        """How many have not left."""
        return len(self._workers)

    def take(self, wanted: Sequence[Claim]) -> list[bool]:
        """Claims contents; for each whether the claim now stands."""
        return [self._held.setdefault(content, number) == number for content, number in wanted]

    def release(self, content: bytes, number: int) -> None:
        """Gives a claim back, if it is this file's."""
        if self._held.get(content) == number:
            del self._held[content]


class RegistryClaims:
    """The ``Claims`` of a worker."""

    def __init__(self, registry: Any) -> None:
        """Args:
        registry: Ray's handle of a :class:`Registry`.
        """
        self._registry = registry
        self._takes: GroupedCalls[Claim, bool] = GroupedCalls(self._take, _AT_ONCE)

    async def take(self, content: UUID, number: int) -> bool:
        """See :meth:`~shoal_server.application.bulk_ingest.Claims.take`."""
        return await self._takes.ask((content.bytes, number))

    def release(self, content: UUID, number: int) -> None:
        """See :meth:`~shoal_server.application.bulk_ingest.Claims.release`."""
        self._registry.release.remote(content.bytes, number)

    async def _take(self, wanted: Sequence[Claim]) -> list[bool]:
        answer: list[bool] = await asyncio.wrap_future(self._registry.take.remote(list(wanted)).future())
        return answer

"""Concurrent calls for one thing each become one call for many."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shoal_server.application.unbroken import unbroken

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class GroupedCalls(Generic[Request, Answer]):
    """Sends whatever was asked while the last call was under way as the next call.

    A lone request goes at once; nothing waits for company. A failure reaches everybody who shared the call. The
    number waiting is bounded by the number of callers.
    """

    def __init__(self, call: Callable[[Sequence[Request]], Awaitable[Sequence[Answer]]], largest: int) -> None:
        """Args:
        call: answers many requests, in their order.
        largest: most requests in one call.
        """
        self._call = call
        self._largest = largest
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._turn = asyncio.Lock()

    async def ask(self, request: Request) -> Answer:
        """The answer to one request."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        # Whoever gets the turn first calls for all who wait, and may find that its own was answered meanwhile. It stays
        # to the end of the call if it is cancelled: half of a group's work must not be done twice.
        try:
            async with self._turn:
                while not answer.done():
                    await unbroken(self._answer_next())
        except asyncio.CancelledError:
            answer.cancel()
            raise
        return answer.result()

    async def _answer_next(self) -> None:
        group = [entry for entry in self._waiting[: self._largest] if not entry[1].cancelled()]
        del self._waiting[: self._largest]
        try:
            answers = await self._call([request for request, _ in group])
        except Exception as error:  # noqa: BLE001 - handed on to every waiter
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():
                future.set_result(answer)

"""Streams images to the server: read ahead by a few threads, sent in order, answered in order.

    sources -> read ahead (bounded in bytes) -> sent (bounded in number) -> results

An image that cannot be read or is too large takes its place in the results without being sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import grpc.aio

from shoal.v1 import image_service_pb2
from shoal_client import conversion
from shoal_client.errors import InternalError, ShoalError
from shoal_client.results import IngestResult, Outcome
from shoal_client.sources import ImageSource, Source, open_source, read_source
from shoal_client.transport import Transport

#: Threads that read files; more do not help a disk, and fewer leave a network drive idle.
READERS = 4
#: Images being read or waiting to be sent.
READ_AHEAD = 32
#: Images sent and not yet answered: enough for the server to fill its batches.
IN_FLIGHT = 128

Item = TypeVar("Item")


async def ingest(
    transport: Transport, parent: str, sources: Iterable[ImageSource], tags: Sequence[str]
) -> AsyncGenerator[IngestResult, None]:
    """Stores images and yields what became of each, in their order.

    The files read ahead are together no larger than one message may be.

    Raises:
        ShoalError: the stream as a whole failed; what was yielded before is stored.
    """
    with transport.translating():
        pipeline = _Pipeline(transport, parent, iter(sources), tuple(tags))
        try:
            while (sent := await pipeline.sent.get()) is not None:
                yield await pipeline.result_of(sent)
            await pipeline.finish()
        finally:
            await pipeline.close()


@dataclass(frozen=True, slots=True)
class _Pending:
    """An image on its way to the stream; its bytes, or why there are none, come later."""

    source: Source
    reserved: int
    content: asyncio.Future[bytes | ShoalError]


@dataclass(frozen=True, slots=True)
class _Sent:
    """An image whose answer is next in the stream, or that was never sent because of a problem."""

    index: int
    uri: str
    problem: ShoalError | None


class _Pipeline:
    """The two tasks before the results: one reads ahead, one sends. Their errors come out of :meth:`finish`."""

    def __init__(
        self, transport: Transport, parent: str, sources: Iterator[ImageSource], tags: tuple[str, ...]
    ) -> None:
        self._limit = transport.max_file_bytes
        self._parent = parent
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="shoal-read")
        self._memory = _Budget(self._limit)
        self._pending: asyncio.Queue[_Pending | None] = asyncio.Queue(READ_AHEAD)
        self.sent: asyncio.Queue[_Sent | None] = asyncio.Queue(IN_FLIGHT)
        self._call = transport.images.IngestImages()
        self._tasks = (
            asyncio.create_task(_then_end(self._read_ahead(sources, tags), self._pending)),
            asyncio.create_task(_then_end(self._send(), self.sent)),
        )

    async def result_of(self, sent: _Sent) -> IngestResult:
        """What became of an image.

        Raises:
            grpc.aio.AioRpcError: the stream failed.
            InternalError: the server ended the stream before it answered.
        """
        if sent.problem is not None:
            return IngestResult(sent.index, sent.uri, Outcome.FAILED, error=sent.problem)
        response = await self._call.read()
        if not isinstance(response, image_service_pb2.IngestImagesResponse):
            raise InternalError("the server ended the stream before it had answered every image")
        return conversion.ingest_result(sent.index, sent.uri, response)

    async def finish(self) -> None:
        """Waits for the stream's end.

        Raises:
            grpc.aio.AioRpcError: the stream failed.
            Exception: whatever the caller's iterable raised.
        """
        await asyncio.gather(*self._tasks)
        await self._call.read()

    async def close(self) -> None:
        """Stops everything that is still going on."""
        self._call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Not waited for: a read from a drive that hangs must not hang the event loop too.
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _read_ahead(self, sources: Iterator[ImageSource], tags: tuple[str, ...]) -> None:
        def next_source() -> Source | None:
            given = next(sources, None)
            return None if given is None else open_source(given, tags)

        loop = asyncio.get_running_loop()
        # In a thread, because the iterable is the caller's code and may block.
        while (source := await loop.run_in_executor(self._pool, next_source)) is not None:
            reserved = min(source.size, self._limit)
            await self._memory.take(reserved)
            content = loop.run_in_executor(self._pool, _content_or_problem, source, self._limit)
            await self._pending.put(_Pending(source, reserved, content))

    async def _send(self) -> None:
        index = 0
        while (pending := await self._pending.get()) is not None:
            content = await pending.content
            problem = content if isinstance(content, ShoalError) else None
            # Before the write, so that the stream's failure is seen by whoever reads the answer meanwhile.
            await self.sent.put(_Sent(index, pending.source.uri, problem))
            if isinstance(content, bytes) and not await _written(self._call.write(self._request(pending, content))):
                return
            await self._memory.give_back(pending.reserved)
            index += 1
        await _written(self._call.done_writing())

    def _request(self, pending: _Pending, content: bytes) -> image_service_pb2.IngestImagesRequest:
        image = image_service_pb2.NewImage(content=content, uri=pending.source.uri, tags=pending.source.tags)
        return image_service_pb2.IngestImagesRequest(parent=self._parent, image=image)


class _Budget:
    """A number of bytes that may be taken; taking more waits."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._changed = asyncio.Condition()

    async def take(self, count: int) -> None:
        """Waits until ``count`` bytes, at most the whole budget, are left and takes them."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._left >= count)
            self._left -= count

    async def give_back(self, count: int) -> None:
        """Gives back what was taken."""
        async with self._changed:
            self._left += count
            self._changed.notify_all()


async def _then_end(work: Coroutine[None, None, None], queue: asyncio.Queue[Item | None]) -> None:
    """Puts None at the end of the queue when the work is done or has failed, so that nobody waits for ever."""
    try:
        await work
    except Exception:
        await queue.put(None)
        raise
    await queue.put(None)


async def _written(write: Awaitable[None]) -> bool:
    """Whether a write went through; if not, reading from the stream raises the reason."""
    try:
        await write
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
    return True


def _content_or_problem(source: Source, limit: int) -> bytes | ShoalError:
    try:
        return read_source(source, limit)
    except ShoalError as problem:
        return problem

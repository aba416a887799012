"""Streams images to the server: read ahead by a few threads, sent in order, answered in order.

    sources -> read ahead (bounded in bytes) -> sent (bounded in number) -> results

An image that cannot be read or is too large takes its place in the results without being sent.

The stream is a blocking one, in threads: when a server ends a stream while grpc.aio writes to it, grpc.aio loses the
answers not yet read and the server's status (https://github.com/grpc/grpc/issues/36066).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

from shoal.v1 import image_service_pb2
from shoal_client import conversion
from shoal_client.errors import InternalError, InvalidArgument, ShoalError
from shoal_client.results import IngestResult, Outcome
from shoal_client.sources import ImageSource, Source, open_source, read_source
from shoal_client.transport import Transport

#: Threads that read files; more do not help a disk, and fewer leave a network drive idle.
READERS = 4
#: Images being read or waiting to be sent.
READ_AHEAD = 32
#: Images sent and not yet answered: enough for the server to fill its batches.
IN_FLIGHT = 128

_RequestOrProblem: TypeAlias = image_service_pb2.IngestImagesRequest | ShoalError


async def ingest(
    transport: Transport, parent: str, sources: Iterable[ImageSource], tags: Sequence[str]
) -> AsyncGenerator[IngestResult, None]:
    """Stores images and yields what became of each, in their order.

    The files read ahead are together no larger than one message may be.

    Raises:
        ShoalError: the stream as a whole failed; what was yielded before is stored.
    """
    with transport.translating():
        stream = _Stream(transport, parent, iter(sources), tuple(tags))
        try:
            while (result := await asyncio.wrap_future(stream.ask_for_result())) is not None:
                yield result
        finally:
            stream.close()


@dataclass(frozen=True, slots=True)
class _Sent:
    """An image whose answer is next in the stream, or that was never sent because of a problem."""

    index: int
    uri: str
    problem: ShoalError | None


class _Stream:
    """One stream. gRPC takes the requests in a thread of its own; the results are asked for one at a time."""

    def __init__(
        self, transport: Transport, parent: str, sources: Iterator[ImageSource], tags: tuple[str, ...]
    ) -> None:
        self._limit = transport.max_file_bytes
        self._parent = parent
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="shoal-read")
        self._results = ThreadPoolExecutor(1, thread_name_prefix="shoal-results")
        self._sent: SimpleQueue[_Sent | None] = SimpleQueue()
        self._room = threading.Semaphore(IN_FLIGHT)
        self._over = False
        self._all_sent = False
        self._problem_of_caller: Exception | None = None
        self._responses = transport.blocking_images().IngestImages(self._requests(sources, tags))
        if not self._responses.add_callback(self._end):
            self._end()

    def ask_for_result(self) -> Future[IngestResult | None]:
        """The next result, or None after the last.

        Raises, in the future:
            grpc.RpcError: the stream failed.
            InternalError: the server ended the stream before it had answered every image.
            Exception: whatever the caller's iterable raised.
        """
        return self._results.submit(self._next_result)

    def close(self) -> None:
        """Stops everything that is still going on. Does not wait: a drive that hangs must not hang the caller."""
        self._responses.cancel()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._results.shutdown(wait=False, cancel_futures=True)

    def _next_result(self) -> IngestResult | None:
        sent = self._sent.get()
        if sent is not None and sent.problem is not None:
            self._room.release()
            return IngestResult(sent.index, sent.uri, Outcome.FAILED, error=sent.problem)
        response = next(self._responses, None)
        if sent is not None and response is not None:
            self._room.release()
            return conversion.ingest_result(sent.index, sent.uri, response)
        if self._problem_of_caller is not None:
            raise self._problem_of_caller
        if sent is not None or not self._all_sent:
            raise InternalError("the server ended the stream before it had answered every image")
        return None

    def _end(self) -> None:
        """Wakes both sides when the call is over: no more requests are taken, and the status is there to be read."""
        self._over = True
        self._room.release()
        self._sent.put(None)

    def _requests(
        self, sources: Iterator[ImageSource], tags: tuple[str, ...]
    ) -> Iterator[image_service_pb2.IngestImagesRequest]:
        for index, (source, reading) in enumerate(self._read_ahead(self._opened(sources, tags))):
            request = reading.result()
            self._room.acquire()
            if self._over:
                return
            if isinstance(request, ShoalError):
                self._sent.put(_Sent(index, source.uri, request))
            else:
                self._sent.put(_Sent(index, source.uri, None))
                yield request
        self._all_sent = True

    def _opened(self, sources: Iterator[ImageSource], tags: tuple[str, ...]) -> Iterator[Source]:
        """The sources until the caller's iterable ends or raises; what it raised comes after their results."""
        try:
            for given in sources:
                yield open_source(given, tags)
        except Exception as error:  # noqa: BLE001 - anything of the caller's; raised where the results are read
            self._problem_of_caller = error

    def _read_ahead(self, sources: Iterator[Source]) -> Iterator[tuple[Source, Future[_RequestOrProblem]]]:
        """Yields the images in order, each with its request to come; a few of the next ones are read meanwhile."""
        ahead: deque[tuple[Source, Future[_RequestOrProblem]]] = deque()
        for source in sources:
            while ahead and sum(min(each.size, self._limit) for each, _ in ahead) + source.size > self._limit:
                yield ahead.popleft()
            ahead.append((source, self._readers.submit(_request_or_problem, source, self._parent, self._limit)))
            while ahead and (len(ahead) == READ_AHEAD or ahead[0][1].done()):
                yield ahead.popleft()
        yield from ahead


def _request_or_problem(source: Source, parent: str, limit: int) -> _RequestOrProblem:
    try:
        content = read_source(source, limit)
        image = image_service_pb2.NewImage(content=content, uri=source.uri, tags=source.tags)
        return image_service_pb2.IngestImagesRequest(parent=parent, image=image)
    except ShoalError as problem:
        return problem
    except UnicodeEncodeError as error:
        return InvalidArgument(f"the URI or a tag is no valid text: {error.object!r}", reason="INVALID_FIELD")

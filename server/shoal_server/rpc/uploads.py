"""Images out of the messages of a stream: some come in several, and together they must not fill the memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO

from shoal.v1 import image_service_pb2
from shoal_server.application.byte_budget import ByteBudget, Growing, GrowingBudget
from shoal_server.application.ingest import NewImage, Options
from shoal_server.domain.errors import FileTooLarge, InvalidField, ShoalError, UploadStalled
from shoal_server.rpc import convert
from shoal_server.rpc.resource_names import parse_collection

#: Seconds that the next part of an image may take; then its place is given to another.
PART_TIMEOUT_S = 60.0
#: Bytes a second that the parts of an image must come with, once that time is over.
LEAST_RATE = 64 * 1024
#: Bytes of images that are being put together, all streams counted. Bytes and not images: those that come slowly are
#: many at once, and must not be waited for by those that come fast.
PARTIAL_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Upload:
    """An image that has come in whole.

    Attributes:
        collection: where it is to be stored.
        image: what to store, or why it cannot be.
        size: its bytes.
        options: the stream's.
    """

    collection: str
    image: NewImage | ShoalError
    size: int
    options: Options


class Uploads:
    """Reads uploads from streams, as fast as there is room for them."""

    def __init__(self, max_file_bytes: int, budget: ByteBudget) -> None:
        """Args:
        max_file_bytes: of one image.
        budget: of all images that are being worked on, whatever they came in by; one larger image is worked on alone.
            Up to PARTIAL_BYTES of images whose parts are coming are in memory beside that, and what the oldest takes.
        """
        self._max_file_bytes = max_file_bytes
        self._budget = budget
        self._partial = GrowingBudget(PARTIAL_BYTES)

    async def of(
        self,
        requests: AsyncIterator[image_service_pb2.IngestImagesRequest],
        begin: Callable[[str], Awaitable[None]],
    ) -> AsyncIterator[Upload]:
        """The images of a stream, each counted against the budget until it is given back by :meth:`done`.

        Args:
            requests: the stream's messages.
            begin: called with the collection, before its first image is given out.

        Raises:
            InvalidField: the parent changes, the stream ends within an image, or a part is empty.
            UploadStalled: the stream waits within an image.
            InvalidName: the parent has not the form of a name.
            ShoalError: as ``begin``.
        """
        parent, collection, options = "", "", Options()
        async for request in requests:
            if not parent:
                parent, options = request.parent, convert.ingest_options(request.options)
                collection = parse_collection(parent)
                await begin(collection)
            if request.parent not in ("", parent):
                raise InvalidField("parent", f"{request.parent[:80]!r} differs from the stream's first, {parent!r}")
            upload = [await self._upload(collection, request, requests, options)]
            # While the next one is waited for, the bytes of this one are the business of whoever works on it.
            del request
            yield upload.pop()

    def done(self, upload: Upload) -> None:
        """Gives back the room of an image that is dealt with."""
        self._budget.give_back(upload.size)

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Held while an image is worked on that did not come by a stream.

        Raises:
            FileTooLarge: it is.
        """
        self._check_size(size)
        await self._budget.take(size)
        try:
            yield
        finally:
            self._budget.give_back(size)

    async def _upload(
        self,
        collection: str,
        request: image_service_pb2.IngestImagesRequest,
        requests: AsyncIterator[image_service_pb2.IngestImagesRequest],
        options: Options,
    ) -> Upload:
        """An image whose bytes are counted against the budget.

        Raises:
            InvalidField: the stream ends within the image, or a part is empty.
            UploadStalled: the next part does not come.
        """
        try:
            if not request.more:
                content = request.image.content
                self._check_size(len(content))
                await self._budget.take(len(content))
            else:
                # It counts until there is room: no more whole images wait for it than may be put together.
                with self._partial.growing() as growing:
                    content = await self._put_together(request, requests, growing)
                    await self._budget.take(len(content))
        except FileTooLarge as problem:
            return Upload(collection, problem, 0, options)
        try:
            return Upload(collection, convert.new_image(request.image, content), len(content), options)
        except InvalidField as problem:
            return Upload(collection, problem, len(content), options)

    async def _put_together(
        self,
        request: image_service_pb2.IngestImagesRequest,
        requests: AsyncIterator[image_service_pb2.IngestImagesRequest],
        growing: Growing,
    ) -> bytes:
        """An image's bytes out of its parts, of which the next is read when there is room for those that came.

        Raises:
            FileTooLarge: it has too many; all of them were read, and none kept.
            InvalidField: the stream ends within the image, or a part is empty.
            UploadStalled: the next part does not come, or they come too slowly.
        """
        clock = asyncio.get_running_loop().time
        content = BytesIO()
        size = content.write(request.image.content)
        await growing.grow(size)
        # Only the time that the sender takes counts.
        taken = 0.0
        while request.more:
            began = clock()
            left = PART_TIMEOUT_S + size / LEAST_RATE - taken
            request = await self._next_part(requests, min(left, PART_TIMEOUT_S))
            taken += clock() - began
            if request.more and not request.image.content:
                raise InvalidField("image.content", "a part of an image is empty; send what there is of it")
            size += len(request.image.content)
            if size <= self._max_file_bytes:
                content.write(request.image.content)
                await growing.grow(len(request.image.content))
            else:
                content = BytesIO()
                growing.shrink()
        self._check_size(size)
        # Not a copy: the buffer becomes the bytes.
        return content.getvalue()

    async def _next_part(
        self, requests: AsyncIterator[image_service_pb2.IngestImagesRequest], seconds: float
    ) -> image_service_pb2.IngestImagesRequest:
        try:
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with a part.
            async with asyncio.timeout(seconds):
                return await anext(requests)
        except StopAsyncIteration:
            raise InvalidField("more", "the stream ended within an image; its last part has no `more`") from None
        except TimeoutError:
            raise UploadStalled(PART_TIMEOUT_S) from None

    def _check_size(self, size: int) -> None:
        if size > self._max_file_bytes:
            raise FileTooLarge(self._max_file_bytes)

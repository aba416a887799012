"""What requests bring: of the right kind, not too large, and not too slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import Message, Receive

from shoal_server.application.byte_budget import ByteBudget
from shoal_server.domain.errors import FileTooLarge, UploadStalled
from shoal_server.web.api.authorization import Body
from shoal_server.web.api.errors import HttpProblem

#: Seconds that the next part of a body may take.
PART_TIMEOUT_S = 60.0
#: Bytes a second that it must come with, once that time is over.
LEAST_RATE = 64 * 1024
#: Files that are read at once; those that wait are not in memory.
READING = 8
#: Bodies in JSON up to this many bytes are read at any time; larger ones have an image in them.
SMALL = 1024 * 1024

#: What a form of any page may send to any server, without that page being allowed to.
_FORMS = {"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}


class Bodies:
    """Lets them in."""

    def __init__(self, max_json_bytes: int, max_file_bytes: int, files: ByteBudget) -> None:
        """Args:
        max_json_bytes: of a body in JSON.
        max_file_bytes: of an image file.
        files: of all image files that are being worked on.
        """
        self._max_json_bytes = max_json_bytes
        self._max_file_bytes = max_file_bytes
        self._files = files
        self._large = ByteBudget(2 * max_json_bytes)
        self._reading = asyncio.Semaphore(READING)

    @asynccontextmanager
    async def let_in(self, request: Request, body: Body) -> AsyncIterator[Request]:
        """The request as its route may read it, for as long as it is being answered.

        A file has been read when the context is entered, and counts among those that are being worked on.

        Raises:
            HttpProblem: the body is of another kind, too large, or comes too slowly.
            FileTooLarge: it is a file that is too large.
            UploadStalled: it is a file that does not come.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        async with AsyncExitStack() as stack:
            if body is Body.JSON:
                if kind != "application/json":
                    raise HttpProblem(
                        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                        "NOT_JSON",
                        f"the body must be JSON, sent with Content-Type: application/json, and not {kind[:80]!r}",
                    )
                size = _announced(request)
                if size is not None and size > self._max_json_bytes:
                    raise self._too_large()
                if size is None or size > SMALL:
                    taken = self._max_json_bytes if size is None else size
                    await self._large.take(taken)
                    stack.callback(self._large.give_back, taken)
                yield Request(request.scope, self._limited(request.receive))
            elif body is Body.FILE:
                if kind in _FORMS:
                    raise HttpProblem(
                        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                        "NOT_A_FILE",
                        "send the bytes of one image file as the body, with Content-Type: application/octet-stream or "
                        "the file's own, and not as a form",
                    )
                async with self._reading:
                    content = await self._file(request)
                    await self._files.take(len(content))
                stack.callback(self._files.give_back, len(content))
                request.scope["shoal.file"] = content
                yield request
            else:
                yield request

    def _limited(self, receive: Receive) -> Receive:
        began = asyncio.get_running_loop().time()
        came = 0

        async def limited() -> Message:
            nonlocal came
            try:
                async with _in_time(began, came):
                    message = await receive()
            except TimeoutError:
                raise HttpProblem(
                    HTTPStatus.REQUEST_TIMEOUT, "BODY_STALLED", "the body did not come to its end; send it again"
                ) from None
            came += len(message.get("body", b""))
            if came > self._max_json_bytes:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> HttpProblem:
        return HttpProblem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "BODY_TOO_LARGE",
            f"the body has more than {self._max_json_bytes:,} bytes; send less, or raise SHOAL_MAX_MESSAGE_BYTES on "
            "the server",
        )

    async def _file(self, request: Request) -> bytes:
        """Reads a file.

        Raises:
            FileTooLarge: it is.
            UploadStalled: it does not come, or too slowly.
        """
        size = _announced(request)
        if size is not None and size > self._max_file_bytes:
            raise FileTooLarge(self._max_file_bytes)
        began = asyncio.get_running_loop().time()
        content = bytearray()
        try:
            parts = aiter(request.stream())
            while True:
                async with _in_time(began, len(content)):
                    part = await anext(parts, None)
                if part is None:
                    return bytes(content)
                content += part
                if len(content) > self._max_file_bytes:
                    raise FileTooLarge(self._max_file_bytes)
        except TimeoutError:
            raise UploadStalled(PART_TIMEOUT_S) from None


def _in_time(began: float, came: int) -> asyncio.Timeout:
    """For the next part of a body that began then, by the loop's clock, and of which so many bytes have come."""
    left = began + PART_TIMEOUT_S + came / LEAST_RATE - asyncio.get_running_loop().time()
    return asyncio.timeout(min(left, PART_TIMEOUT_S))


def file_of(request: Request) -> bytes:
    """The file that a request brought; it can be had once."""
    content: bytes = request.scope.pop("shoal.file")
    return content


def _announced(request: Request) -> int | None:
    """How long the body says that it is."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None

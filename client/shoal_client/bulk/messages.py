"""An image as messages of a stream: one, or several if it is large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shoal.v1 import image_service_pb2
from shoal_client.bulk.contents import READING_ERRORS, InMemory, Reader
from shoal_client.conversion.attributes import attribute_messages
from shoal_client.errors import InvalidArgument
from shoal_client.sources import NearDuplicates, Source, unreadable
from shoal_client.transport import ENVELOPE_BYTES

#: Bytes of an image in one message: with everything around them no longer than the least limit of a server, 1 MiB.
CHUNK = 2**20 - ENVELOPE_BYTES
#: Files of so many bytes are read whole, several at once; larger ones while they are sent.
READ_WHOLE = 16 * 2**20

_NEAR_DUPLICATES = {
    None: image_service_pb2.NEAR_DUPLICATES_UNSPECIFIED,
    NearDuplicates.KEEP: image_service_pb2.NEAR_DUPLICATES_KEEP,
    NearDuplicates.TAG: image_service_pb2.NEAR_DUPLICATES_TAG,
    NearDuplicates.SKIP: image_service_pb2.NEAR_DUPLICATES_SKIP,
}

Message = image_service_pb2.IngestImagesRequest


def options_message(*, drop_location: bool, near_duplicates: NearDuplicates | None) -> image_service_pb2.IngestOptions:
    """How images are to be stored."""
    return image_service_pb2.IngestOptions(
        drop_location=drop_location, near_duplicates=_NEAR_DUPLICATES[near_duplicates]
    )


def image_message(source: Source, content: bytes = b"") -> image_service_pb2.NewImage:
    """What is said of an image, with all or the first of its bytes.

    Raises:
        InvalidArgument: the URI or a tag is no text, or an attribute's value is none.
    """
    try:
        return image_service_pb2.NewImage(
            content=content,
            uri=source.uri,
            tags=list(dict.fromkeys(source.tags)),
            attributes=attribute_messages(source.attributes),
            fetch=source.content is None,
        )
    except UnicodeEncodeError as error:
        problem = f"the URI, a tag or an attribute is no valid text: {error.object!r}"
        raise InvalidArgument(problem, reason="INVALID_FIELD") from error


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image that is ready to be sent.

    Attributes:
        first: what the first message says; without bytes.
        content: all bytes, if they are in memory.
    """

    first: image_service_pb2.NewImage
    content: bytes | None


def prepare(source: Source) -> Prepared:
    """Reads an image that is not too large for that.

    Raises:
        ShoalError: it cannot be read, or what is said of it is no text.
    """
    if source.problem is not None:
        raise source.problem
    first = image_message(source)
    if source.content is None:
        return Prepared(first, b"")
    if isinstance(source.content, InMemory):
        return Prepared(first, source.content.data)
    if source.content.size > READ_WHOLE:
        return Prepared(first, None)
    try:
        with source.content.open() as file:
            data = _read_fully(file, READ_WHOLE + 1)
    except READING_ERRORS as error:
        raise unreadable(source.label, error) from error
    return Prepared(first, data if len(data) <= READ_WHOLE else None)


def messages(
    source: Source, prepared: Prepared, parent: str, give_up: Callable[[], bool], chunk: int = CHUNK
) -> Iterator[Message]:
    """The messages of one image.

    Args:
        source: where the rest of its bytes is.
        prepared: what was read of it.
        parent: the collection's name.
        give_up: whether the server has answered already; the rest is then left out.
        chunk: bytes of the image in one message.

    Raises:
        UnreadableFile: in the middle of it, it cannot be read any more.
    """
    message = Message(parent=parent, image=prepared.first)
    chunks = _slices(prepared.content, chunk) if prepared.content is not None else _read(source, chunk)
    current = next(chunks, b"")
    while (following := next(chunks, None)) is not None:
        message.image.content = current
        message.more = True
        yield message
        message = Message(image=image_service_pb2.NewImage())
        current = following
        if give_up():
            current = b""
            break
    message.image.content = current
    yield message


def _slices(content: bytes, size: int) -> Iterator[bytes]:
    if len(content) <= size:
        yield content
        return
    for start in range(0, len(content), size):
        yield content[start : start + size]


def _read(source: Source, size: int) -> Iterator[bytes]:
    if source.content is None:
        return
    try:
        with source.content.open() as file:
            while chunk := _read_fully(file, size):
                yield chunk
    except READING_ERRORS as error:
        raise unreadable(source.label, error) from error


def _read_fully(file: Reader, size: int) -> bytes:
    """The next ``size`` bytes, fewer only at the end."""
    data = file.read(size)
    if len(data) in (0, size):
        return data
    parts = [data]
    while (left := size - sum(map(len, parts))) and (data := file.read(left)):
        parts.append(data)
    return b"".join(parts)

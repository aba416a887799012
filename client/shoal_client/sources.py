"""What images are given as: files, or bytes in memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from shoal_client.errors import FileTooLarge, InvalidArgument, ShoalError, UnreadableFile

#: An image: a path, or a file's bytes.
ImageInput: TypeAlias = bytes | str | os.PathLike[str]
#: An image to store: a path, a file's bytes, or either with its URI and its own tags.
ImageSource: TypeAlias = ImageInput | tuple[ImageInput, str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Source:
    """An image to store.

    Attributes:
        path: where its bytes are, or None if they are in ``content``.
        uri: where the picture is, as stored with it.
        size: in bytes, as far as is known before reading.
        problem: why it cannot be read, if that is known already.
    """

    path: Path | None
    content: bytes = field(repr=False)
    uri: str
    tags: tuple[str, ...]
    size: int
    problem: ShoalError | None = None


def check_several(sources: Iterable[ImageSource]) -> None:
    """Refuses a single image where several belong: its characters or bytes would be taken for images.

    Raises:
        InvalidArgument: it is one.
    """
    if isinstance(sources, str | bytes | bytearray | memoryview | os.PathLike):
        raise InvalidArgument(
            f"ingest takes a list of images, not a single {type(sources).__name__}; put it into a list: "
            "ingest([image])",
            reason="INVALID_FIELD",
        )


def open_source(given: ImageSource, tags: Sequence[str]) -> Source:
    """Looks at an image to store without reading it; touches the disk.

    Args:
        given: the image. A path's URI is its absolute ``file://`` URI unless another one is given.
        tags: added to those given with the image.
    """
    image, uri, own_tags = given if isinstance(given, tuple) else (given, "", ())
    all_tags = (*own_tags, *tags)
    if isinstance(image, bytes):
        return Source(None, image, uri, all_tags, len(image))
    path = Path(image)
    try:
        uri = uri or path.resolve().as_uri()
        return Source(path, b"", uri, all_tags, _regular_size(path))
    except UnreadableFile as problem:
        return Source(path, b"", uri, all_tags, 0, problem)
    except (OSError, ValueError, RuntimeError) as error:  # a path with a null byte, a loop of links
        return Source(path, b"", uri or str(path), all_tags, 0, _unreadable(path, error))


def read_source(source: Source, limit: int) -> bytes:
    """An image's bytes; touches the disk.

    Raises:
        UnreadableFile: it vanished, may not be read or is no regular file.
        FileTooLarge: it is larger than ``limit`` bytes.
    """
    if source.problem is not None:
        raise source.problem
    if source.size > limit:
        raise FileTooLarge(source.size, limit)
    if source.path is None:
        return source.content
    try:
        with source.path.open("rb") as file:
            content = file.read(limit + 1)  # it may have grown since its size was asked for
    except OSError as error:
        raise _unreadable(source.path, error) from error
    if len(content) > limit:
        raise FileTooLarge(source.path.stat().st_size, limit)
    return content


def read_image(image: ImageInput, limit: int) -> bytes:
    """A single image's bytes; touches the disk.

    Raises:
        UnreadableFile: it vanished, may not be read or is no regular file.
        FileTooLarge: it is larger than ``limit`` bytes.
    """
    return read_source(open_source(image, ()), limit)


def _regular_size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file"
        raise UnreadableFile(str(path), f"{path}: {kind}")
    return status.st_size


def _unreadable(path: Path, error: Exception) -> UnreadableFile:
    problem = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UnreadableFile(str(path), f"{path}: {problem}")

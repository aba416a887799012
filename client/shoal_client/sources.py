"""What images are given as: files, bytes in memory, members of archives, or only where the server finds them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeAlias

from shoal_client.bulk.contents import READING_ERRORS, Content, InMemory, WholeFile
from shoal_client.errors import FileTooLarge, InvalidArgument, ShoalError, UnreadableFile
from shoal_client.filters import Attribute

#: An image: a path, or a file's bytes.
ImageInput: TypeAlias = bytes | str | os.PathLike[str]


class NearDuplicates(Enum):
    """What to do with an image that looks like a stored one though its bytes are others."""

    #: Store it.
    KEEP = "keep"
    #: Store it with the tag ``near-duplicate``.
    TAG = "tag"
    #: Do not store it; the answer is the stored image.
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Origin:
    """Which version of which file some bytes are: the same origin means the same bytes.

    Attributes:
        location: the file's absolute path; within an archive, the archive's and the member's name.
        size: of the bytes.
        mtime_ns: when the file, or the archive, was changed last; nanoseconds since 1970.
    """

    location: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """An image within an archive.

    Attributes:
        archive: the archive, as it was given.
        name: the member's.
        uri: the archive's URI with the member's name as its fragment: ``file:///photos.zip#a/b.jpg``.
        content: its bytes.
        origin: which version of it.
    """

    archive: Path
    name: str
    uri: str
    content: Content
    origin: Origin

    def __str__(self) -> str:
        return f"{self.archive}#{self.name}"


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to store, with what is said of it.

    Attributes:
        image: a path, or a file's bytes; None if the server is to read it from ``uri`` itself (``by_uri``).
        uri: where the picture is; a path's ``file://`` URI if empty.
        tags: at most 64, of at most 256 characters.
        attributes: at most 64, by key: ``[a-z][a-z0-9_]*``, at most 63 characters.
    """

    image: ImageInput | ArchiveMember | None = None
    uri: str = ""
    tags: Sequence[str] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class BadSource:
    """Something in the place of an image that is known to be none before anybody reads it.

    Attributes:
        label: what it is: a path, or a line of a list.
        error: why.
    """

    label: str
    error: ShoalError


#: An image to store: a path, a file's bytes, either with its URI and its own tags, or all that there is to say. What is
#: known to be bad takes its place in the results.
ImageSource: TypeAlias = ImageInput | tuple[ImageInput, str, Sequence[str]] | NewImage | BadSource


@dataclass(frozen=True, slots=True)
class Common:
    """What is said of every image of an ingest.

    Attributes:
        tags: added to each image's own.
        attributes: each image's own come before these.
        by_uri: send only where the pictures are; the server reads them itself.
    """

    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict, hash=False)
    by_uri: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """An image to store, after a look at it.

    Attributes:
        label: what to call it in a message.
        uri: where the picture is, as stored with it.
        content: its bytes; None if the server reads them, or if there is a problem.
        origin: which version of which file; None if nobody can say.
        problem: why it cannot be read.
    """

    label: str
    uri: str
    tags: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    content: Content | None = None
    origin: Origin | None = None
    problem: ShoalError | None = None


def check_several(sources: Iterable[ImageSource]) -> None:
    """Refuses a single image where several belong: its characters or bytes would be taken for images.

    Raises:
        InvalidArgument: it is one.
    """
    if isinstance(sources, str | bytes | bytearray | memoryview | os.PathLike | NewImage):
        raise InvalidArgument(
            f"ingest takes a list of images, not a single {type(sources).__name__}; put it into a list: "
            "ingest([image])",
            reason="INVALID_FIELD",
        )


def open_source(given: ImageSource, common: Common = Common()) -> Source:
    """Looks at an image to store without reading it; touches the disk.

    Args:
        given: the image. A path's URI is its absolute ``file://`` URI unless another one is given.
        common: what is said of every image.
    """
    if isinstance(given, BadSource):
        return Source(given.label, "", common.tags, common.attributes, problem=given.error)
    new = _as_new(given)
    tags, attributes = (*new.tags, *common.tags), {**common.attributes, **new.attributes}
    if isinstance(new.image, ArchiveMember):
        label, uri = str(new.image), new.uri or new.image.uri
        problem = _not_fetchable(label) if common.by_uri else None
        return Source(label, uri, tags, attributes, new.image.content, new.image.origin, problem)
    if isinstance(new.image, bytes):
        problem = _not_fetchable(new.uri or "an image in memory") if common.by_uri else None
        return Source(new.uri or "image", new.uri, tags, attributes, InMemory(new.image), problem=problem)
    if new.image is None:
        problem = None if common.by_uri and new.uri else _nothing_to_read(new.uri)
        return Source(new.uri or "image", new.uri, tags, attributes, problem=problem)
    path = Path(new.image)
    uri = new.uri
    try:
        absolute = path.resolve()
        uri = uri or absolute.as_uri()
        status = _regular(path)
    except UnreadableFile as problem_of_file:
        return Source(str(path), uri, tags, attributes, problem=problem_of_file)
    except (OSError, ValueError, RuntimeError) as error:  # a path with a null byte, a loop of links
        return Source(str(path), uri or str(path), tags, attributes, problem=unreadable(str(path), error))
    origin = Origin(os.fsencode(absolute), status.st_size, status.st_mtime_ns)
    content = None if common.by_uri else WholeFile(path, status.st_size)
    return Source(str(path), uri, tags, attributes, content, origin)


def read_source(source: Source, limit: int) -> bytes:
    """An image's bytes; touches the disk.

    Raises:
        UnreadableFile: it vanished, may not be read or is no regular file.
        FileTooLarge: it is larger than ``limit`` bytes.
    """
    if source.problem is not None or source.content is None:
        raise source.problem or _nothing_to_read(source.uri)
    if source.content.size > limit:
        raise FileTooLarge(source.content.size, limit)
    try:
        with source.content.open() as file:
            data = file.read(limit + 1)  # it may have grown since its size was asked for
    except READING_ERRORS as error:
        raise unreadable(source.label, error) from error
    if len(data) > limit:
        raise FileTooLarge(len(data), limit)
    return data


def read_image(image: ImageInput, limit: int) -> bytes:
    """A single image's bytes; touches the disk.

    Raises:
        UnreadableFile: it vanished, may not be read or is no regular file.
        FileTooLarge: it is larger than ``limit`` bytes.
    """
    return read_source(open_source(image), limit)


def unreadable(label: str, error: Exception) -> UnreadableFile:
    """The client's error for one of READING_ERRORS."""
    problem = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return UnreadableFile(label, f"{label}: {problem}")


def _as_new(given: ImageInput | tuple[ImageInput, str, Sequence[str]] | NewImage) -> NewImage:
    if isinstance(given, NewImage):
        return given
    if isinstance(given, tuple):
        image, uri, tags = given
        return NewImage(image, uri, tags)
    return NewImage(given)


def _regular(path: Path) -> os.stat_result:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no regular file"
        raise UnreadableFile(str(path), f"{path}: {kind}")
    return status


def _not_fetchable(label: str) -> InvalidArgument:
    return InvalidArgument(
        f"{label}: the server cannot read this by its URI; ingest it without by_uri (--by-uri)", reason="INVALID_FIELD"
    )


def _nothing_to_read(uri: str) -> InvalidArgument:
    what = f"{uri!r} is no file of this machine" if uri else "neither an image nor its URI is given"
    return InvalidArgument(
        f"{what}; give a path, or let the server read the URI with by_uri (--by-uri)", reason="INVALID_FIELD"
    )

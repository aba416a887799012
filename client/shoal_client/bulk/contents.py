"""Where an image's bytes are, and how to read them; everything here can be read more than once."""

from __future__ import annotations

import lzma
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

#: What reading raises: a file's errors, and those of damaged, encrypted or exotic archives.
READING_ERRORS = (
    OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip

#: The bit of a zip member's flags.
_ENCRYPTED = 0x1


class Reader(Protocol):
    """Something that is read from its beginning to its end."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` of the next bytes; none at the end."""
        ...


class Content(Protocol):
    """An image's bytes.

    Attributes:
        size: in bytes, as far as is known before reading.
        held: bytes of it that are in memory for as long as it is waiting.
    """

    @property
    def size(self) -> int: ...

    @property
    def held(self) -> int: ...

    def open(self) -> AbstractContextManager[Reader]:
        """Begins to read.

        Raises:
            Exception: one of READING_ERRORS, here or while it is read.
        """
        ...


@dataclass(frozen=True, slots=True)
class InMemory:
    """Bytes that are there already."""

    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def held(self) -> int:
        return len(self.data)

    def open(self) -> AbstractContextManager[Reader]:
        return nullcontext(BytesIO(self.data))


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A file of its own."""

    path: Path
    size: int
    held: int = 0

    def open(self) -> AbstractContextManager[Reader]:
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class PartOfFile:
    """A stretch of a file: a member of an archive that is not compressed."""

    path: Path
    offset: int
    size: int
    held: int = 0

    @contextmanager
    def open(self) -> Iterator[Reader]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            yield _Stretch(file, self.size)


class _Stretch:
    """The next ``size`` bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        if not data and size and self._left:
            raise EOFError("the archive ends within it")
        self._left -= len(data)
        return data


class SharedZip:
    """A zip archive whose members are read by several threads, as long as any of them is wanted.

    Raises:
        Exception: one of READING_ERRORS; it is no zip archive, or may not be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise zipfile.BadZipFile("it is cut off or damaged, or no zip archive; copy it anew") from error
        # ZipFile counts its open members without a lock.
        self._lock = threading.Lock()

    @property
    def members(self) -> list[zipfile.ZipInfo]:
        """In the order of the archive's directory."""
        return self._archive.infolist()

    @contextmanager
    def open(self, member: zipfile.ZipInfo) -> Iterator[Reader]:
        """Begins to read a member.

        Raises:
            Exception: one of READING_ERRORS; it is encrypted, for instance.
        """
        if member.flag_bits & _ENCRYPTED:
            raise RuntimeError("it is encrypted; unpack the archive first")
        with self._lock:
            file = self._archive.open(member)
        try:
            yield file
        finally:
            with self._lock:
                file.close()


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A member of a zip archive."""

    archive: SharedZip = field(repr=False)
    member: zipfile.ZipInfo
    held: int = 0

    @property
    def size(self) -> int:
        return self.member.file_size

    def open(self) -> AbstractContextManager[Reader]:
        return self.archive.open(self.member)

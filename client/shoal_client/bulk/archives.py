"""Images within zip and tar archives, one after the other; nothing is unpacked to the disk.

An archive comes from anywhere, so no name in it is used as a path, links are passed over, and what unpacks to more than
it can mean to is left: MEMBER_LIMIT bounds a member, MAX_RATIO and FREE_BYTES bound the archive.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import importlib.util
import lzma
import os
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import quote

from shoal_client.bulk.contents import InMemory, PartOfFile, SharedZip, ZipMember
from shoal_client.errors import InvalidArgument, UnreadableFile
from shoal_client.sources import ArchiveMember, BadSource, Origin, unreadable

#: Bytes of a member, unpacked: what a server takes by default.
MEMBER_LIMIT = 512 * 2**20
#: An archive may unpack to so many times its size ...
MAX_RATIO = 200
#: ... and in any case to so many bytes.
FREE_BYTES = 2**30
#: Bytes read from a tar archive at once. Its headers are far smaller; one that says otherwise is meant to fill memory.
_AT_ONCE = 2**20

#: What is counted for a link in place of a suffix.
LINK = "link"


def _zstd(path: Path) -> BinaryIO:
    return cast("BinaryIO", importlib.import_module("compression.zstd").ZstdFile(path))


_TAR: dict[str, Callable[[Path], Any]] = {
    ".tar": lambda path: path.open("rb"),
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tbz2": bz2.open,
    ".tar.xz": lzma.open,
    ".txz": lzma.open,
}
# Python has it from 3.14 on.
if importlib.util.find_spec("compression") is not None:
    _TAR |= {".tar.zst": _zstd}

ARCHIVE_SUFFIXES = (".zip", *_TAR)


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive which can be read here."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def members(path: Path, suffixes: frozenset[str], passed_over: Counter[str]) -> Iterator[ArchiveMember | BadSource]:
    """The images in an archive, in its order; what is wrong with it stands in its place.

    Members of a compressed tar archive are in memory, one at a time; the others are read when they are wanted.

    Args:
        path: the archive's.
        suffixes: of the members to take, in lower case.
        passed_over: counts the other members that are not hidden, by suffix.
    """
    try:
        status = path.stat()
        uri = path.resolve().as_uri()
        found = _of_zip(path) if path.name.lower().endswith(".zip") else _of_tar(path)
        budget = _Budget(str(path), status.st_size)
        with closing(found):
            for name, member in found:
                if isinstance(member, BadSource):
                    yield member
                    continue
                if _is_hidden(name):
                    continue
                suffix = PurePosixPath(name).suffix.lower()
                if member.is_link or suffix not in suffixes:
                    passed_over[LINK if member.is_link else suffix] += 1
                    continue
                if member.size > MEMBER_LIMIT:
                    yield BadSource(f"{path}#{name}", _too_large(f"{path}#{name}", member.size))
                    continue
                budget.spend(member.size)
                place = b"%s#%s@%d" % (os.fsencode(path.resolve()), os.fsencode(name), member.offset)
                origin = Origin(place, member.size, status.st_mtime_ns)
                yield ArchiveMember(path, name, f"{uri}#{quote(os.fsencode(name))}", member.content(), origin)
    # Whatever a hostile or damaged archive makes Python's readers raise.
    except Exception as error:  # noqa: BLE001
        problem = error if isinstance(error, InvalidArgument) else unreadable(str(path), error)
        yield BadSource(str(path), problem)


class _Member:
    """What both kinds of archives say of a member."""

    def __init__(self, size: int, offset: int, content: Callable[[], Any], *, is_link: bool) -> None:
        self.size = size
        self.offset = offset
        self.content = content
        self.is_link = is_link


class _Budget:
    """Counts what an archive unpacks to."""

    def __init__(self, label: str, size: int) -> None:
        self._label = label
        self._limit = max(FREE_BYTES, MAX_RATIO * size)
        self._spent = 0

    def spend(self, size: int) -> None:
        """Counts so many bytes.

        Raises:
            UnreadableFile: that is more than the archive may unpack to.
        """
        self._spent += size
        if self._spent > self._limit:
            raise UnreadableFile(
                self._label,
                f"{self._label}: it unpacks to more than {self._limit:,} bytes, {MAX_RATIO} times its size; the "
                "rest of it is not read: unpack it yourself if it is what it should be",
            )


def _of_zip(path: Path) -> Generator[tuple[str, _Member | BadSource], None, None]:
    archive = SharedZip(path)
    for info in archive.members:
        if info.is_dir():
            continue
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        yield info.filename, _Member(info.file_size, info.header_offset, _zip_content(archive, info), is_link=is_link)


def _zip_content(archive: SharedZip, info: zipfile.ZipInfo) -> Callable[[], ZipMember]:
    return lambda: ZipMember(archive, info)


def _of_tar(path: Path) -> Generator[tuple[str, _Member | BadSource], None, None]:
    suffix = max((each for each in _TAR if path.name.lower().endswith(each)), key=len)
    with _TAR[suffix](path) as file:
        stream = _TarStream(file, _Budget(str(path), path.stat().st_size), seekable=suffix == ".tar")
        with tarfile.TarFile(fileobj=cast("BinaryIO", stream), mode="r") as archive:
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined] # it would remember every one of them
                if not (info.isfile() or info.islnk() or info.issym()):
                    continue
                is_part = suffix == ".tar" and not info.issparse()
                content = _part(path, info) if is_part else _unpacked(archive, info)
                yield info.name, _Member(info.size, info.offset_data, content, is_link=not info.isfile())
        # The tarfile module takes a damaged header for the end.
        if stream.last.strip(b"\0"):
            yield "", BadSource(str(path), UnreadableFile(str(path), f"{path}: it is damaged; the rest is not read"))


def _part(path: Path, info: tarfile.TarInfo) -> Callable[[], PartOfFile]:
    return lambda: PartOfFile(path, info.offset_data, info.size)


def _unpacked(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], InMemory]:
    def read() -> InMemory:
        file = archive.extractfile(info)
        chunks = []
        if file is not None:
            while chunk := file.read(_AT_ONCE):
                chunks.append(chunk)
        return InMemory(b"".join(chunks))

    return read


class _TarStream:
    """A tar archive's bytes, read forward only if they are compressed, and never too many at once.

    Attributes:
        last: what was read last.
    """

    def __init__(self, file: BinaryIO, budget: _Budget, *, seekable: bool) -> None:
        self.last = b""
        self._file = file
        self._budget = budget
        self._seekable = seekable
        self._position = 0

    def tell(self) -> int:
        """Where the next byte is."""
        return self._position

    def seek(self, position: int) -> int:
        """Goes there; bytes in between are unpacked and forgotten.

        Raises:
            UnreadableFile: it is behind, or too far ahead.
        """
        if self._seekable:
            self._position = self._file.seek(position)
            return self._position
        if position < self._position:
            raise tarfile.ReadError("its headers lead backwards")
        while self._position < position and self.read(min(_AT_ONCE, position - self._position)):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes.

        Raises:
            ReadError: more are wanted than an honest header has.
            UnreadableFile: the archive unpacks to too much.
        """
        if not 0 <= size <= _AT_ONCE:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        data = self._file.read(size)
        self._position += len(data)
        if not self._seekable:
            self._budget.spend(len(data))
        self.last = data
        return data


def _too_large(label: str, size: int) -> UnreadableFile:
    return UnreadableFile(
        label, f"{label}: it is {size:,} bytes unpacked; at most {MEMBER_LIMIT:,} are read from an archive: unpack it"
    )


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in {".", ".."} for part in PurePosixPath(name).parts)

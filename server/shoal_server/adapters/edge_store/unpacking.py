"""Reads an archive of a data folder, and believes nothing of it that it has not checked."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from shoal_server.adapters.edge_store.archive import ARCHIVE_FORMAT, HEADER, MANIFEST, SUMS
from shoal_server.adapters.edge_store.folder_format import FORMAT
from shoal_server.domain.errors import StoreIncompatible

_SUMS_IN_MEMORY = 8 << 20
_GZIP = b"\x1f\x8b"
#: Zeros become a hole in pieces of this size.
_HOLE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive held.

    Attributes:
        created_at: when it was begun.
        shoal: version that wrote it.
        collections: by id, with the number of images where it is known.
        files: how many.
        bytes: of them all, holes included.
    """

    created_at: datetime
    shoal: str
    collections: dict[str, int | None]
    files: int
    bytes: int


def unpack(archive: Path, folder: Path, progress: Callable[[int], None] = lambda _: None) -> Unpacked:
    """Unpacks an archive, compressed or not, into an empty folder and compares every file with its checksum. Blocks.

    Args:
        archive: the file.
        folder: what was unpacked before something is raised stays there.
        progress: told how many bytes of the archive were read.

    Raises:
        StoreIncompatible: it is no archive of Shoal's, a newer version wrote it, or it is damaged.
        OSError: the archive cannot be read, or the folder not be written.
    """
    with archive.open("rb") as file, SpooledTemporaryFile(max_size=_SUMS_IN_MEMORY) as sums:
        # Not tarfile's own decompression: it copies all that a block became for each header that it reads.
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        counted: Any = _Counted(file, progress)
        reading = gzip.GzipFile(fileobj=counted, mode="rb") if packed else counted
        with _damage_translated(archive), tarfile.open(fileobj=reading, mode="r|", bufsize=_HOLE) as tar:
            members = iter(tar)
            _check_header(archive, tar, next(members, None))
            files = total = 0
            listed: bytes | None = None
            for member in members:
                if member.name == SUMS:
                    listed = _content(tar, member)
                elif member.name == MANIFEST:
                    break
                else:
                    digest = _unpack_file(archive, tar, member, folder)
                    sums.write(f"{digest}  {member.name}\n".encode())
                    files += 1
                    total += member.size
            else:
                raise _damaged(archive, "it ends too early")
            manifest = json.loads(_content(tar, member))
            found = Unpacked(
                created_at=datetime.fromisoformat(manifest["created_at"]),
                shoal=str(manifest["shoal"]),
                collections={str(name): each["images"] for name, each in manifest["collections"].items()},
                files=int(manifest["files"]),
                bytes=int(manifest["bytes"]),
            )
            sums.seek(0)
            if listed is None or hashlib.sha256(listed).hexdigest() != manifest["sha256sums"]:
                raise _damaged(archive, f"{SUMS} is not what {MANIFEST} says")
            if listed != (present := sums.read()):
                raise _damaged(archive, _first_difference(listed, present))
            if (files, total) != (found.files, found.bytes):
                raise _damaged(archive, f"it has {files} files of {total} bytes, and {MANIFEST} says otherwise")
            return found


def _check_header(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> None:
    if member is None or member.name != HEADER:
        raise StoreIncompatible(f"{archive} is no backup of Shoal; choose a file that `shoal backup` wrote")
    header = json.loads(_content(tar, member))
    if header["shoal_backup"] > ARCHIVE_FORMAT or header["format"] > FORMAT:
        raise StoreIncompatible(
            f"{archive} was written by Shoal {header['shoal']} (archive {header['shoal_backup']}, folder "
            f"{header['format']}), but this version reads archives up to {ARCHIVE_FORMAT} of folders up to {FORMAT}; "
            "restore it with the version that wrote it or a newer one"
        )


def _unpack_file(archive: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> str:
    """Its SHA-256."""
    name = PurePosixPath(member.name)
    if not member.isreg() or name.is_absolute() or not name.parts or any(part.startswith(".") for part in name.parts):
        raise _damaged(archive, f"{member.name!r} is nothing that a backup holds")
    path = folder.joinpath(*name.parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    zeros = bytes(_HOLE)
    reader = tar.extractfile(member)
    assert reader is not None  # noqa: S101 - a regular file
    with reader, path.open("xb") as writer:
        while block := reader.read(_HOLE):
            digest.update(block)
            if block == zeros[: len(block)]:
                writer.seek(len(block), 1)
            else:
                writer.write(block)
        writer.truncate()
        if writer.tell() != member.size:
            raise _damaged(archive, f"{member.name} ends too early")
    return digest.hexdigest()


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    reader = tar.extractfile(member)
    return b"" if reader is None else reader.read()


def _first_difference(listed: bytes, present: bytes) -> str:
    wanted = dict(line.split("  ", 1)[::-1] for line in listed.decode().splitlines())
    found = dict(line.split("  ", 1)[::-1] for line in present.decode().splitlines())
    for name in wanted | found:
        if wanted.get(name) != found.get(name):
            return f"{name} is {'missing' if name not in found else 'not what it was'}"
    return "its files are in another order"


@contextmanager
def _damage_translated(archive: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.ReadError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        # Also of a file that never was an archive.
        raise _damaged(archive, f"it is no archive, or cannot be read to its end ({error})") from error
    except (tarfile.TarError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(archive, f"it cannot be understood ({type(error).__name__}: {error})") from error


def _damaged(archive: Path, problem: str) -> StoreIncompatible:
    return StoreIncompatible(f"the backup {archive} is damaged: {problem}; restore another one", file=str(archive))


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        self._file = file
        self._progress = progress
        self._read = 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        block = self._file.read(size)
        self._read += len(block)
        self._progress(self._read)
        return block

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

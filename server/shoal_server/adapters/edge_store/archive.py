"""The archive of a data folder: a tar file that every tar program can unpack.

    backup.json     what this is: first, so that a version that cannot read it says so at once
    format.json     and all the rest, as in the data folder
    SHA256SUMS      of every file before it, in their order, for ``sha256sum --check``
    manifest.json   what is in it; without it the archive is not whole

Files with holes are stored in GNU's sparse format 1.0, as PAX headers have it.
https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from io import FileIO
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

from shoal_server.adapters.edge_store import folder_format
from shoal_server.adapters.edge_store.sparse import BLOCK, data_spans, read_span
from shoal_server.application.backup import Snapshot

#: Of the archive. Raised by a change that older versions would misread.
ARCHIVE_FORMAT = 1

HEADER = "backup.json"
SUMS = "SHA256SUMS"
MANIFEST = "manifest.json"

#: A hole is worth a sparse member from this many bytes on.
_WORTHWHILE = 64 * 1024
_ZEROS = bytes(BLOCK)
_SUMS_IN_MEMORY = 8 << 20


class FolderArchive:
    """Writes an archive: the bytes of its members, one after another. Everything blocks."""

    def __init__(self, format_: int, files: Path | None) -> None:
        """Args:
        format_: of the folder.
        files: folder of the images' files; None: they are kept elsewhere.
        """
        self._format = format_
        self._files = files
        self._created_at = datetime.now(UTC)
        self._sums = SpooledTemporaryFile(max_size=_SUMS_IN_MEMORY)  # noqa: SIM115 - closed with the archive
        self._collections: dict[str, int | None] = {}
        self._count = 0
        self._bytes = 0

    def opening(self) -> Iterator[bytes]:
        """What stands at its beginning."""
        header = {
            "shoal_backup": ARCHIVE_FORMAT,
            "format": self._format,
            "shoal": version("shoal"),
            "created_at": self._created_at.isoformat(),
        }
        yield self._plain(HEADER, _json(header))
        yield self._listed(folder_format.FILE, _json({"format": self._format}))

    def snapshot(self, snapshot: Snapshot) -> Iterator[bytes]:
        """A collection's copy."""
        self._collections[snapshot.collection] = snapshot.images
        yield from self.tree("", snapshot.folder)

    def collection(self, collection: str, folder: Path) -> Iterator[bytes]:
        """A collection's folder, which nobody changes."""
        self._collections[collection] = None
        yield from self.tree(f"collections/{collection}", folder)

    def files(self, collection: str) -> Iterator[bytes]:
        """The files of a collection's images, as far as they are still there."""
        if self._files is not None:
            yield from self.tree(f"{IMAGE_FILES}/{collection}", self._files / collection)

    def tree(self, name: str, folder: Path) -> Iterator[bytes]:
        """All files below a folder.

        Args:
            name: of the folder in the archive; empty for its root.
            folder: nothing comes of one that is not there.
        """
        for path in _sorted_files(folder):
            member = f"{name}/{path.relative_to(folder).as_posix()}".lstrip("/")
            try:
                file = path.open("rb", buffering=0)
            except FileNotFoundError:
                continue
            with file:
                yield from self._member(member, file)

    def closing(self) -> Iterator[bytes]:
        """What stands at its end."""
        self._sums.seek(0)
        sums = self._sums.read()
        yield self._plain(SUMS, sums)
        manifest = {
            "shoal_backup": ARCHIVE_FORMAT,
            "format": self._format,
            "shoal": version("shoal"),
            "created_at": self._created_at.isoformat(),
            "collections": {name: {"images": images} for name, images in self._collections.items()},
            "files": self._count,
            "bytes": self._bytes,
            "sha256sums": hashlib.sha256(sums).hexdigest(),
        }
        yield self._plain(MANIFEST, _json(manifest))
        yield bytes(2 * tarfile.BLOCKSIZE)

    def close(self) -> None:
        """Lets go of what is temporary."""
        self._sums.close()

    def _listed(self, name: str, content: bytes) -> bytes:
        self._list(name, hashlib.sha256(content).hexdigest(), len(content))
        return self._plain(name, content)

    def _plain(self, name: str, content: bytes) -> bytes:
        return self._header(name, len(content)) + content + _padding(len(content))

    def _member(self, name: str, file: FileIO) -> Iterator[bytes]:
        size = os.fstat(file.fileno()).st_size
        spans = data_spans(file, size)
        digest = hashlib.sha256()
        stored = sum(length for _, length in spans)
        if size - stored < _WORTHWHILE:
            spans = [(0, size)] if size else []
            yield self._header(name, size)
            stored = size
        else:
            spans_map = _sparse_map(spans, size)
            yield self._header(name, len(spans_map) + stored, size)
            yield spans_map
        end = 0
        for start, length in spans:
            _update_with_zeros(digest, start - end)
            for block in read_span(file, start, length):
                digest.update(block)
                yield block
            end = start + length
        _update_with_zeros(digest, size - end)
        yield _padding(stored)
        self._list(name, digest.hexdigest(), size)

    def _header(self, name: str, length: int, real_size: int | None = None) -> bytes:
        info = tarfile.TarInfo(name)
        info.size = length
        info.mtime = int(self._created_at.timestamp())
        if real_size is not None:
            # Short: a path in the PAX headers beside the sparse file's name would win over it with some readers.
            info.name = f"GNUSparseFile.0/{self._count}"
            info.pax_headers = {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.name": name,
                "GNU.sparse.realsize": str(real_size),
            }
        return info.tobuf(tarfile.PAX_FORMAT)

    def _list(self, name: str, digest: str, size: int) -> None:
        self._sums.write(f"{digest}  {name}\n".encode())
        self._count += 1
        self._bytes += size


#: Where the files of runs and images of a store in the folder are.
RUN_FILES = "runs/embedded"
IMAGE_FILES = "files/embedded"


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _padding(length: int) -> bytes:
    return bytes(-length % tarfile.BLOCKSIZE)


def _sparse_map(spans: list[tuple[int, int]], size: int) -> bytes:
    """How many stretches of data there are, and where; the last one, empty, tells where the file ends."""
    numbers = [len(spans) + 1, *(number for span in [*spans, (size, 0)] for number in span)]
    text = "".join(f"{number}\n" for number in numbers).encode()
    return text + _padding(len(text))


def _update_with_zeros(digest: Any, length: int) -> None:
    while length > 0:
        digest.update(memoryview(_ZEROS)[: min(length, BLOCK)])
        length -= BLOCK


def _sorted_files(folder: Path) -> Iterator[Path]:
    """Without what is being written, whose names begin with a dot."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _sorted_files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)

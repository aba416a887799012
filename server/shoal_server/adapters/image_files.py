"""Thumbnails and originals as files in a folder."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import portalocker

from shoal_server.application.ports import FileKind
from shoal_server.domain.errors import FileNotKept, FolderInUse, FolderNotWritable, StoreUnavailable

T = TypeVar("T")

#: Bytes of one part of a file that is read.
PART = 1024 * 1024

_SUFFIXES = {FileKind.THUMBNAIL: ".webp", FileKind.ORIGINAL: ""}
_NOT_KEPT = {
    FileKind.THUMBNAIL: (
        "thumbnail",
        "it was stored without one, or its file was lost; send the file again to have one",
    ),
    FileKind.ORIGINAL: (
        "original",
        "the server keeps the files that come while SHOAL_KEEP_ORIGINALS is set; set it and send the file again",
    ),
}


class FolderImageFiles:
    """An ``ImageFiles`` in a folder.

    The files are ``<collection>/thumbnails/<xx>/<id>.webp`` and ``<collection>/originals/<xx>/<id>``, where ``xx`` are
    the last two hexadecimal digits of the id: ids are hashes, so 256 folders share the files evenly. What is being
    written, or removed with its collection, is in ``.scratch``.

    Every file is there whole or not at all after ``kill -9``. After a power failure, originals are too; a thumbnail of
    the last seconds may be missing or empty then, for it can be made again.
    """

    def __init__(self, folder: Path, threads: int = 4) -> None:
        """Opens or makes the folder and removes what a crash left in ``.scratch``; blocks.

        Args:
            folder: belongs to this object alone until it is closed.
            threads: that read and write.

        Raises:
            FolderInUse: another server has it.
            FolderNotWritable: it cannot be made or written to.
        """
        self._folder = folder
        self._scratch = folder / ".scratch"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("a+b")
        except OSError as error:
            raise FolderNotWritable(str(folder), error.strerror or str(error)) from error
        try:
            portalocker.lock(self._lock, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
            if self._scratch.exists():
                shutil.rmtree(self._scratch)
            self._scratch.mkdir()
        except portalocker.LockException as error:
            self._lock.close()
            raise FolderInUse(str(folder), "") from error
        except OSError as error:
            self._lock.close()
            raise FolderNotWritable(str(folder), error.strerror or str(error)) from error
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="image-files")

    def close(self) -> None:
        """Waits for what is being read and written, and lets go of the folder."""
        self._pool.shutdown()
        self._lock.close()

    async def put(self, collection: str, image: UUID, kind: FileKind, content: bytes) -> None:
        """Keeps a file, whole or not at all; one that is there is replaced. An original is durable on return.

        Raises:
            StoreUnavailable: the folder cannot be written to, or the disk is full.
        """
        path = self._path(collection, image, kind)
        await self._in_thread(lambda: self._write(path, content, durably=kind is FileKind.ORIGINAL))

    async def size(self, collection: str, image: UUID, kind: FileKind) -> int | None:
        """Bytes of a file; None if there is none.

        Raises:
            StoreUnavailable: the folder cannot be read.
        """
        path = self._path(collection, image, kind)
        return await self._in_thread(lambda: _size(path))

    async def read(self, collection: str, image: UUID, kind: FileKind) -> AsyncIterator[bytes]:
        """A file's bytes in parts of at most 1 MiB: those it had at the first part, whatever becomes of it meanwhile.

        Raises:
            FileNotKept: there is none.
            StoreUnavailable: the folder cannot be read.
        """
        path = self._path(collection, image, kind)
        file = await self._in_thread(lambda: _open(path))
        if file is None:
            raise FileNotKept(str(image), *_NOT_KEPT[kind])
        with file:
            while part := await self._in_thread(lambda: file.read(PART)):
                yield part

    async def delete(self, collection: str, images: Sequence[UUID]) -> None:
        """Removes all files of these images, durably; what is not there is passed over.

        Raises:
            StoreUnavailable: the folder cannot be written to.
        """
        paths = [self._path(collection, image, kind) for image in images for kind in FileKind]
        await self._in_thread(lambda: _delete(paths))

    async def delete_collection(self, collection: str) -> None:
        """Removes all files of a collection, durably, if there are any; a file that is put meanwhile may stay.

        Raises:
            StoreUnavailable: the folder cannot be written to.
        """
        await self._in_thread(lambda: self._delete_collection(collection))

    def _path(self, collection: str, image: UUID, kind: FileKind) -> Path:
        return self._folder / collection / kind.value / image.hex[-2:] / f"{image}{_SUFFIXES[kind]}"

    def _write(self, path: Path, content: bytes, *, durably: bool) -> None:
        partial = self._scratch / uuid4().hex
        try:
            with partial.open("wb") as file:
                file.write(content)
                if durably:
                    file.flush()
                    os.fsync(file.fileno())
            self._move(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        if durably:
            # The folders too: each may be new, and one whose name is lost takes the file with it.
            for folder in path.parents[:4]:
                _sync(folder)

    def _move(self, partial: Path, path: Path) -> None:
        for _ in range(10):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.replace(path)
            except FileNotFoundError:
                # The collection was deleted between the two, perhaps to be made again under the same name.
                continue
            return
        raise OSError(f"the folder {path.parent} is removed again and again")

    def _delete_collection(self, collection: str) -> None:
        # Moved away first: nobody puts a file into a folder that is being emptied.
        going = self._scratch / uuid4().hex
        try:
            (self._folder / collection).rename(going)
        except FileNotFoundError:
            return
        _sync(self._folder)
        shutil.rmtree(going)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OSError as error:
            raise StoreUnavailable(str(self._folder), str(error)) from error


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _open(path: Path) -> FileIO | None:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        return None


def _delete(paths: Sequence[Path]) -> None:
    changed = set()
    for path in paths:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        changed.add(path.parent)
    for folder in changed:
        _sync(folder)


def _sync(folder: Path) -> None:
    """Makes what was put into a folder, or taken out of it, durable."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        # It was deleted with its collection: there is nothing left to lose.
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

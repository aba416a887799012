"""Thumbnails and originals as files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from uuid import UUID

from shoal_server.adapters.files.place import Place
from shoal_server.application.ports import FileKind
from shoal_server.domain.errors import FileNotKept

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


class NamedImageFiles:
    """An ``ImageFiles`` in a place.

    The files are ``<collection>/thumbnails/<xx>/<id>.webp`` and ``<collection>/originals/<xx>/<id>``, where ``xx`` are
    the last two hexadecimal digits of the id: ids are hashes, so 256 folders share the files evenly.

    Originals are durable. In a folder, a thumbnail of the last seconds before a power failure may be missing or empty,
    for it can be made again.
    """

    def __init__(self, place: Place) -> None:
        """Args:
        place: belongs to this object, which closes it.
        """
        self._place = place
        self._pool = ThreadPoolExecutor(max_workers=place.threads, thread_name_prefix="image-files")

    def close(self) -> None:
        """Waits for what is being read and written, and lets go of the place."""
        self._pool.shutdown()
        self._place.close()

    async def put(self, collection: str, image: UUID, kind: FileKind, content: bytes) -> None:
        """Keeps a file, whole or not at all; one that is there is replaced. An original is durable on return.

        Raises:
            StoreFull: there is too little room on the disk.
            StoreUnavailable: the place cannot be written to.
        """
        name = _name(collection, image, kind)
        await self._in_thread(lambda: self._place.write(name, content, durably=kind is FileKind.ORIGINAL))

    async def size(self, collection: str, image: UUID, kind: FileKind) -> int | None:
        """Bytes of a file; None if there is none.

        Raises:
            StoreUnavailable: the place cannot be read.
        """
        return await self._in_thread(lambda: self._place.size(_name(collection, image, kind)))

    async def read(self, collection: str, image: UUID, kind: FileKind) -> AsyncIterator[bytes]:
        """A file's bytes in parts of at most 1 MiB: those it had at the first part, whatever becomes of it meanwhile.

        Raises:
            FileNotKept: there is none.
            StoreUnavailable: the place cannot be read, or a file of more than 8 MiB in an object storage was removed
                while it was read.
        """
        file = await self._in_thread(lambda: self._place.open(_name(collection, image, kind)))
        if file is None:
            raise FileNotKept(str(image), *_NOT_KEPT[kind])
        try:
            while part := await self._in_thread(lambda: file.read(PART)):
                yield part
        finally:
            file.close()

    async def delete(self, collection: str, images: Sequence[UUID]) -> None:
        """Removes all files of these images, durably; what is not there is passed over.

        Raises:
            StoreUnavailable: the place cannot be written to.
        """
        names = [_name(collection, image, kind) for image in images for kind in FileKind]
        await self._in_thread(lambda: self._place.delete(names))

    async def delete_collection(self, collection: str) -> None:
        """Removes all files of a collection, durably, if there are any; a file that is put meanwhile may stay.

        Raises:
            StoreUnavailable: the place cannot be written to.
        """
        await self._in_thread(lambda: self._place.delete_all(collection))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _name(collection: str, image: UUID, kind: FileKind) -> str:
    return f"{collection}/{kind.value}/{image.hex[-2:]}/{image}{_SUFFIXES[kind]}"

"""What is kept of the pictures themselves: thumbnails, and originals if that is switched on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ownership import check_own
from shoal_server.application.ports import FileKind, ImageFiles, ImageStore
from shoal_server.domain.errors import ImageNotFound


class Pictures:
    """Reads files of images."""

    def __init__(self, collections: OpenCollections, store: ImageStore, files: ImageFiles) -> None:
        self._collections = collections
        self._store = store
        self._files = files

    async def thumbnail(self, collection: str, image: UUID) -> bytes:
        """A WebP file.

        Raises:
            ImageNotFound: there is no image of that id.
            FileNotKept: it was stored without a thumbnail.
            AttachedCollection: it is somebody else's.
        """
        return b"".join([part async for part in self._parts(collection, image, FileKind.THUMBNAIL)])

    def original(self, collection: str, image: UUID) -> AsyncIterator[bytes]:
        """The file as it was sent, in parts.

        Raises:
            ImageNotFound: there is no image of that id.
            FileNotKept: the server did not keep originals when it was stored.
            AttachedCollection: it is somebody else's.
        """
        return self._parts(collection, image, FileKind.ORIGINAL)

    async def _parts(self, collection: str, image: UUID, kind: FileKind) -> AsyncIterator[bytes]:
        check_own(await self._collections.open(collection), "there are no pictures of it")
        if image not in await self._store.get_images(collection, [image]):
            raise ImageNotFound(collection, str(image))
        async for part in self._files.read(collection, image, kind):
            yield part

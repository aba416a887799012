"""Looking at stored images and removing them."""

from __future__ import annotations

from uuid import UUID

from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.domain.errors import ImageNotFound
from shoal_server.domain.image import Image, ImageFilter


class Images:
    """Reads and removes single images."""

    def __init__(self, collections: OpenCollections, store: ImageStore) -> None:
        self._collections = collections
        self._store = store

    async def get(self, collection: str, image: UUID) -> Image:
        """Raises:
        ImageNotFound: there is none of that id.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            found = await self._store.get_images(collection, [image])
        if image not in found:
            raise ImageNotFound(collection, str(image))
        return found[image]

    async def page(
        self, collection: str, where: ImageFilter, after: UUID | None, limit: int
    ) -> tuple[list[Image], UUID | None]:
        """As :meth:`ImageStore.page_images`."""
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            return await self._store.page_images(collection, where, after, limit)

    async def delete(self, collection: str, image: UUID) -> None:
        """Raises:
        ImageNotFound: there is none of that id.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            if image not in await self._store.get_images(collection, [image]):
                raise ImageNotFound(collection, str(image))
            await self._store.delete_images(collection, [image])

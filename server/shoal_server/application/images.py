"""Looking at stored images and removing them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import Where
from shoal_server.domain.errors import ImageNotFound
from shoal_server.domain.image import Image


class Images:
    """Reads and removes single images."""

    def __init__(
        self,
        collections: OpenCollections,
        store: ImageStore,
        changed: Callable[[str, int], None] = lambda collection, by: None,
    ) -> None:
        """Args:
        collections: whose.
        store: of the images.
        changed: told the collection, and by how many its number of images changed.
        """
        self._collections = collections
        self._store = store
        self._changed = changed

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
        self, collection: str, where: Where, after: UUID | None, limit: int
    ) -> tuple[list[Image], UUID | None]:
        """As :meth:`ImageStore.page_images`.

        Raises:
            ShoalError: as :meth:`Where.as_filter` and :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            return await self._store.page_images(collection, where.as_filter(opened), after, limit)

    async def delete(self, collection: str, image: UUID) -> None:
        """Raises:
        ImageNotFound: there is none of that id.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            if image not in await self._store.get_images(collection, [image]):
                raise ImageNotFound(collection, str(image))
            await self._store.delete_images(collection, [image])
        self._changed(collection, -1)

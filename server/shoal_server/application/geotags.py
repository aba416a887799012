"""Where images were taken: their positions, for a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import Where
from shoal_server.domain.filters import Box, ImageFilter, Within
from shoal_server.domain.image import Location

#: Positions where nobody says how many.
DEFAULT_LIMIT = 2000
_PAGE = 1000

#: Whatever is somewhere. A store knows of positions by areas only.
_ANYWHERE = ImageFilter(conditions=(Within("location", Box(Location(-90, -180), Location(90, 180))),))


@dataclass(frozen=True, slots=True)
class Geotags:
    """Positions of images.

    Attributes:
        positions: of images, in the order of their ids.
        total: images that were asked about and have one.
    """

    positions: Sequence[tuple[UUID, Location]]
    total: int


class GeotagsOf:
    """Finds the positions of images."""

    def __init__(self, collections: OpenCollections, store: ImageStore) -> None:
        self._collections = collections
        self._store = store

    async def __call__(self, collection: str, where: Where, limit: int) -> Geotags:
        """Where the images that are asked about were taken.

        Ids are digests, so that those that come first are a sample of all.

        Args:
            collection: whose.
            where: which images.
            limit: at most so many positions; 0 for :data:`DEFAULT_LIMIT`.

        Raises:
            ShoalError: as :meth:`Where.as_filter` and :meth:`OpenCollections.open`.
        """
        limit = limit or DEFAULT_LIMIT
        opened = await self._collections.open(collection)
        positions: list[tuple[UUID, Location]] = []
        after: UUID | None = None
        async with opened.gate.reading():
            among = ImageFilter(all_of=(where.as_filter(opened), _ANYWHERE))
            total = await self._store.count_images(collection, among)
        while len(positions) < min(limit, total):
            async with opened.gate.reading():
                size = min(_PAGE, limit - len(positions))
                images, after = await self._store.page_images(collection, among, after, size)
            positions += [
                (image.id, image.metadata.location) for image in images if image.metadata.location is not None
            ]
            if after is None:
                break
        return Geotags(positions, total)

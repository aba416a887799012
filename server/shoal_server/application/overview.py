"""What there is: collections with their counts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from shoal_server.application.clustering import Clustering
from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import Store
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import CollectionNotFound
from shoal_server.domain.filters import ImageFilter


@dataclass(frozen=True, slots=True)
class CountedCollection:
    """A collection and its counts.

    Attributes:
        collection: its record.
        images: all.
        unclustered: those in no cluster.
        clusters: of the active run.
    """

    collection: Collection
    images: int
    unclustered: int
    clusters: int


class Overview:
    """Makes, looks at and removes whole collections."""

    def __init__(self, collections: OpenCollections, store: Store, clustering: Clustering) -> None:
        self._collections = collections
        self._store = store
        self._clustering = clustering

    async def create(self, collection: str, model: str) -> CountedCollection:
        """As :meth:`OpenCollections.create`."""
        await self._collections.create(collection, model)
        return await self.get(collection)

    async def get(self, collection: str) -> CountedCollection:
        """Raises:
        CollectionNotFound: there is none.
        """
        opened = await self._collections.open_any(collection)
        async with opened.gate.reading():
            return CountedCollection(
                collection=opened.record,
                images=await self._store.count_images(collection, ImageFilter()),
                unclustered=await self._store.count_images(collection, ImageFilter(unclustered=True)),
                clusters=0 if opened.clusters is None else len(opened.clusters.clusters),
            )

    async def page(self, after: str, limit: int) -> tuple[list[CountedCollection], bool]:
        """At most ``limit`` collections whose id comes after one, by id, and whether there are more."""
        ids = [collection.id for collection in await self._collections.list() if collection.id > after]
        counted = []
        for collection in ids[:limit]:
            # One that is deleted meanwhile is not there any more, which is no failure.
            with suppress(CollectionNotFound):
                counted.append(await self.get(collection))
        return counted, len(ids) > limit

    async def delete(self, collection: str) -> None:
        """Ends its run, if one is under way, and removes everything of it.

        Raises:
            CollectionNotFound: there is none.
        """
        await self._collections.delete(collection, self._clustering.forget)

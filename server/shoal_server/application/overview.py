"""What there is: collections with their counts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from shoal_server.application.clustering import Clustering
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import Store
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import AttachedCollection, CollectionNotFound, StoreIncompatible
from shoal_server.domain.filters import ImageFilter


@dataclass(frozen=True, slots=True)
class CountedCollection:
    """A collection and its counts.

    Attributes:
        collection: its record.
        images: all.
        unclustered: those in no cluster.
        clusters: of the active run.
        problem: why it cannot be used; empty if it can. Then it may be that nothing could be counted.
    """

    collection: Collection
    images: int
    unclustered: int
    clusters: int
    problem: str = ""


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
            images, unclustered = await self._counts(opened)
            return CountedCollection(
                collection=opened.record,
                images=images,
                unclustered=unclustered,
                clusters=0 if opened.clusters is None else len(opened.clusters.clusters),
                problem=opened.set_aside or "",
            )

    async def _counts(self, opened: OpenCollection) -> tuple[int, int]:
        """All images, and those in no cluster; none where the store cannot open the collection, or the owner of an
        attached one has removed it.
        """
        try:
            images = await self._store.count_images(opened.id, ImageFilter())
            return images, await self._store.count_images(opened.id, ImageFilter(unclustered=True))
        except StoreIncompatible:
            if opened.record.attachment is None and not opened.record.unusable:
                raise
            return 0, 0

    async def page(
        self, after: str, limit: int, sees: Callable[[str], bool] = lambda collection: True
    ) -> tuple[list[CountedCollection], bool]:
        """At most ``limit`` collections whose id comes after one, by id, and whether there are more.

        Args:
            after: an id; empty for the first page.
            limit: at least 1.
            sees: whether whoever asks may know of a collection; others are left out.
        """
        there = await self._collections.list()
        ids = [collection.id for collection in there if collection.id > after and sees(collection.id)]
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
            AttachedCollection: its images are somebody else's.
        """

        async def end(opened: OpenCollection) -> None:
            if opened.record.attachment is not None:
                raise AttachedCollection(opened.id, "it cannot be deleted", f"`shoal detach {opened.id}` instead")
            await self._clustering.forget(opened)

        await self._collections.delete(collection, end)

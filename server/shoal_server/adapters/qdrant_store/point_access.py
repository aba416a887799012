"""Entry to the points of a collection, wherever they stand."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from shoal_server.adapters.qdrant_store.access import Access
from shoal_server.adapters.qdrant_store.catalog import READY
from shoal_server.adapters.qdrant_store.layout import Layout, layout_of
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import AttachedCollection, CollectionNotFound, InvalidField, StoreIncompatible


class PointAccess(Access):
    """Access to points that are Shoal's own, or somebody else's."""

    @contextlib.asynccontextmanager
    async def _points(self, collection: str) -> AsyncIterator[tuple[Collection, Layout]]:
        """Around calls about a collection's points.

        Raises:
            CollectionNotFound: it does not exist.
            StoreIncompatible: it is attached to what its owner has removed.
        """
        try:
            async with self._within(collection) as record:
                yield record, layout_of(record)
        except CollectionNotFound:
            await self._blame_owner(collection)
            raise

    @contextlib.asynccontextmanager
    async def _own_points(self, collection: str, what: str) -> AsyncIterator[Collection]:
        """Around writes that only Shoal's own points take.

        Raises:
            AttachedCollection: they are somebody else's; ``what`` says what cannot be done.
        """
        async with self._within(collection) as record:
            if record.attachment is not None:
                raise AttachedCollection(collection, what)
            yield record

    @contextlib.asynccontextmanager
    async def _indexed(self, layout: Layout, key: str, what: str) -> AsyncIterator[None]:
        """Around calls that need an index, which somebody else's points may not have.

        Raises:
            InvalidField: the call failed, and there is none.
        """
        try:
            yield
        except Exception as error:
            if not layout.own:
                schema = (await self._client.get_collection(layout.source)).payload_schema
                if key not in schema:
                    raise InvalidField(
                        key,
                        f"the points of the Qdrant collection {layout.source!r} are not {what}, because they have no "
                        "payload index on it; make one there",
                    ) from error
            raise

    async def _confirm(self, record: Collection) -> None:
        """Makes sure, before somebody else's points are written to, that they are still attached in the same way.

        Raises:
            CollectionNotFound: they are not, or another server is about to detach them.
        """
        if record.attachment is None:
            return
        found = await self._catalog.find_collection(record.id)
        if found is None or found[0] != READY or found[1].attachment != record.attachment:
            raise CollectionNotFound(record.id)

    async def _blame_owner(self, collection: str) -> None:
        found = await self._catalog.find_collection(collection)
        if found is None or found[0] != READY or found[1].attachment is None:
            return
        source = found[1].attachment.source
        with self._connection.translated():
            there = await self._client.collection_exists(source)
        if not there:
            raise StoreIncompatible(
                f"the Qdrant collection {source!r} that {collection!r} is attached to is gone; `shoal detach "
                f"{collection}`, and attach it again when it is back",
                collection=collection,
            )

"""A Qdrant server that collections are moved to."""

from __future__ import annotations

from shoal_server.adapters.qdrant_store.catalog import ARRIVING, CREATING, DELETING, READY
from shoal_server.adapters.qdrant_store.store import QdrantStore
from shoal_server.application.migrating import Arrival
from shoal_server.domain.collection import Collection, check_collection_id
from shoal_server.domain.errors import CollectionExists, CollectionNotFound

#: Kind of the record that says where a collection on its way comes from.
_SOURCE = "arrival"


class QdrantReceiver(QdrantStore):
    """A QdrantStore in which collections can arrive: until they are complete, no server sees them.

    A collection on its way has a record of a kind of its own, which becomes that of a collection in one write.
    """

    async def arrivals(self) -> dict[str, Arrival]:
        """Collections that are on their way, by id."""
        found = await self._catalog.collections(ARRIVING)
        return {each.id: Arrival(each, await self._source(each.id)) for each in found}

    async def begin_arrival(self, collection: Collection, source: str) -> None:
        """Makes the room for a collection that is to be moved here.

        Raises:
            CollectionExists: there is one of that id, or it is on its way.
            StoreIncompatible: there is a Qdrant collection of that name that Shoal did not make.
        """
        check_collection_id(collection.id)
        async with self._changing:
            found = await self._catalog.find_collection(collection.id)
            if found is not None:
                if found[0] in (READY, ARRIVING):
                    raise CollectionExists(collection.id)
                await self._give_up(*found)
            await self._refuse_strangers(collection.id)
            await self._catalog.put_collection(CREATING, collection)
            await self._make_room(collection)
            await self._catalog.put(_SOURCE, collection.id, "", {"source": source})
            await self._catalog.put_collection(ARRIVING, collection)
            self._known[collection.id] = collection

    async def go_on_with_arrival(self, collection: str) -> None:
        """Opens one that is on its way: from here on it can be read and written, by this object alone.

        Raises:
            CollectionNotFound: it is not.
        """
        found = await self._catalog.find_collection(collection)
        if found is None or found[0] != ARRIVING:
            raise CollectionNotFound(collection)
        self._known[collection] = found[1]

    async def finish_arrival(self, collection: Collection) -> None:
        """Lets it exist with this record, in one durable step."""
        await self._catalog.put_collection(READY, collection)
        await self._catalog.delete(_SOURCE, collection.id, "")

    async def drop_arrival(self, collection: str) -> None:
        """Removes what has arrived of a collection.

        Raises:
            CollectionNotFound: it is not on its way.
        """
        async with self._changing:
            await self.go_on_with_arrival(collection)
            record = self._known.pop(collection)
            await self._catalog.put_collection(DELETING, record)
            await self._give_up(DELETING, record)
            await self._catalog.delete(_SOURCE, collection, "")

    async def _source(self, collection: str) -> str:
        return await self._catalog.find(_SOURCE, collection, "", lambda record: str(record["source"])) or ""

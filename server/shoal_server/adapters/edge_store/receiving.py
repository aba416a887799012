"""A data folder that collections are moved into."""

from __future__ import annotations

from shoal_server.adapters.edge_store import room
from shoal_server.adapters.edge_store.store import EdgeStore
from shoal_server.application.migrating import Arrival
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import CollectionNotFound


class EdgeReceiver(EdgeStore):
    """An EdgeStore in which collections can arrive: until they are complete, no server sees them."""

    async def arrivals(self) -> dict[str, Arrival]:
        """Collections that are on their way, by id."""
        return await self._engine.run(self._arriving)

    async def begin_arrival(self, collection: Collection, source: str) -> None:
        """Makes the room for a collection that is to be moved here.

        Raises:
            CollectionExists: there is one of that id.
            StoreIncompatible: one of that id is on its way.
        """
        async with self._making:
            new = await self._make(collection)
            await self._engine.run(lambda: self._announce(new, source))

    async def go_on_with_arrival(self, collection: str) -> None:
        """Opens one that is on its way: from here on it can be read and written, by this object alone.

        Raises:
            CollectionNotFound: it is not.
        """
        if collection not in self._rooms:
            await self._engine.run(lambda: self._open_arriving(collection))

    async def finish_arrival(self, collection: Collection) -> None:
        """Builds its index, and lets it exist with this record, in one durable step."""
        found = self._room(collection.id)
        self._indexing.request(found)
        await self._indexing.settled(found)
        await self._within(collection.id, lambda each: each.arrive(collection))

    async def drop_arrival(self, collection: str) -> None:
        """Removes what has arrived of a collection."""
        await self.go_on_with_arrival(collection)
        await self.delete_collection(collection)

    def _arriving(self) -> dict[str, Arrival]:
        places = (place for place in sorted(self._collections.iterdir()) if place.name not in self._aside)
        found = map(room.arriving, places)
        return {arrival.record.id: arrival for arrival in found if arrival is not None}

    def _announce(self, new: room.Room, source: str) -> None:
        new.announce(source)
        self._rooms[new.record.id] = new

    def _open_arriving(self, collection: str) -> None:
        place = self._collections / collection
        arrival = room.arriving(place)
        if arrival is None:
            raise CollectionNotFound(collection)
        self._rooms[collection] = room.load_arriving(place, arrival)

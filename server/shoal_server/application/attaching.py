"""Being attached to a Qdrant collection that somebody else owns, and no longer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from shoal_server.application.clustering import Clustering
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import RunFiles
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.attachment import Attachment
from shoal_server.domain.collection import COLLECTION_ID, Collection, EmbeddingModel, check_collection_id
from shoal_server.domain.errors import (
    CollectionNotFound,
    InvalidField,
    InvalidName,
    ModelMismatch,
    NotAttachable,
    NotAttached,
)
from shoal_server.domain.payload import CLUSTER_ID, INDEXED

MAX_SOURCE = 255
MAX_FILTER = 65_536

#: Keys that mean the same to every program, whatever it makes of dots and brackets in a path.
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")

#: No weights are known of a model that nobody named.
_NO_DIGEST = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class Attachable:
    """A collection that can be attached.

    Attributes:
        attachment: as it would be.
        dimension: of its vectors.
        images: points that belong, and have the vector.
    """

    attachment: Attachment
    dimension: int
    images: int


@runtime_checkable
class AttachableStore(Protocol):
    """What a store can do that holds other programs' collections too."""

    async def look_at(self, source: str, vector: str, payload_key: str, where: str) -> Attachable:
        """What would be attached, if it can be.

        Raises:
            NotAttachable: it cannot.
            InvalidField: the filter is none.
        """
        ...

    async def attach_collection(self, collection: Collection) -> Collection:
        """Attaches, crash or not; the record as it was written.

        Raises:
            CollectionExists: there is one of that id.
        """
        ...

    async def detach_collection(self, collection: str, *, clean: bool) -> int:
        """Detaches; with ``clean`` it takes the key away from all points, and returns from how many.

        One that was cut short can be made again.

        Raises:
            CollectionNotFound: there is none of that id.
            NotAttached: it is Shoal's own.
        """
        ...


class Attaching:
    """Attaches to collections and detaches from them."""

    def __init__(
        self,
        collections: OpenCollections,
        store: AttachableStore | None,
        files: RunFiles,
        model: EmbeddingModel,
        clustering: Clustering,
        detached: Callable[[str], Awaitable[None]],
    ) -> None:
        """Args:
        collections: where they are opened.
        store: of other programs' collections too; None if there can be none.
        files: of their runs.
        model: the server's.
        clustering: ends the runs of what is detached.
        detached: told last of a collection that is no more, so that others let go of what they know of it.
        """
        self._collections = collections
        self._store = store
        self._files = files
        self._model = model
        self._clustering = clustering
        self._detached = detached

    async def attach(
        self, collection: str, source: str, vector: str = "", payload_key: str = "", where: str = "", model: str = ""
    ) -> Collection:
        """Begins to cluster somebody else's collection.

        Args:
            collection: id of the new collection; empty for the name of the Qdrant collection.
            source: name of the Qdrant collection.
            vector: name of the vector; empty for the unnamed one.
            payload_key: what to write; empty for ``cluster_id``.
            where: a filter of Qdrant as JSON; empty for all points.
            model: the model that the vectors come from; empty if nobody knows.

        Raises:
            InvalidName: the id has not the form of one.
            InvalidField: the key or the filter has not its form.
            ModelMismatch: another model is named than the server's.
            NotAttachable: the collection cannot be attached, or the server stores in its data folder.
            CollectionExists: there is one of that id.
        """
        if not source or len(source) > MAX_SOURCE:
            raise InvalidField(
                "attachment.source", f"it must be the name of a Qdrant collection, up to {MAX_SOURCE} long"
            )
        try:
            collection = check_collection_id(collection or source)
        except InvalidName:
            if collection:
                raise
            raise InvalidName(source, f"{COLLECTION_ID}; say what it is to be called in Shoal (--as ID)") from None
        payload_key = payload_key or CLUSTER_ID
        _check_key(payload_key)
        if len(where) > MAX_FILTER:
            raise InvalidField("attachment.filter_json", f"{len(where)} characters; at most {MAX_FILTER} are read")
        if model and model != self._model.name:
            raise ModelMismatch(collection, model[:200], str(self._model), is_there=False)
        if self._store is None:
            raise NotAttachable(
                source, "this server stores in its data folder; start it with SHOAL_QDRANT_URL of the Qdrant server"
            )
        found = await self._store.look_at(source, vector, payload_key, where)
        if model and found.dimension != self._model.dimension:
            raise NotAttachable(
                source,
                f"its vectors have {found.dimension} dimensions, and those of {self._model.name} have "
                f"{self._model.dimension}; name the other vector, or no model",
            )
        record = Collection(
            id=collection,
            model=self._model if model else EmbeddingModel("", _NO_DIGEST, found.dimension),
            created_at=datetime.now(UTC),
            attachment=found.attachment,
        )
        return await unbroken(self._store.attach_collection(record))

    async def detach(self, collection: str, *, clean: bool) -> int:
        """Ends that, and forgets the clusters; with ``clean`` the points are as they were.

        Returns:
            From how many points the key was taken away.

        Raises:
            CollectionNotFound: there is none.
            NotAttached: it is Shoal's own.
        """
        store, cleaned = self._store, 0

        async def end(opened: OpenCollection) -> None:
            if opened.record.attachment is None:
                raise NotAttached(opened.id)
            await self._clustering.forget(opened)

        async def remove(name: str) -> None:
            nonlocal cleaned
            if store is None:
                raise NotAttached(name)
            cleaned = await store.detach_collection(name, clean=clean)

        try:
            await self._collections.delete(collection, end, remove)
        except CollectionNotFound:
            if store is None or collection in {each.id for each in await self._collections.list()}:
                # Whoever is detaching it just now ends its runs first.
                raise
            # It may be there by half, where an earlier attempt was cut short.
            cleaned = await unbroken(store.detach_collection(collection, clean=clean))
            await self._files.delete_collection(collection)
        await self._detached(collection)
        return cleaned


def _check_key(key: str) -> None:
    if _KEY.fullmatch(key) is None:
        raise InvalidField(
            "attachment.payload_key",
            f"{key[:80]!r} must be one top-level key: 1 to 63 characters of A-Z, a-z, 0-9, '_' and '-', beginning with "
            "a letter or '_'",
        )
    if key != CLUSTER_ID and key in INDEXED:
        raise InvalidField("attachment.payload_key", f"{key!r} means something else to Shoal; choose another")

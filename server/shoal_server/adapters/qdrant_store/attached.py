"""Collections of Qdrant that somebody else owns: looking at them, and being attached to them.

Of such a collection Shoal writes one key of the points' payload and, if there is none, an index on it. Its record
passes through a kind of its own, so that what a crash leaves half done is completed without touching anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from qdrant_client import models

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.access import Access, clusters_of
from shoal_server.adapters.qdrant_store.catalog import ARRIVING, CREATING, DELETING, READY
from shoal_server.adapters.qdrant_store.layout import AttachedLayout
from shoal_server.application.attaching import Attachable
from shoal_server.domain.attachment import Attachment, Distance
from shoal_server.domain.collection import Collection, check_collection_id
from shoal_server.domain.errors import (
    CollectionExists,
    CollectionNotFound,
    InvalidField,
    NotAttachable,
    NotAttached,
    RecordChanged,
    StoreIncompatible,
)
from shoal_server.domain.filters import ImageFilter

_log = logging.getLogger(__name__)

#: Kind of the record of an attached collection whose points are being put back as they were.
CLEANING = "cleaning"

#: What the names of Qdrant collections begin with that have Shoal's own records.
_SHOALS = "shoal."
#: Points are asked whether they have a vector since this version.
_MINIMUM_VERSION = (1, 13)
#: Seconds that an index on somebody else's points may take to be built.
_INDEX_TIMEOUT_S = 600
_BATCH = 1000


class QdrantAttached(Access):
    """Attaches and detaches."""

    _changing: asyncio.Lock

    async def look_at(self, source: str, vector: str, payload_key: str, where: str) -> Attachable:
        """What would be attached, if it can be.

        Raises:
            NotAttachable: there is no such Qdrant collection or vector, it is Shoal's or has another name, points have
                the key already, or it is being written for another attachment.
            InvalidField: the filter is none of Qdrant's.
        """
        await self._refuse_shoals_own(source)
        parameters = await self._vector_parameters(source, vector)
        attachment = Attachment(
            source=source,
            vector=vector,
            distance=Distance(parameters.distance.value),
            payload_key=payload_key,
            where=_checked_filter(where, payload_key),
        )
        for other in await self._catalog.collections(READY):
            taken = other.attachment
            if taken is not None and (taken.source, taken.payload_key) == (source, payload_key):
                raise NotAttachable(
                    source,
                    f"it is attached as {other.id!r} with the same key; use that, or give another --payload-key",
                )
        await self._refuse_taken_key(source, payload_key)
        with self._connection.translated():
            # Whatever is wrong with the filter, the server says so here.
            everything = AttachedLayout(attachment, datetime.now(UTC)).where(ImageFilter())
            count = (await self._client.count(source, everything, exact=True)).count
        return Attachable(attachment, parameters.size, count)

    async def attach_collection(self, collection: Collection) -> Collection:
        """Makes the room for its clusters, an index on its key if there is none, then the record.

        Returns:
            The record as it was written.

        Raises:
            CollectionExists: there is one of that id.
            InvalidName: the id is not of the form of one.
            StoreIncompatible: there is a Qdrant collection in the place of its clusters that Shoal did not make.
            RecordChanged: another server makes one of that id at the same time.
        """
        check_collection_id(collection.id)
        attachment = collection.attachment
        if attachment is None:
            raise NotAttached(collection.id)
        async with self._changing:
            found = await self._catalog.find_collection(collection.id)
            if found is not None and found[0] == READY:
                raise CollectionExists(collection.id)
            if found is not None:
                await self._give_up(*found)
            with self._connection.translated():
                if await self._client.collection_exists(clusters_of(collection.id)):
                    raise StoreIncompatible(
                        f"the Qdrant server {self._connection.location} has a collection "
                        f"{clusters_of(collection.id)!r} that Shoal did not make and does not touch; choose another "
                        "name",
                        collection=collection.id,
                    )
                schema = (await self._client.get_collection(attachment.source)).payload_schema
            make_index = attachment.payload_key not in schema
            record = replace(collection, attachment=replace(attachment, made_index=make_index))
            if await self._catalog.find_collection(collection.id) is not None:
                raise RecordChanged(collection.id)
            # Before the index: should this end in between, whoever gives it up knows whose the index is.
            claim = await self._catalog.put_collection(CREATING, record)
            with self._connection.translated():
                if make_index:
                    await self._client.create_payload_index(
                        attachment.source,
                        attachment.payload_key,
                        models.PayloadSchemaType.INTEGER,
                        wait=True,
                        timeout=_INDEX_TIMEOUT_S,
                    )
                await self._client.create_collection(
                    clusters_of(collection.id),
                    vectors_config=models.VectorParams(size=record.model.dimension, distance=models.Distance.COSINE),
                )
                for field, kind in points.CLUSTER_FIELDS.items():
                    await self._client.create_payload_index(
                        clusters_of(collection.id), field, points.SCHEMA[kind], wait=True
                    )
            await self._catalog.turn(record, CREATING, READY, claim)
            return record

    async def detach_collection(self, collection: str, *, clean: bool) -> int:
        """Forgets clusters and records, and takes the key and its index away first if that is asked for.

        A call that was cut short can be made again, and is completed when the store is opened next.

        Returns:
            How many points the key was taken from.

        Raises:
            CollectionNotFound: there is none of that id, not even half detached.
            NotAttached: it is Shoal's own.
        """
        async with self._changing:
            found = await self._catalog.find_collection(collection)
            if found is None or found[0] == CREATING:
                raise CollectionNotFound(collection)
            kind, record = found
            if record.attachment is None:
                raise CollectionNotFound(collection) if kind == DELETING else NotAttached(collection)
            if kind != CLEANING:
                before, kind = kind, CLEANING if clean else DELETING
                await self._catalog.turn(record, before, kind)
            self._known.pop(collection, None)
            return await self._give_up(kind, record)

    async def _finish_detaching(self) -> None:
        """Completes what was cut short."""
        for each in await self._catalog.collections(CLEANING):
            with contextlib.suppress(RecordChanged):
                # Another server that is being started does the same.
                await self._give_up(CLEANING, each)

    async def _give_up(self, kind: str, record: Collection) -> int:
        """Removes what is left of a collection; of an attached one only what Shoal made, never the owner's points.

        Raises:
            StoreIncompatible: it is nothing left, but a collection on its way here.
            RecordChanged: another server does something of the kind at the same time.
        """
        if kind == ARRIVING:
            raise StoreIncompatible(
                f"the collection {record.id!r} is half moved to {self._connection.location}; let `shoal migrate` "
                "finish that, or choose another name",
                collection=record.id,
            )
        claim = await self._catalog.turn(record, kind, kind)
        cleaned = 0
        attachment = record.attachment
        with self._connection.translated():
            if attachment is not None and await self._client.collection_exists(attachment.source):
                if kind == CLEANING:
                    cleaned = await self._take_away(attachment)
                if attachment.made_index and kind in (CLEANING, CREATING):
                    await self._remove_index(attachment)
            mine = [clusters_of(record.id)]
            if attachment is None and await self._made_by_shoal(record):
                mine.append(record.id)
            for name in mine:
                # Another server may have removed it already, and somebody may have made one of that name again.
                await self._catalog.confirm_claim(record.id, claim)
                if await self._client.collection_exists(name):
                    await self._client.delete_collection(name)
        await self._catalog.forget(record.id, claim)
        return cleaned

    async def _made_by_shoal(self, record: Collection) -> bool:
        """Whether the Qdrant collection that goes by a record's name is the one that the record is about.

        Between a crash and the next start somebody else may have made one of that name.
        """
        if not await self._client.collection_exists(record.id):
            return False
        vectors = (await self._client.get_collection(record.id)).config.params.vectors
        found, _ = await self._client.scroll(record.id, limit=1, with_payload=["sha256"])
        alike = isinstance(vectors, models.VectorParams) and vectors.size == record.model.dimension
        if alike and (not found or (found[0].payload or {}).get("sha256")):
            return True
        _log.warning(
            "the Qdrant collection %r is not the one that Shoal was about to remove, and stays as it is", record.id
        )
        return False

    async def _take_away(self, attachment: Attachment) -> int:
        """Removes the key from all points that have it; how many."""
        present = models.Filter(must_not=[_empty(attachment.payload_key)])
        cleaned = 0
        while True:
            found, _ = await self._client.scroll(
                attachment.source, present, _BATCH, with_payload=False, with_vectors=False
            )
            if not found:
                return cleaned
            ids = [point.id if isinstance(point.id, int) else str(point.id) for point in found]
            await self._client.delete_payload(
                attachment.source, [attachment.payload_key], points.of_ids(ids), wait=True
            )
            cleaned += len(ids)

    async def _remove_index(self, attachment: Attachment) -> None:
        schema = (await self._client.get_collection(attachment.source)).payload_schema
        present = models.Filter(must_not=[_empty(attachment.payload_key)])
        # An attachment that never came about wrote no point: whoever did has a use for the index.
        if attachment.payload_key in schema and not (await self._client.count(attachment.source, present)).count:
            await self._client.delete_payload_index(attachment.source, attachment.payload_key, wait=True)

    async def _refuse_shoals_own(self, source: str) -> None:
        owner, _, suffix = source.rpartition(".")
        known = await self._catalog.find_collection(owner if suffix == "clusters" else source)
        shoals = known is not None and (suffix == "clusters" or known[1].attachment is None)
        if source.startswith(_SHOALS) or shoals:
            raise NotAttachable(source, "Shoal made it, and clusters what is in it already")

    async def _vector_parameters(self, source: str, vector: str) -> models.VectorParams:
        with self._connection.translated():
            version = (await self._client.info()).version
            if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < _MINIMUM_VERSION:
                wanted = ".".join(map(str, _MINIMUM_VERSION))
                raise NotAttachable(source, f"that needs Qdrant {wanted}, and this is {version}; upgrade the server")
            for alias in (await self._client.get_aliases()).aliases:
                if alias.alias_name == source:
                    raise NotAttachable(
                        source, f"it is an alias; attach to {alias.collection_name!r}, what it stands for"
                    )
            if not await self._client.collection_exists(source):
                raise NotAttachable(source, f"the Qdrant server {self._connection.location} has none of that name")
            parameters = (await self._client.get_collection(source)).config.params
        dense = parameters.vectors or {}
        named = {"": dense} if isinstance(dense, models.VectorParams) else dense
        names = ", ".join(sorted(name for name in named if name)) or "none but the one without a name"
        if vector not in named:
            if vector in (parameters.sparse_vectors or {}):
                raise NotAttachable(source, f"the vector {vector!r} is sparse; dense ones: {names}")
            problem = f"it has no vector {vector!r}" if vector else "its vectors have names, so one must be named"
            raise NotAttachable(source, f"{problem} (--vector); there are: {names}")
        if named[vector].multivector_config is not None:
            raise NotAttachable(source, f"the vector {vector!r} is a list of vectors for each point, not one")
        return named[vector]

    async def _refuse_taken_key(self, source: str, payload_key: str) -> None:
        field = models.PayloadField(key=payload_key)
        taken = models.Filter(
            should=[models.Filter(must_not=[_empty(payload_key)]), models.IsNullCondition(is_null=field)]
        )
        with self._connection.translated():
            count = (await self._client.count(source, taken, exact=True)).count
            schema = (await self._client.get_collection(source)).payload_schema
        if count:
            raise NotAttachable(
                source,
                f"{count} points have {payload_key!r} in their payload already; give another --payload-key, or remove "
                "it from them if nobody needs it",
            )
        index = schema.get(payload_key)
        if index is not None and index.data_type is not models.PayloadSchemaType.INTEGER:
            raise NotAttachable(
                source,
                f"its payload index on {payload_key!r} is of type {index.data_type.value}, and clusters have integers; "
                "give another --payload-key",
            )


def _empty(key: str) -> models.IsEmptyCondition:
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))


def _checked_filter(where: str, payload_key: str) -> str:
    """A filter as compact JSON; empty if it is."""
    if not where.strip():
        return ""
    try:
        chosen = models.Filter.model_validate_json(where)
    except ValidationError as error:
        raise InvalidField(
            "attachment.filter_json",
            f"it is no filter of Qdrant ({_problem(error)}); one looks like "
            '{"must": [{"key": "kind", "match": {"value": "photo"}}]}',
        ) from error
    plain = chosen.model_dump(mode="json", exclude_none=True)
    if _mentions(plain, payload_key):
        raise InvalidField(
            "attachment.filter_json", f"it asks for {payload_key!r}, which Shoal is about to write; leave that out"
        )
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")) if plain else ""


def _problem(error: ValidationError) -> str:
    """What is wrong with a filter, without the names of the client's classes."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return first["msg"]
    # Of a choice of classes each stands in the place with its name, and says what it would have wanted.
    place = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or re.fullmatch(r"[a-z_]+", part))
    return f"{place} is nothing that one has" if place else first["msg"]


def _mentions(part: Any, key: str) -> bool:
    if isinstance(part, dict):
        return part.get("key") == key or any(_mentions(each, key) for each in part.values())
    return isinstance(part, list) and any(_mentions(each, key) for each in part)

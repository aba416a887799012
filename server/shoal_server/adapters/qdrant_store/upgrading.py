"""Brings the images of an older version up to date: the fields and indexes that it did not make."""

from __future__ import annotations

import logging
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from shoal_server.adapters.qdrant_store import points
from shoal_server.adapters.qdrant_store.filters import to_filter
from shoal_server.domain.filters import ImageFilter, Present
from shoal_server.domain.payload import CAPTURED_AT, CAPTURED_LOCAL, INDEXED, captured_fields

_log = logging.getLogger(__name__)

_BATCH = 1024


async def upgrade_images(client: AsyncQdrantClient, collection: str, info: models.CollectionInfo) -> None:
    """Makes what is missing, once. When it returns, the indexes are there: counts and orders need them.

    Args:
        client: leads to the server.
        collection: of images.
        info: what the server says of it.
    """
    present = info.payload_schema
    if INDEXED.keys() <= present.keys():
        return
    _log.info("bringing %d images of %s up to date: an older version wrote them", info.points_count or 0, collection)
    if CAPTURED_LOCAL not in present:
        # Before its index: where a crash cuts this short, it is done again.
        await _derive_capture_fields(client, collection)
    for name, kind in INDEXED.items():
        if name not in present:
            await client.create_payload_index(collection, name, points.SCHEMA[kind], wait=True)


async def _derive_capture_fields(client: AsyncQdrantClient, collection: str) -> None:
    older = to_filter(
        ImageFilter(conditions=(Present(CAPTURED_AT),), none_of=(ImageFilter(conditions=(Present(CAPTURED_LOCAL),)),))
    )
    after: Any = None
    while True:
        found, after = await client.scroll(collection, older, _BATCH, offset=after, with_payload=[CAPTURED_AT])
        changes = [
            models.SetPayloadOperation(set_payload=models.SetPayload(payload=fields, points=[point.id]))
            for point in found
            if (fields := captured_fields((point.payload or {})[CAPTURED_AT]))
        ]
        if changes:
            await client.batch_update_points(collection, changes, wait=True)
        if after is None:
            return

"""Brings the images of an older version up to date: the fields and indexes that it did not make."""

from __future__ import annotations

import logging
from collections import defaultdict

import qdrant_edge as edge

from shoal_server.adapters.edge_store import points
from shoal_server.adapters.edge_store.filters import to_filter
from shoal_server.domain.filters import ImageFilter, Present
from shoal_server.domain.payload import CAPTURED_AT, CAPTURED_LOCAL, INDEXED, captured_fields

_log = logging.getLogger(__name__)

_BATCH = 1024


def upgrade_images(images: edge.EdgeShard) -> None:
    """Makes what is missing, once: about 0.4 ms for each image with a capture time. Blocks."""
    info = images.info()
    present = info.payload_schema
    if INDEXED.keys() <= present.keys():
        return
    _log.info("bringing %d images up to date: an older version wrote them", info.points_count)
    if CAPTURED_LOCAL not in present:
        # Before its index: where a crash cuts this short, it is done again.
        _derive_capture_fields(images)
    for name, kind in INDEXED.items():
        if name not in present:
            images.update(points.create_index(name, kind))


def _derive_capture_fields(images: edge.EdgeShard) -> None:
    older = to_filter(
        ImageFilter(conditions=(Present(CAPTURED_AT),), none_of=(ImageFilter(conditions=(Present(CAPTURED_LOCAL),)),))
    )
    after: edge.PointId | None = None
    while True:
        request = edge.ScrollRequest(offset=after, limit=_BATCH, filter=older, with_payload=[CAPTURED_AT])
        found, after = images.scroll(request)
        taken: defaultdict[str, list[edge.PointId]] = defaultdict(list)
        for point in found:
            taken[(point.payload or {})[CAPTURED_AT]].append(point.id)
        for captured_at, ids in taken.items():
            if fields := captured_fields(captured_at):
                images.update(edge.UpdateOperation.set_payload(ids, fields))
        if after is None:
            return

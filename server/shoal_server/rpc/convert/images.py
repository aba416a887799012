"""Images, and which of them are asked for."""

from __future__ import annotations

from google.type import latlng_pb2

from shoal.v1 import image_pb2
from shoal_server.application.queries import Where
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.image import Image, Metadata
from shoal_server.rpc.convert.values import cluster_or_none, ids_within, timestamp
from shoal_server.rpc.resource_names import (
    image_name,
    moment_name,
    parse_cluster,
    parse_moment,
    parse_place,
    parse_theme,
    place_name,
)

#: Fields of Metadata that have the same name and type in ImageMetadata.
_SAME = (
    "width", "height", "format", "byte_size", "orientation", "captured_at", "camera_make", "camera_model", "lens",
    "iso", "f_number", "exposure_s", "focal_length_mm",
)  # fmt: skip


def image(collection_id: str, stored: Image) -> image_pb2.Image:
    """A stored image."""
    return image_pb2.Image(
        name=image_name(collection_id, stored.id),
        sha256=stored.sha256,
        uri=stored.uri,
        tags=stored.tags,
        cluster=cluster_or_none(collection_id, stored.cluster_id),
        metadata=_metadata(stored.metadata),
        ingest_time=timestamp(stored.ingested_at),
        place="" if stored.place_id is None else place_name(collection_id, stored.place_id),
        moment="" if stored.moment_id is None else moment_name(collection_id, stored.moment_id),
    )


def _metadata(read: Metadata) -> image_pb2.ImageMetadata:
    location = read.location
    message = image_pb2.ImageMetadata(
        location=None if location is None else latlng_pb2.LatLng(latitude=location.lat, longitude=location.lon)
    )
    for name in _SAME:
        value = getattr(read, name)
        if value is not None:
            setattr(message, name, value)
    return message


def image_filter(collection_id: str, message: image_pb2.ImageFilter) -> Where:
    """Which images.

    Raises:
        InvalidField: what is in a cluster and what is in none exclude one another.
        InvalidName: something named is not of this collection.
    """
    if message.unclustered and (message.clusters or message.themes):
        raise InvalidField("filter", "'unclustered' and 'clusters' or 'themes' exclude one another; give one of them")
    return Where(
        clusters=ids_within(collection_id, parse_cluster, message.clusters),
        themes=ids_within(collection_id, parse_theme, message.themes),
        unclustered=message.unclustered,
        places=ids_within(collection_id, parse_place, message.places),
        moments=ids_within(collection_id, parse_moment, message.moments),
    )

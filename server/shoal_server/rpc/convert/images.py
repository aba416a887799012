"""Images, what they are stored from, and what is changed of them."""

from __future__ import annotations

from google.type import latlng_pb2

from shoal.v1 import image_pb2, image_service_pb2
from shoal_server.application.images import Changes
from shoal_server.application.ingest import NewImage, Options
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.image import Image, Metadata, OnNearDuplicate
from shoal_server.rpc.convert.attributes import attribute_messages, attributes
from shoal_server.rpc.convert.values import cluster_or_none, timestamp
from shoal_server.rpc.resource_names import image_name, moment_name, place_name

#: Fields of Metadata that have the same name and type in ImageMetadata.
_SAME = (
    "width", "height", "format", "byte_size", "orientation", "captured_at", "camera_make", "camera_model", "lens",
    "iso", "f_number", "exposure_s", "focal_length_mm", "altitude_m", "frame_count", "local_time",
)  # fmt: skip

_CHANGEABLE = ("uri", "tags", "attributes")

#: None: as the server does by default.
_ON_NEAR_DUPLICATE: dict[int, OnNearDuplicate | None] = {
    image_service_pb2.NEAR_DUPLICATES_UNSPECIFIED: None,
    image_service_pb2.NEAR_DUPLICATES_KEEP: OnNearDuplicate.KEEP,
    image_service_pb2.NEAR_DUPLICATES_TAG: OnNearDuplicate.TAG,
    image_service_pb2.NEAR_DUPLICATES_SKIP: OnNearDuplicate.SKIP,
}


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
        also_at=stored.also_at,
        attributes=attribute_messages(stored.attributes),
        phash=stored.phash or "",
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


def new_image(message: image_service_pb2.NewImage, content: bytes) -> NewImage:
    """An image to store; its content may have come in parts.

    Raises:
        InvalidField: an attribute has no value.
    """
    return NewImage(
        content=content,
        uri=message.uri,
        tags=tuple(message.tags),
        attributes=attributes("image.attributes", message.attributes),
        fetch=message.fetch,
    )


def ingest_options(message: image_service_pb2.IngestOptions) -> Options:
    """How to store images.

    Raises:
        InvalidField: what to do with near-duplicates is nothing that there is.
    """
    if message.near_duplicates not in _ON_NEAR_DUPLICATE:
        raise InvalidField("options.near_duplicates", f"{message.near_duplicates} is none of KEEP, TAG and SKIP")
    return Options(drop_location=message.drop_location, near_duplicates=_ON_NEAR_DUPLICATE[message.near_duplicates])


def changes(request: image_service_pb2.UpdateImageRequest) -> Changes:
    """New values of what people say of an image.

    Raises:
        InvalidField: the mask names another field, or nothing is to be changed.
    """
    message = request.image
    named = set(request.update_mask.paths)
    if unknown := named - set(_CHANGEABLE):
        raise InvalidField("update_mask", f"{min(unknown)[:80]!r} cannot be changed; only {', '.join(_CHANGEABLE)} can")
    named = named or {name for name in _CHANGEABLE if getattr(message, name)}
    if not named:
        raise InvalidField("update_mask", f"nothing is to be changed; name some of {', '.join(_CHANGEABLE)}")
    return Changes(
        uri=message.uri if "uri" in named else None,
        tags=tuple(message.tags) if "tags" in named else None,
        attributes=attributes("image.attributes", message.attributes) if "attributes" in named else None,
    )

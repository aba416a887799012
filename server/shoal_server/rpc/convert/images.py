"""Images, what they are stored from, and what is changed of them."""

from __future__ import annotations

from operator import attrgetter

from google.type import latlng_pb2

from shoal.v1 import image_pb2, image_service_pb2
from shoal_server.application.images import Changes
from shoal_server.application.ingest import NewImage, Options
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.image import Image, Metadata, OnNearDuplicate
from shoal_server.rpc.convert.attributes import attribute_messages, attributes
from shoal_server.rpc.convert.values import cluster_or_none, fill_timestamp
from shoal_server.rpc.resource_names import image_name, moment_name, place_name

#: Fields of Metadata that have the same name and type in ImageMetadata.
_SAME = (
    "width", "height", "format", "byte_size", "orientation", "captured_at", "camera_make", "camera_model", "lens",
    "iso", "f_number", "exposure_s", "focal_length_mm", "altitude_m", "frame_count", "local_time",
)  # fmt: skip

_same = attrgetter(*_SAME)

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
    message = image_pb2.Image()
    fill_image(message, collection_id, stored)
    return message


def fill_image(message: image_pb2.Image, collection_id: str, stored: Image) -> None:
    """Makes a stored image of an empty message, where it stands: what is put into another message is copied."""
    message.name = image_name(collection_id, stored.id)
    message.sha256 = stored.sha256
    message.uri = stored.uri
    if stored.tags:
        message.tags.extend(stored.tags)
    if stored.cluster_id is not None:
        message.cluster = cluster_or_none(collection_id, stored.cluster_id)
    _fill_metadata(message.metadata, stored.metadata)
    fill_timestamp(message.ingest_time, stored.ingested_at)
    if stored.place_id is not None:
        message.place = place_name(collection_id, stored.place_id)
    if stored.moment_id is not None:
        message.moment = moment_name(collection_id, stored.moment_id)
    if stored.also_at:
        message.also_at.extend(stored.also_at)
    if stored.attributes:
        for key, value in attribute_messages(stored.attributes).items():
            message.attributes[key].CopyFrom(value)
    if stored.phash:
        message.phash = stored.phash


def _fill_metadata(message: image_pb2.ImageMetadata, read: Metadata) -> None:
    location = read.location
    if location is not None:
        message.location.CopyFrom(latlng_pb2.LatLng(latitude=location.lat, longitude=location.lon))
    for name, value in zip(_SAME, _same(read), strict=True):
        if value is not None:
            setattr(message, name, value)


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

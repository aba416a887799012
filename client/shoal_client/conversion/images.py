"""Images."""

from __future__ import annotations

from shoal.v1 import image_pb2, image_service_pb2
from shoal_client import names
from shoal_client.conversion.attributes import attribute_values
from shoal_client.conversion.times import time
from shoal_client.errors import InternalError, from_status
from shoal_client.results import Image, ImageMetadata, IngestResult, Location, Outcome

_OPTIONAL_METADATA = (
    "orientation", "captured_at", "camera_make", "camera_model", "lens", "iso", "f_number", "exposure_s",
    "focal_length_mm", "local_time", "altitude_m",
)  # fmt: skip


def image(message: image_pb2.Image) -> Image:
    """A stored image."""
    return Image(
        id=names.child_id(message.name, names.IMAGES),
        sha256=message.sha256,
        uri=message.uri,
        tags=tuple(message.tags),
        cluster_id=names.cluster_id(message.cluster) if message.cluster else None,
        metadata=_metadata(message.metadata),
        ingested_at=time(message.ingest_time),
        place_id=names.number(message.place, names.PLACES) if message.place else None,
        moment_id=names.number(message.moment, names.MOMENTS) if message.moment else None,
        also_at=tuple(message.also_at),
        attributes=attribute_values(message.attributes),
        phash=message.phash or None,
    )


def ingest_result(index: int, uri: str, message: image_service_pb2.IngestImagesResponse) -> IngestResult:
    """What became of one image.

    Raises:
        InternalError: the response says neither that it was stored nor why not.
    """
    match message.WhichOneof("result"):
        case "image":
            alike = message.near_duplicate_of
            return IngestResult(
                index,
                uri,
                _outcome(message),
                image=image(message.image),
                near_duplicate_of=names.child_id(alike, names.IMAGES) if alike else None,
            )
        case "error":
            return IngestResult(index, uri, Outcome.FAILED, error=from_status(message.error))
    raise InternalError("the server answered an image with neither a result nor an error; is it another version?")


def _outcome(message: image_service_pb2.IngestImagesResponse) -> Outcome:
    if message.near_duplicate_of and message.near_duplicate_of == message.image.name:
        return Outcome.NEAR_DUPLICATE
    return Outcome.DUPLICATE if message.duplicate else Outcome.STORED


def _metadata(message: image_pb2.ImageMetadata) -> ImageMetadata:
    has_location = message.HasField("location")
    return ImageMetadata(
        width=message.width,
        height=message.height,
        format=message.format,
        byte_size=message.byte_size,
        location=Location(message.location.latitude, message.location.longitude) if has_location else None,
        frame_count=max(message.frame_count, 1),
        **{field.name: value for field, value in message.ListFields() if field.name in _OPTIONAL_METADATA},
    )

"""An image as Shoal knows it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.errors import InvalidField

#: Unit-length embedding, float32, shape (dimension,).
Vector = NDArray[np.float32]
#: Upright RGB pixels, uint8, shape (height, width, 3).
Pixels = NDArray[np.uint8]

Sha256 = NewType("Sha256", str)

#: Namespace of image ids. Changing it would change every image's id.
IMAGE_NAMESPACE = UUID("6f1d7a52-5f0e-5d5c-9f63-2d5f4b1c8a10")

MAX_URI = 4096
MAX_TAGS = 64
MAX_TAG = 256


def digest_of(content: bytes) -> Sha256:
    """Hexadecimal SHA-256 of a file's bytes."""
    return Sha256(hashlib.sha256(content).hexdigest())


def image_id(sha256: Sha256) -> UUID:
    """The id of the image with these bytes: the same bytes always have the same id."""
    return uuid5(IMAGE_NAMESPACE, sha256)


def check_source(uri: str, tags: tuple[str, ...]) -> None:
    """Checks what a client says about an image.

    Raises:
        InvalidField: the URI or a tag is too long, a tag is empty, or there are too many.
    """
    if len(uri) > MAX_URI:
        raise InvalidField("image.uri", f"{len(uri)} characters; at most {MAX_URI} are kept")
    if len(tags) > MAX_TAGS:
        raise InvalidField("image.tags", f"{len(tags)} tags; at most {MAX_TAGS} are kept")
    for tag in tags:
        if not tag or len(tag) > MAX_TAG:
            raise InvalidField("image.tags", f"tag {tag[:40]!r} must have 1 to {MAX_TAG} characters")


@dataclass(frozen=True, slots=True)
class Location:
    """WGS 84 degrees: latitude -90 to 90, longitude -180 to 180."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class Metadata:
    """What was read from an image file. None: not in the file, or senseless there.

    Attributes:
        width: pixels, upright.
        height: pixels, upright.
        format: Pillow's name: ``JPEG``, ``PNG``, ...
        byte_size: of the file.
        orientation: EXIF orientation as found, 1 to 8.
        captured_at: RFC 3339 text; without an offset where the camera recorded none.
        location: where it was taken.
        iso: ISO speed, above 0.
        f_number: above 0.
        exposure_s: seconds, above 0.
        focal_length_mm: millimetres, above 0.
    """

    width: int
    height: int
    format: str
    byte_size: int
    orientation: int | None = None
    captured_at: str | None = None
    location: Location | None = None
    camera_make: str | None = None
    camera_model: str | None = None
    lens: str | None = None
    iso: int | None = None
    f_number: float | None = None
    exposure_s: float | None = None
    focal_length_mm: float | None = None


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image file after decoding.

    Attributes:
        pixels: uint8 RGB, shape (height, width, 3), upright.
        metadata: what the file says about itself.
    """

    pixels: Pixels = field(repr=False)
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Image:
    """A stored image without its vector."""

    id: UUID
    sha256: Sha256
    uri: str
    tags: tuple[str, ...]
    metadata: Metadata
    ingested_at: datetime
    cluster_id: int | None = None
    place_id: int | None = None
    moment_id: int | None = None


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Which images; all conditions hold together.

    Attributes:
        clusters: in any of these; empty means any or none.
        unclustered: in no cluster.
        clustered: in some cluster.
        exclude: not these images.
        places: at any of these; empty means anywhere.
        moments: in any of these; empty means at any time.
    """

    clusters: tuple[int, ...] = ()
    unclustered: bool = False
    clustered: bool = False
    exclude: tuple[UUID, ...] = ()
    places: tuple[int, ...] = ()
    moments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """An image and its cosine similarity (-1 to 1) to a query."""

    image: Image
    score: float

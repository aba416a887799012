"""An image as Shoal knows it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NewType
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.errors import InvalidField

#: Unit-length embedding, float32, shape (dimension,).
Vector = NDArray[np.float32]
#: Upright RGB pixels, uint8, shape (height, width, 3).
Pixels = NDArray[np.uint8]

#: Longest side of a thumbnail in pixels.
THUMBNAIL_SIDE = 256

Sha256 = NewType("Sha256", str)

#: Namespace of image ids. Changing it would change every image's id.
IMAGE_NAMESPACE = UUID("6f1d7a52-5f0e-5d5c-9f63-2d5f4b1c8a10")

MAX_URI = 4096
MAX_TAGS = 64
MAX_TAG = 256
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_TEXT = 1024
#: Of the other places where the same bytes were.
MAX_ALSO_AT = 64

#: The tag of images that look like one stored before.
NEAR_DUPLICATE_TAG = "near-duplicate"

ATTRIBUTE_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")

#: The value of an attribute: what people say of an image.
Attribute = str | int | float | bool


def digest_of(content: bytes) -> Sha256:
    """Hexadecimal SHA-256 of a file's bytes."""
    return Sha256(hashlib.sha256(content).hexdigest())


def image_id(sha256: Sha256) -> UUID:
    """The id of the image with these bytes: the same bytes always have the same id."""
    return uuid5(IMAGE_NAMESPACE, sha256)


def check_source(uri: str, tags: tuple[str, ...], attributes: Mapping[str, Attribute]) -> None:
    """Checks what a client says about an image.

    Raises:
        InvalidField: the URI, a tag or an attribute is too long or empty, a key does not have its form, a number is
            not finite or too large, or there are too many.
    """
    if len(uri) > MAX_URI:
        raise InvalidField("image.uri", f"{len(uri)} characters; at most {MAX_URI} are kept")
    if len(tags) > MAX_TAGS:
        raise InvalidField("image.tags", f"{len(tags)} tags; at most {MAX_TAGS} are kept")
    for tag in tags:
        if not tag or len(tag) > MAX_TAG:
            raise InvalidField("image.tags", f"tag {tag[:40]!r} must have 1 to {MAX_TAG} characters")
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidField("image.attributes", f"{len(attributes)} attributes; at most {MAX_ATTRIBUTES} are kept")
    for key, value in attributes.items():
        check_attribute_key("image.attributes", key)
        if isinstance(value, str) and len(value) > MAX_ATTRIBUTE_TEXT:
            raise InvalidField(
                "image.attributes", f"{key!r} has {len(value)} characters; at most {MAX_ATTRIBUTE_TEXT} are kept"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidField("image.attributes", f"{key!r} is {value}; a number must be finite")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise InvalidField("image.attributes", f"{key!r} is {value}; a whole number has at most 63 bits and a sign")


def check_attribute_key(field: str, key: str) -> None:
    """Checks the form of an attribute's key.

    Raises:
        InvalidField: for ``field``, if it has not that form.
    """
    if ATTRIBUTE_KEY.fullmatch(key) is None:
        raise InvalidField(
            field, f"key {key[:80]!r} must be 1 to 63 characters of a-z, 0-9 and _, beginning with a letter"
        )


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
        captured_at: RFC 3339 text; without an offset where the camera recorded none: then it is what its clock
            showed, wherever it was.
        location: where it was taken.
        iso: ISO speed, above 0.
        f_number: above 0.
        exposure_s: seconds, above 0.
        focal_length_mm: millimetres, above 0.
        altitude_m: metres above sea level.
        frame_count: pictures in the file, at least 1.
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
    altitude_m: float | None = None
    frame_count: int = 1

    @property
    def local_time(self) -> bool:
        """Whether ``captured_at`` has no offset, and so is no moment in time."""
        return self.captured_at is not None and datetime.fromisoformat(self.captured_at).tzinfo is None


@dataclass(frozen=True, slots=True)
class Preview:
    """What stays of a picture beside its embedding.

    Attributes:
        thumbnail: a WebP file, upright, sRGB, at most THUMBNAIL_SIDE pixels wide and high.
        phash: perceptual hash of the upright picture, 16 hexadecimal digits.
    """

    thumbnail: bytes = field(repr=False)
    phash: str


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image file after decoding.

    Attributes:
        pixels: uint8 sRGB, shape (height, width, 3), upright; may be smaller than the picture, but not than what the
            model looks at.
        metadata: what the file says about itself; width and height are the picture's.
        preview: None if it was not asked for.
    """

    pixels: Pixels = field(repr=False)
    metadata: Metadata
    preview: Preview | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A stored image without its vector.

    Attributes:
        uri: where the picture is, as the client said that sent it first.
        also_at: other places where the same bytes were.
        attributes: what people say of it.
        phash: perceptual hash of the upright picture, 16 hexadecimal digits; None if it was stored without one.
    """

    id: UUID
    sha256: Sha256
    uri: str
    tags: tuple[str, ...]
    metadata: Metadata
    ingested_at: datetime
    cluster_id: int | None = None
    place_id: int | None = None
    moment_id: int | None = None
    also_at: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    phash: str | None = None


class OnNearDuplicate(Enum):
    """What to do with an image that looks like a stored one though its bytes are others."""

    KEEP = "keep"
    TAG = "tag"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """An image and its cosine similarity (-1 to 1) to a query."""

    image: Image
    score: float

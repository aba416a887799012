"""Stored images, and what became of them on their way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from shoal_client.errors import ShoalError
from shoal_client.filters import Attribute


@dataclass(frozen=True, slots=True)
class Location:
    """WGS 84 degrees: latitude -90 to 90, longitude -180 to 180."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """What was read from an image file. None: not in the file, or senseless there.

    Attributes:
        width: pixels, upright.
        height: pixels, upright.
        format: ``JPEG``, ``PNG``, ...
        byte_size: of the file.
        orientation: EXIF orientation as found, 1 to 8.
        captured_at: RFC 3339 text; without an offset where the camera recorded none: see ``local_time``.
        exposure_s: seconds.
        focal_length_mm: millimetres, not scaled to 35 mm film.
        local_time: the camera recorded no offset: ``captured_at`` is what its clock showed, wherever it was, and no
            moment in time.
        altitude_m: metres above sea level; negative below it.
        frame_count: pictures in the file, frames of an animation or pages of a TIFF; what is embedded is the first.
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
    local_time: bool = False
    altitude_m: float | None = None
    frame_count: int = 1


@dataclass(frozen=True, slots=True)
class Image:
    """A stored image; the picture itself stays at ``uri``.

    Attributes:
        id: UUIDv5 of the bytes' SHA-256: the same bytes always have the same id.
        cluster_id: None if it is in no cluster.
        place_id: None if it is at no place.
        moment_id: None if it is in no moment.
        also_at: other places where the same bytes were; the first 64.
        attributes: what people say of it, by key.
        phash: perceptual hash (64-bit pHash of the upright picture) as 16 hexadecimal digits; None if it has none.
    """

    id: str
    sha256: str
    uri: str
    tags: tuple[str, ...]
    cluster_id: int | None
    metadata: ImageMetadata
    ingested_at: datetime
    place_id: int | None = None
    moment_id: int | None = None
    also_at: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict, hash=False)
    phash: str | None = None


@dataclass(frozen=True, slots=True)
class ImageMatch:
    """An image and its cosine similarity (-1 to 1) to a query."""

    image: Image
    score: float


class Outcome(Enum):
    """What became of one image of an ingest."""

    #: It is in the collection now.
    STORED = "stored"
    #: The same bytes were in the collection before; tags, attributes and URI were added to what was stored.
    DUPLICATE = "duplicate"
    #: It looks like a stored image, and it was asked for not to be stored then.
    NEAR_DUPLICATE = "near_duplicate"
    #: The journal knows it, and the server still has it: it was neither read nor sent.
    KNOWN = "known"
    #: It could not be read, sent or stored.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of one image of an ingest.

    Attributes:
        index: its place in what was ingested, from 0.
        uri: as sent.
        outcome: what became of it.
        image: as stored; with NEAR_DUPLICATE the stored image that it looks like; None if it is KNOWN or FAILED.
        error: why it failed; None if it did not.
        near_duplicate_of: id of the stored image that it looks like; None if there is none or nobody asked for it.
    """

    index: int
    uri: str
    outcome: Outcome
    image: Image | None = None
    error: ShoalError | None = None
    near_duplicate_of: str | None = None

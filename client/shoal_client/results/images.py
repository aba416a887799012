"""Stored images, and what became of them on their way in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from shoal_client.errors import ShoalError


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
        captured_at: RFC 3339 text; without an offset where the camera recorded none.
        exposure_s: seconds.
        focal_length_mm: millimetres, not scaled to 35 mm film.
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
class Image:
    """A stored image; the picture itself stays at ``uri``.

    Attributes:
        id: UUIDv5 of the bytes' SHA-256: the same bytes always have the same id.
        cluster_id: None if it is in no cluster.
        place_id: None if it is at no place.
        moment_id: None if it is in no moment.
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


@dataclass(frozen=True, slots=True)
class ImageMatch:
    """An image and its cosine similarity (-1 to 1) to a query."""

    image: Image
    score: float


class Outcome(Enum):
    """What became of one image of an ingest."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of one image of an ingest.

    Attributes:
        index: its place in what was ingested, from 0.
        uri: as sent.
        outcome: DUPLICATE means that the same bytes were stored before; the stored image is as it was.
        image: as stored; None if it failed.
        error: why it failed; None if it did not.
    """

    index: int
    uri: str
    outcome: Outcome
    image: Image | None = None
    error: ShoalError | None = None

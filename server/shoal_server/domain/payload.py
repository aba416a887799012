"""The payload contract: what stands on an image's point in the vector store, for every program to filter on.

Field names and types are public. An absent field means that the value is not known; an absent ``cluster_id``
means that the image is in no cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from shoal_server.domain.image import Image, Location, Metadata, Sha256

CLUSTER_ID = "cluster_id"
PLACE_ID = "place_id"
MOMENT_ID = "moment_id"

#: What runs write on the points.
GROUP_FIELDS = (CLUSTER_ID, PLACE_ID, MOMENT_ID)


class FieldType(Enum):
    """Type of a payload index, named as Qdrant names it."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    DATETIME = "datetime"
    GEO = "geo"
    BOOL = "bool"


#: When the picture was taken, as text; see :class:`Metadata`.
CAPTURED_AT = "captured_at"
#: What the camera's clock showed, without an offset: there whenever ``captured_at`` is.
CAPTURED_LOCAL = "captured_local"
#: The year of it.
CAPTURED_YEAR = "captured_year"
#: True where ``captured_at`` has no offset, and so is no moment in time.
LOCAL_TIME = "local_time"
#: What people say of an image; the fields in it are its keys.
ATTRIBUTES = "attributes"

#: The indexed fields. The indexes are made before the first point, because later ones add no filter edges to HNSW.
INDEXED: Mapping[str, FieldType] = {
    CLUSTER_ID: FieldType.INTEGER,
    PLACE_ID: FieldType.INTEGER,
    MOMENT_ID: FieldType.INTEGER,
    "sha256": FieldType.KEYWORD,
    "uri": FieldType.KEYWORD,
    "tags": FieldType.KEYWORD,
    CAPTURED_AT: FieldType.DATETIME,
    CAPTURED_LOCAL: FieldType.DATETIME,
    CAPTURED_YEAR: FieldType.INTEGER,
    LOCAL_TIME: FieldType.BOOL,
    "ingested_at": FieldType.DATETIME,
    "location": FieldType.GEO,
    "camera_make": FieldType.KEYWORD,
    "camera_model": FieldType.KEYWORD,
    "lens": FieldType.KEYWORD,
    "format": FieldType.KEYWORD,
    "iso": FieldType.INTEGER,
    "f_number": FieldType.FLOAT,
    "exposure_s": FieldType.FLOAT,
    "focal_length_mm": FieldType.FLOAT,
    "width": FieldType.INTEGER,
    "height": FieldType.INTEGER,
    "byte_size": FieldType.INTEGER,
    "orientation": FieldType.INTEGER,
    "frame_count": FieldType.INTEGER,
    "altitude_m": FieldType.FLOAT,
    "phash": FieldType.KEYWORD,
}

#: Degrees that a stored position keeps away from the poles and the 180th meridian, 11 micrometres: Qdrant's geo index
#: takes 90 degrees north for the south pole and 180 degrees east for 180 degrees west, and its areas lack their edges.
_FROM_THE_EDGE = 1e-10

_PLAIN = (
    "width", "height", "format", "byte_size", "orientation", "captured_at", "camera_make", "camera_model", "lens",
    "iso", "f_number", "exposure_s", "focal_length_mm", "altitude_m", "frame_count",
)  # fmt: skip


def to_payload(image: Image) -> dict[str, Any]:
    """The payload of an image: JSON types only, unknown fields absent."""
    metadata = image.metadata
    payload: dict[str, Any] = {
        "sha256": image.sha256,
        "uri": image.uri,
        "tags": list(image.tags),
        "ingested_at": image.ingested_at.isoformat(),
    }
    payload |= {name: value for name in _PLAIN if (value := getattr(metadata, name)) is not None}
    if metadata.captured_at is not None:
        if derived := captured_fields(metadata.captured_at):
            payload |= derived
        else:
            del payload[CAPTURED_AT]
    if metadata.location is not None:
        payload["location"] = {
            "lat": _inside(metadata.location.lat, 90.0),
            "lon": _inside(metadata.location.lon, 180.0),
        }
    if image.also_at:
        payload["also_at"] = list(image.also_at)
    if image.attributes:
        payload[ATTRIBUTES] = dict(image.attributes)
    if image.phash is not None:
        payload["phash"] = image.phash
    payload |= {name: value for name in GROUP_FIELDS if (value := getattr(image, name)) is not None}
    return payload


def said(image: Image) -> tuple[dict[str, Any], list[str]]:
    """What may change of an image, whole, and which of these fields :func:`to_payload` would leave out as empty.

    That is what people say of it, and its perceptual hash, which images of an earlier version get later.
    """
    fields: dict[str, Any] = {
        "uri": image.uri,
        "tags": list(image.tags),
        "also_at": list(image.also_at),
        ATTRIBUTES: dict(image.attributes),
    }
    if image.phash is not None:
        fields["phash"] = image.phash
    return fields, [name for name in ("also_at", ATTRIBUTES) if not fields[name]]


def captured_fields(captured_at: str) -> dict[str, Any]:
    """The fields that follow from ``captured_at``; none if that is no time: one image must not hold up others."""
    try:
        captured = datetime.fromisoformat(captured_at)
    except ValueError:
        return {}
    shown = captured.replace(tzinfo=None)
    fields: dict[str, Any] = {CAPTURED_LOCAL: shown.isoformat(), CAPTURED_YEAR: shown.year}
    if captured.tzinfo is None:
        fields[LOCAL_TIME] = True
    return fields


def from_payload(identity: UUID, payload: Mapping[str, Any]) -> Image:
    """The image with this payload; the inverse of :func:`to_payload`."""
    # Every answer to a search is made of these: one look-up for each field, and arguments by their place.
    get = payload.get
    location = get("location")
    metadata = Metadata(
        payload["width"],
        payload["height"],
        payload["format"],
        payload["byte_size"],
        get("orientation"),
        get(CAPTURED_AT),
        None if location is None else Location(lat=location["lat"], lon=location["lon"]),
        get("camera_make"),
        get("camera_model"),
        get("lens"),
        get("iso"),
        get("f_number"),
        get("exposure_s"),
        get("focal_length_mm"),
        get("altitude_m"),
        get("frame_count", 1),
    )
    return Image(
        identity,
        Sha256(payload["sha256"]),
        get("uri", ""),
        tuple(get("tags", ())),
        metadata,
        datetime.fromisoformat(payload["ingested_at"]),
        get(CLUSTER_ID),
        get(PLACE_ID),
        get(MOMENT_ID),
        tuple(get("also_at", ())),
        get(ATTRIBUTES) or {},
        get("phash"),
    )


def _inside(degrees: float, edge: float) -> float:
    return min(max(degrees, _FROM_THE_EDGE - edge), edge - _FROM_THE_EDGE)

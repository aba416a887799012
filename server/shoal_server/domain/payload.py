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


#: The indexed fields. The indexes are made before the first point, because later ones add no filter edges to HNSW.
INDEXED: Mapping[str, FieldType] = {
    CLUSTER_ID: FieldType.INTEGER,
    PLACE_ID: FieldType.INTEGER,
    MOMENT_ID: FieldType.INTEGER,
    "sha256": FieldType.KEYWORD,
    "uri": FieldType.KEYWORD,
    "tags": FieldType.KEYWORD,
    "captured_at": FieldType.DATETIME,
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
}

_PLAIN = (
    "width", "height", "format", "byte_size", "orientation", "captured_at", "camera_make", "camera_model", "lens",
    "iso", "f_number", "exposure_s", "focal_length_mm",
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
    if metadata.location is not None:
        payload["location"] = {"lat": metadata.location.lat, "lon": metadata.location.lon}
    payload |= {name: value for name in GROUP_FIELDS if (value := getattr(image, name)) is not None}
    return payload


def from_payload(identity: UUID, payload: Mapping[str, Any]) -> Image:
    """The image with this payload; the inverse of :func:`to_payload`."""
    location = payload.get("location")
    return Image(
        id=identity,
        sha256=Sha256(payload["sha256"]),
        uri=payload.get("uri", ""),
        tags=tuple(payload.get("tags", ())),
        metadata=Metadata(
            **{name: payload[name] for name in _PLAIN if name in payload},
            location=None if location is None else Location(lat=location["lat"], lon=location["lon"]),
        ),
        ingested_at=datetime.fromisoformat(payload["ingested_at"]),
        **{name: payload[name] for name in GROUP_FIELDS if name in payload},
    )

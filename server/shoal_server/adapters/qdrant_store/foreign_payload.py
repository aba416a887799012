"""Somebody else's payload as what Shoal knows of an image: as much as has the form that Shoal's own fields have.

Whatever has not is passed over: an owner's payload can hold anything, and no point may hold up the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from shoal_server.domain.image import (
    ATTRIBUTE_KEY,
    MAX_ATTRIBUTE_TEXT,
    MAX_ATTRIBUTES,
    MAX_TAG,
    MAX_TAGS,
    MAX_URI,
    Attribute,
    Image,
    Location,
    Metadata,
    Sha256,
)
from shoal_server.domain.payload import CAPTURED_AT, CAPTURED_LOCAL

#: Where payloads say where a picture is, the likeliest first.
_PLACES = (
    "uri", "url", "image_url", "image_uri", "image_path", "path", "file_path", "filepath", "file", "filename",
    "file_name", "source",
)  # fmt: skip

_TEXTS = ("format", "camera_make", "camera_model", "lens")
_COUNTS = ("iso", "frame_count")
_MEASURES = ("f_number", "exposure_s", "focal_length_mm")

_LARGEST_INT = 2**31 - 1
_LARGEST_SIZE = 2**63 - 1
_LAST_ORIENTATION = 8


def to_image(identity: UUID, payload: Mapping[str, Any], payload_key: str, attached_at: datetime) -> Image:
    """A point as an image: without a digest, for there are no bytes.

    Args:
        identity: of the image.
        payload: of the point.
        payload_key: where the cluster's id is.
        attached_at: stands for the time of ingest, which is not known.
    """
    metadata: dict[str, Any] = {name: text for name in _TEXTS if (text := _text(payload.get(name)))}
    metadata |= {name: count for name in _COUNTS if (count := _whole(payload.get(name)))}
    metadata |= {name: value for name in _MEASURES if (value := _number(payload.get(name))) is not None and value > 0}
    orientation = _whole(payload.get("orientation"))
    return Image(
        id=identity,
        sha256=Sha256(""),
        uri=next((text for name in _PLACES if (text := _text(payload.get(name)))), ""),
        tags=_tags(payload.get("tags")),
        metadata=Metadata(
            width=_whole(payload.get("width")) or 0,
            height=_whole(payload.get("height")) or 0,
            format=metadata.pop("format", ""),
            byte_size=_whole(payload.get("byte_size"), _LARGEST_SIZE) or 0,
            orientation=orientation if orientation is not None and orientation <= _LAST_ORIENTATION else None,
            captured_at=to_time(payload.get(CAPTURED_AT)) or to_time(payload.get(CAPTURED_LOCAL)),
            location=to_location(payload.get("location")),
            altitude_m=_number(payload.get("altitude_m")),
            **metadata,
        ),
        ingested_at=attached_at,
        cluster_id=to_cluster_id(payload.get(payload_key)),
        attributes=_attributes(payload, payload_key),
    )


def to_cluster_id(value: Any) -> int | None:
    """A cluster's id, None for whatever cannot be one."""
    return _whole(value, _LARGEST_SIZE)


def to_time(value: Any) -> str | None:
    """A time as ISO 8601 text, None for whatever is none."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).isoformat()
    except ValueError:
        return None


def to_location(value: Any) -> Location | None:
    """A position, None for whatever is none."""
    if not isinstance(value, Mapping):
        return None
    lat, lon = _number(value.get("lat")), _number(value.get("lon"))
    if lat is None or lon is None or not (-90 <= lat <= 90 and -180 <= lon <= 180):
        return None
    return Location(lat=lat, lon=lon)


def _attributes(payload: Mapping[str, Any], payload_key: str) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for key, value in payload.items():
        if len(found) == MAX_ATTRIBUTES:
            break
        if key != payload_key and ATTRIBUTE_KEY.fullmatch(key) is not None and _is_attribute(value):
            found[key] = value
    return found


def _is_attribute(value: Any) -> bool:
    match value:
        case str():
            return len(value) <= MAX_ATTRIBUTE_TEXT
        case bool():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case float():
            return math.isfinite(value)
    return False


def _tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    texts = (each for each in value if isinstance(each, str) and 0 < len(each) <= MAX_TAG)
    return tuple(dict.fromkeys(texts))[:MAX_TAGS]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_URI else None


def _whole(value: Any, largest: int = _LARGEST_INT) -> int | None:
    """An integer above 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= largest else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None

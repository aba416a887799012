"""Camera metadata from XMP properties, for what EXIF does not say.

Properties and their meaning: XMP specification part 2, and CIPA DC-010-2020 (Exif for XMP). What makes no sense is
left out, and nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from shoal_server.domain import camera_values
from shoal_server.domain.exif import exposed_by_camera
from shoal_server.domain.image import Location, Metadata

#: A property's namespace and name.
Property = tuple[str, str]
#: Simple values, and arrays of them, by property.
Properties = Mapping[Property, str | list[str]]

_AUX = "http://ns.adobe.com/exif/1.0/aux/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_EXIF_EX = "http://cipa.jp/exif/1.0/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_XMP = "http://ns.adobe.com/xap/1.0/"

# Taken, in this order; by MWG, Guidelines for Handling Image Metadata 2.0, both are when the picture was taken ...
_ORIGINAL = ((_EXIF, "DateTimeOriginal"), (_PHOTOSHOP, "DateCreated"))
# ... and both of these when it was digitized.
_DIGITIZED = ((_EXIF, "DateTimeDigitized"), (_XMP, "CreateDate"))

_COORDINATE = re.compile(
    r"([0-9]{1,3}(?:\.[0-9]{1,15})?)"
    r"(?:,([0-9]{1,2}(?:\.[0-9]{1,15})?))?"
    r"(?:,([0-9]{1,2}(?:\.[0-9]{1,15})?))?\s*([NSEWnsew])"
)


def with_xmp(metadata: Metadata, properties: Properties) -> Metadata:
    """Adds what XMP says, field by field, where the metadata has None; never raises.

    Args:
        metadata: with what EXIF says.
        properties: of the file's main packet.
    """
    exposed = replace(
        metadata,
        orientation=metadata.orientation or camera_values.orientation(_first(properties, (_TIFF, "Orientation"))),
        location=metadata.location or _location(properties),
        altitude_m=_altitude(properties) if metadata.altitude_m is None else metadata.altitude_m,
        camera_make=metadata.camera_make or camera_values.text(_first(properties, (_TIFF, "Make"))),
        camera_model=metadata.camera_model or camera_values.text(_first(properties, (_TIFF, "Model"))),
        lens=metadata.lens or _lens(properties),
        iso=metadata.iso or _iso(properties),
        f_number=metadata.f_number
        or camera_values.aperture(_first(properties, (_EXIF, "FNumber")), _first(properties, (_EXIF, "ApertureValue"))),
        exposure_s=metadata.exposure_s
        or camera_values.exposure(
            _first(properties, (_EXIF, "ExposureTime")), _first(properties, (_EXIF, "ShutterSpeedValue"))
        ),
        focal_length_mm=metadata.focal_length_mm
        or camera_values.focal_length(_first(properties, (_EXIF, "FocalLength"))),
    )
    if metadata.captured_at is not None:
        return exposed
    # As in EXIF: when a picture was scanned or drawn is not when it was taken.
    sources = _ORIGINAL + _DIGITIZED if exposed_by_camera(exposed) else _ORIGINAL
    moments = (camera_values.moment(_first(properties, source)) for source in sources)
    return replace(exposed, captured_at=next((found for found in moments if found is not None), None))


def _first(properties: Properties, name: Property) -> str | None:
    value = properties.get(name)
    if isinstance(value, list):
        return value[0] if value else None
    return value


def _location(properties: Properties) -> Location | None:
    return camera_values.location(
        _degrees(_first(properties, (_EXIF, "GPSLatitude")), "N", "S", 90),
        _degrees(_first(properties, (_EXIF, "GPSLongitude")), "E", "W", 180),
    )


def _degrees(value: str | None, positive: str, negative: str, limit: int) -> float | None:
    """``51,30.5N`` and ``51,30,30N``: degrees, minutes and seconds, the last with decimals."""
    match = _COORDINATE.fullmatch((value or "").strip())
    if match is None:
        return None
    parts = [part for part in match.groups()[:3] if part is not None]
    return camera_values.degrees(parts, match[4], positive, negative, limit)


def _altitude(properties: Properties) -> float | None:
    below = (_first(properties, (_EXIF, "GPSAltitudeRef")) or "").strip() in ("1", "3")
    return camera_values.altitude(_first(properties, (_EXIF, "GPSAltitude")), below)


def _lens(properties: Properties) -> str | None:
    specification = properties.get((_EXIF_EX, "LensSpecification"))
    return camera_values.lens(
        _first(properties, (_EXIF_EX, "LensModel")),
        _first(properties, (_EXIF_EX, "LensMake")),
        specification,
    ) or camera_values.lens(_first(properties, (_AUX, "Lens")))


def _iso(properties: Properties) -> int | None:
    for name in ((_EXIF_EX, "PhotographicSensitivity"), (_EXIF, "ISOSpeedRatings"), (_EXIF_EX, "ISOSpeed")):
        found = camera_values.sensitivity(_first(properties, name))
        if found is not None:
            return found
    return None

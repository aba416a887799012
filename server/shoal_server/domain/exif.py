"""Camera metadata from EXIF tags.

Tags and their meaning: Exif 3.0, CIPA DC-008-2023. What makes no sense is left out, and nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shoal_server.domain import camera_values
from shoal_server.domain.image import Location, Metadata

# In the file's first directory.
ORIENTATION = 0x0112
_MAKE = 0x010F
_MODEL = 0x0110
_DATE_TIME = 0x0132
# In the Exif directory.
_EXPOSURE_TIME = 0x829A
_F_NUMBER = 0x829D
_PHOTOGRAPHIC_SENSITIVITY = 0x8827
_RECOMMENDED_EXPOSURE_INDEX = 0x8832
_ISO_SPEED = 0x8833
_DATE_TIME_ORIGINAL = 0x9003
_DATE_TIME_DIGITIZED = 0x9004
_OFFSET_TIME = 0x9010
_OFFSET_TIME_ORIGINAL = 0x9011
_OFFSET_TIME_DIGITIZED = 0x9012
_SHUTTER_SPEED_VALUE = 0x9201
_APERTURE_VALUE = 0x9202
_FOCAL_LENGTH = 0x920A
_SUB_SEC_TIME_ORIGINAL = 0x9291
_SUB_SEC_TIME_DIGITIZED = 0x9292
_FILE_SOURCE = 0xA300
_LENS_SPECIFICATION = 0xA432
_LENS_MAKE = 0xA433
_LENS_MODEL = 0xA434
# In the GPS directory.
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = 1, 2, 3, 4, 5, 6

#: Tags that are looked at, of the first, the Exif and the GPS directory.
BASE_TAGS = frozenset({ORIENTATION, _MAKE, _MODEL, _DATE_TIME})
EXIF_TAGS = frozenset({
    _EXPOSURE_TIME, _F_NUMBER, _PHOTOGRAPHIC_SENSITIVITY, _RECOMMENDED_EXPOSURE_INDEX, _ISO_SPEED, _DATE_TIME_ORIGINAL,
    _DATE_TIME_DIGITIZED, _OFFSET_TIME, _OFFSET_TIME_ORIGINAL, _OFFSET_TIME_DIGITIZED, _SHUTTER_SPEED_VALUE,
    _APERTURE_VALUE, _FOCAL_LENGTH, _SUB_SEC_TIME_ORIGINAL, _SUB_SEC_TIME_DIGITIZED, _FILE_SOURCE, _LENS_SPECIFICATION,
    _LENS_MAKE, _LENS_MODEL,
})  # fmt: skip
GPS_TAGS = frozenset({_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE})

_DIGITAL_CAMERA = 3
# Of GPSAltitudeRef: 0 and 1 are measured from the ellipsoid or the sea (Exif 2 does not say), 2 and 3 from the sea.
_BELOW = (1, 3)


def with_exif(
    metadata: Metadata,
    base: Mapping[int, object],
    exif_ifd: Mapping[int, object],
    gps_ifd: Mapping[int, object],
) -> Metadata:
    """Adds what EXIF tags say; never raises, whatever the values are.

    Args:
        metadata: what is known of the file without EXIF.
        base: tags of the first image directory by number.
        exif_ifd: tags of the Exif directory.
        gps_ifd: tags of the GPS directory.

    Returns:
        The metadata with every EXIF field replaced: by the value, or by None where the tag is absent or senseless.
    """
    exposed = replace(
        metadata,
        orientation=camera_values.orientation(base.get(ORIENTATION)),
        location=_location(gps_ifd),
        altitude_m=camera_values.altitude(gps_ifd.get(_ALTITUDE), _code(gps_ifd.get(_ALTITUDE_REF)) in _BELOW),
        camera_make=camera_values.text(base.get(_MAKE)),
        camera_model=camera_values.text(base.get(_MODEL)),
        lens=camera_values.lens(exif_ifd.get(_LENS_MODEL), exif_ifd.get(_LENS_MAKE), exif_ifd.get(_LENS_SPECIFICATION)),
        iso=_iso(exif_ifd),
        f_number=camera_values.aperture(exif_ifd.get(_F_NUMBER), exif_ifd.get(_APERTURE_VALUE)),
        exposure_s=camera_values.exposure(exif_ifd.get(_EXPOSURE_TIME), exif_ifd.get(_SHUTTER_SPEED_VALUE)),
        focal_length_mm=camera_values.focal_length(exif_ifd.get(_FOCAL_LENGTH)),
    )
    return replace(exposed, captured_at=_captured_at(base, exif_ifd, exposed))


def exposed_by_camera(metadata: Metadata) -> bool:
    """Whether a file says how it was exposed: scanners and drawing programs do not."""
    return metadata.exposure_s is not None or metadata.f_number is not None or metadata.iso is not None


def _captured_at(base: Mapping[int, object], exif_ifd: Mapping[int, object], metadata: Metadata) -> str | None:
    """DateTimeOriginal; of pictures of a digital camera that lack it, DateTimeDigitized.

    In a camera the two are the same. Of a scanned photograph the second is when it was scanned, which is not when it
    was taken, and none is better than that. DateTime is the last change of the file, and is never taken.

    An offset of its own is taken first. OffsetTime belongs to DateTime: it is this one's as well if both clocks show
    the same, as they do in a file that was not edited.
    """
    if camera_values.moment(exif_ifd.get(_DATE_TIME_ORIGINAL)) is not None:
        tag, fraction, offset = _DATE_TIME_ORIGINAL, _SUB_SEC_TIME_ORIGINAL, _OFFSET_TIME_ORIGINAL
    else:
        tag, fraction, offset = _DATE_TIME_DIGITIZED, _SUB_SEC_TIME_DIGITIZED, _OFFSET_TIME_DIGITIZED
        source = _code(exif_ifd.get(_FILE_SOURCE))
        if source != _DIGITAL_CAMERA and (source is not None or not exposed_by_camera(metadata)):
            return None
    shown = camera_values.moment(exif_ifd.get(tag))
    if shown is None:
        return None
    of_others = (
        (exif_ifd.get(tag), exif_ifd.get(offset)),
        (exif_ifd.get(_DATE_TIME_DIGITIZED), exif_ifd.get(_OFFSET_TIME_DIGITIZED)),
        (base.get(_DATE_TIME), exif_ifd.get(_OFFSET_TIME)),
    )
    for clock, its_offset in of_others:
        if its_offset is not None and camera_values.moment(clock) == shown:
            return camera_values.moment(exif_ifd.get(tag), exif_ifd.get(fraction), its_offset)
    return camera_values.moment(exif_ifd.get(tag), exif_ifd.get(fraction))


def _location(gps_ifd: Mapping[int, object]) -> Location | None:
    return camera_values.location(
        _degrees(gps_ifd.get(_LATITUDE), gps_ifd.get(_LATITUDE_REF), "N", "S", 90),
        _degrees(gps_ifd.get(_LONGITUDE), gps_ifd.get(_LONGITUDE_REF), "E", "W", 180),
    )


def _degrees(value: object, ref: object, positive: str, negative: str, limit: int) -> float | None:
    if not isinstance(value, tuple | list):
        return None
    return camera_values.degrees(value, ref, positive, negative, limit)


def _iso(exif_ifd: Mapping[int, object]) -> int | None:
    for tag in (_PHOTOGRAPHIC_SENSITIVITY, _ISO_SPEED, _RECOMMENDED_EXPOSURE_INDEX):
        found = camera_values.sensitivity(exif_ifd.get(tag))
        if found is not None:
            return found
    return None


def _code(value: object) -> int | None:
    """A small number, which files have as a byte string of one byte as well."""
    if isinstance(value, bytes):
        return value[0] if len(value) == 1 else None
    found = camera_values.number(value)
    return None if found is None else int(found)

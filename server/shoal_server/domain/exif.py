"""Camera metadata from EXIF tags.

Files carry whatever a camera, an editor or an attacker wrote, so every value is doubted: what makes no sense is left
out, and nothing here raises. Tags and their meaning: Exif 3.0, CIPA DC-008-2023.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from shoal_server.domain.image import Location, Metadata

MAX_TEXT = 256

# In the file's first directory.
ORIENTATION = 0x0112
_MAKE = 0x010F
_MODEL = 0x0110
# In the Exif directory.
_EXPOSURE_TIME = 0x829A
_F_NUMBER = 0x829D
_PHOTOGRAPHIC_SENSITIVITY = 0x8827
_RECOMMENDED_EXPOSURE_INDEX = 0x8832
_ISO_SPEED = 0x8833
_DATE_TIME_ORIGINAL = 0x9003
_OFFSET_TIME_ORIGINAL = 0x9011
_SUB_SEC_TIME_ORIGINAL = 0x9291
_FOCAL_LENGTH = 0x920A
_LENS_MODEL = 0xA434
# In the GPS directory.
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE = 1, 2, 3, 4

_DATE_TIME = re.compile(r"([0-9]{4})[:/-]([0-9]{2})[:/-]([0-9]{2})[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})")
_OFFSET = re.compile(r"Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9]")
_FRACTION = re.compile(r"[0-9]{1,9}")

# The tag has 16 bits; a camera that is faster writes 65535 and the true value elsewhere.
_SENSITIVITY_OVERFLOW = 65535
_MAX_ISO = 100_000_000


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
    return replace(
        metadata,
        orientation=_orientation(base.get(ORIENTATION)),
        captured_at=_captured_at(exif_ifd),
        location=_location(gps_ifd),
        camera_make=_text(base.get(_MAKE)),
        camera_model=_text(base.get(_MODEL)),
        lens=_text(exif_ifd.get(_LENS_MODEL)),
        iso=_iso(exif_ifd),
        f_number=_positive(exif_ifd.get(_F_NUMBER)),
        exposure_s=_positive(exif_ifd.get(_EXPOSURE_TIME)),
        focal_length_mm=_positive(exif_ifd.get(_FOCAL_LENGTH)),
    )


def _orientation(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number in range(1, 9) else None


def _captured_at(exif_ifd: Mapping[int, object]) -> str | None:
    """RFC 3339; the offset is left out if the camera did not record it, because guessing one would move the moment."""
    match = _DATE_TIME.fullmatch(_text(exif_ifd.get(_DATE_TIME_ORIGINAL)) or "")
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat("{}-{}-{}T{}:{}:{}".format(*match.groups()))
    except ValueError:
        return None
    fraction = _FRACTION.fullmatch(_text(exif_ifd.get(_SUB_SEC_TIME_ORIGINAL)) or "")
    offset = _OFFSET.fullmatch(_text(exif_ifd.get(_OFFSET_TIME_ORIGINAL)) or "")
    return moment.isoformat() + (f".{fraction[0][:6]}" if fraction else "") + (offset[0] if offset else "")


def _location(gps_ifd: Mapping[int, object]) -> Location | None:
    lat = _degrees(gps_ifd.get(_LATITUDE), gps_ifd.get(_LATITUDE_REF), "N", "S", 90)
    lon = _degrees(gps_ifd.get(_LONGITUDE), gps_ifd.get(_LONGITUDE_REF), "E", "W", 180)
    # Receivers without a fix write zeros; exactly 0, 0 is open sea.
    if lat is None or lon is None or (lat == 0 and lon == 0):
        return None
    return Location(lat=lat, lon=lon)


def _degrees(value: object, ref: object, positive: str, negative: str, limit: int) -> float | None:
    """Degrees, minutes and seconds (or fewer of them) and a hemisphere to signed degrees."""
    hemisphere = (_text(ref) or "").upper()
    if hemisphere not in (positive, negative) or not isinstance(value, tuple | list) or not 1 <= len(value) <= 3:
        return None
    degrees = 0.0
    for part, unit in zip(value, (1, 60, 3600), strict=False):
        number = _number(part)
        if number is None or number < 0 or (unit > 1 and number > 60):
            return None
        degrees += number / unit
    if degrees > limit:
        return None
    # 8 decimals are a millimetre.
    return round(-degrees if hemisphere == negative else degrees, 8)


def _iso(exif_ifd: Mapping[int, object]) -> int | None:
    for tag in (_PHOTOGRAPHIC_SENSITIVITY, _ISO_SPEED, _RECOMMENDED_EXPOSURE_INDEX):
        number = _number(exif_ifd.get(tag))
        if number is not None and 1 <= number <= _MAX_ISO and number != _SENSITIVITY_OVERFLOW:
            return int(number)
    return None


def _positive(value: object) -> float | None:
    number = _number(value)
    # Rationals such as 17999/10000 and 2147483647/1193046471 mean 1.8: six digits are all a camera knows.
    return float(f"{number:.6g}") if number is not None and number > 0 else None


def _number(value: object) -> float | None:
    """A finite float, or None. The first element of a tuple; a rational by its parts, so that 0/0 is refused."""
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    try:
        if hasattr(value, "numerator") and hasattr(value, "denominator"):
            number = float(value.numerator) / float(value.denominator)
        else:
            number = float(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a value can be of any type, and a file must not fail for its EXIF
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str | None:
    """One line of printable text of at most MAX_TEXT characters with a letter or digit in it, or None."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    # Categories C*: control and format characters, and surrogates, which no UTF-8 field can hold.
    printable = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in value[: 4 * MAX_TEXT])
    text = " ".join(printable.split())[:MAX_TEXT].rstrip()
    return text if any(char.isalnum() for char in text) else None

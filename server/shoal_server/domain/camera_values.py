"""Single values as cameras and editors write them, doubted.

Files carry whatever a camera, an editor or an attacker wrote. Each function here takes a value of any kind and gives
what can be meant by it, or None where it makes no sense; none raises.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from shoal_server.domain.image import Location

MAX_TEXT = 256

#: Metres: from the deepest trench to the edge of space.
MIN_ALTITUDE, MAX_ALTITUDE = -12_000, 100_000

_MAX_EXPOSURE_S = 1e6
_MAX_F_NUMBER = 1e4
_MAX_FOCAL_LENGTH_MM = 1e6
_MAX_ISO = 100_000_000
# The EXIF tag has 16 bits; a camera that is faster writes 65535 and the true value elsewhere.
_SENSITIVITY_OVERFLOW = 65535
# Exposures in APEX units: 2^17 s to 2^-25 s, and f/1 (excluded: what a camera writes for a lens it does not know) to
# f/1024.
_MIN_APEX_TIME, _MAX_APEX_TIME = -17, 25
_MAX_APEX_APERTURE = 20

_DATE_TIME = re.compile(
    r"([0-9]{4})[:/-]([0-9]{2})[:/-]([0-9]{2})"
    r"(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,12}))?)? ?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_OFFSET = re.compile(r"Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9]")
_FRACTION = re.compile(r"[0-9]{1,9}")
_RATIO = re.compile(r"([+-]?[0-9]{1,20})/([0-9]{1,20})")
# What lenses without electronics are called: "----", "0.0 mm f/0.0".
_NO_LENS = re.compile(r"[0.\sfmFM/-]*")


def text(value: object) -> str | None:
    """One line of printable text of at most MAX_TEXT characters with a letter or digit in it, or None.

    Bytes are UTF-8, or Latin-1 where they are not. EXIF has no other characters than ASCII, and readers take its bytes
    for Latin-1; the many files that have UTF-8 there are put right.
    """
    if isinstance(value, bytes):
        # What ends with NUL may have anything behind it.
        value = _decoded(value[: 16 * MAX_TEXT].split(b"\0", 1)[0])
    if not isinstance(value, str):
        return None
    # Categories C*: control and format characters, and surrogates, which no UTF-8 field can hold.
    shown = "".join(" " if unicodedata.category(char)[0] == "C" else char for char in value[: 4 * MAX_TEXT])
    line = " ".join(shown.split())[:MAX_TEXT].rstrip()
    return line if any(char.isalnum() for char in line) else None


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def number(value: object) -> float | None:
    """A finite float, or None. The first element of a sequence; a rational by its parts, so that 0/0 is refused."""
    if isinstance(value, tuple | list):
        value = value[0] if value else None
    try:
        if isinstance(value, str) and (ratio := _RATIO.fullmatch(value.strip())):
            result = float(ratio[1]) / float(ratio[2])
        elif hasattr(value, "numerator") and hasattr(value, "denominator"):
            result = float(value.numerator) / float(value.denominator)
        else:
            result = float(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - a value can be of any type, and a file must not fail for its metadata
        return None
    return result if math.isfinite(result) else None


def orientation(value: object) -> int | None:
    """EXIF orientation, 1 to 8."""
    found = number(value)
    return int(found) if found is not None and found in range(1, 9) else None


def moment(value: object, fraction: object = None, offset: object = None) -> str | None:
    """A date and time of EXIF or XMP as RFC 3339 text.

    The offset is left out if none is known, because guessing one would move the moment. A date without a time, as
    XMP may have it, is the day's first second, without an offset; a year or a month alone is no moment.

    Args:
        value: ``2008:10:22 16:28:39`` (EXIF), ``2008-10-22T16:28:39.5+02:00`` (XMP: ISO 8601), or anything.
        fraction: digits of the second, where the value has none.
        offset: from UTC, ``+02:00`` or ``Z``, where the value has none.
    """
    match = _DATE_TIME.fullmatch(text(value) or "")
    if match is None:
        return None
    year, month, day, hour, minute, second, digits, zone = match.groups()
    try:
        found = datetime.fromisoformat(f"{year}-{month}-{day}T{hour or '00'}:{minute or '00'}:{second or '00'}")
    except ValueError:
        return None
    if hour is None:
        return found.isoformat()
    if digits is None:
        alone = _FRACTION.fullmatch(text(fraction) or "")
        digits = alone[0] if alone else None
    known = _OFFSET.fullmatch(zone or text(offset) or "")
    return found.isoformat() + (f".{digits[:6]}" if digits else "") + (known[0] if known else "")


def location(lat: float | None, lon: float | None) -> Location | None:
    """A place by its degrees, or None: receivers without a fix write zeros, and exactly 0, 0 is open sea."""
    if lat is None or lon is None or (lat == 0 and lon == 0):
        return None
    return Location(lat=lat, lon=lon)


def degrees(parts: Sequence[object], hemisphere: object, positive: str, negative: str, limit: int) -> float | None:
    """Degrees, minutes and seconds, or fewer of them, and a hemisphere to signed degrees.

    Args:
        parts: 1 to 3 numbers.
        hemisphere: a letter.
        positive: the letter that leaves the sign.
        negative: the letter that turns it.
        limit: the most degrees there are.
    """
    letter = (text(hemisphere) or "").upper()
    if letter not in (positive, negative) or not 1 <= len(parts) <= 3:
        return None
    total = 0.0
    for part, unit in zip(parts, (1, 60, 3600), strict=False):
        found = number(part)
        if found is None or found < 0 or (unit > 1 and found > 60):
            return None
        total += found / unit
    if total > limit:
        return None
    # 8 decimals are a millimetre.
    return round(-total if letter == negative else total, 8)


def altitude(value: object, below: bool) -> float | None:
    """Metres above sea level.

    Args:
        value: the distance from sea level.
        below: it is measured downwards.
    """
    found = number(value)
    if found is None:
        return None
    signed = -found if below else found
    # A centimetre is more than any receiver knows.
    return round(signed, 2) + 0.0 if MIN_ALTITUDE <= signed <= MAX_ALTITUDE else None


def sensitivity(value: object) -> int | None:
    """ISO speed."""
    found = number(value)
    return int(found) if found is not None and 1 <= found <= _MAX_ISO and found != _SENSITIVITY_OVERFLOW else None


def exposure(seconds: object, apex: object) -> float | None:
    """Exposure in seconds, from itself or from the time value in APEX units, -log2 of it (Exif 3.0, annex C)."""
    plain = _positive(seconds, _MAX_EXPOSURE_S)
    if plain is not None:
        return plain
    found = number(apex)
    return _six_digits(2.0**-found) if found is not None and _MIN_APEX_TIME <= found <= _MAX_APEX_TIME else None


def aperture(f_number: object, apex: object) -> float | None:
    """F-number, from itself or from the aperture value in APEX units, 2 log2 of it (Exif 3.0, annex C)."""
    plain = _positive(f_number, _MAX_F_NUMBER)
    if plain is not None:
        return plain
    found = number(apex)
    # Two digits are engraved: 2^(5/2) is 5.65685, and f/5.6 everywhere.
    return float(f"{2.0 ** (found / 2):.2g}") if found is not None and 0 < found <= _MAX_APEX_APERTURE else None


def focal_length(value: object) -> float | None:
    """Millimetres."""
    return _positive(value, _MAX_FOCAL_LENGTH_MM)


def lens(name: object, make: object = None, specification: object = None) -> str | None:
    """A lens by its name, or else by what it can do: ``Canon 24-70mm f/2.8``.

    Args:
        name: the model.
        make: who made it.
        specification: shortest and longest focal length in mm, and the least f-number at each.
    """
    named = text(name)
    if named is not None and _NO_LENS.fullmatch(named) is None:
        return named
    if not isinstance(specification, tuple | list) or len(specification) != 4:
        return None
    near, far, at_near, at_far = (_positive(value, _MAX_FOCAL_LENGTH_MM) for value in specification)
    if near is None or (far is not None and far < near):
        return None
    focal = f"{near:g}mm" if far in (None, near) else f"{near:g}-{far:g}mm"
    if at_near is None:
        speed = ""
    elif at_far in (None, at_near):
        speed = f" f/{at_near:g}"
    else:
        speed = f" f/{at_near:g}-{at_far:g}"
    return text(f"{text(make) or ''} {focal}{speed}")


def _positive(value: object, limit: float) -> float | None:
    found = number(value)
    return _six_digits(found) if found is not None and 0 < found <= limit else None


def _six_digits(value: float) -> float:
    """Rationals such as 17999/10000 and 2147483647/1193046471 mean 1.8: six digits are all a camera knows."""
    return float(f"{value:.6g}")

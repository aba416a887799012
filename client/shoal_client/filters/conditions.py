"""What the names and values of the filter language mean."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from shoal_client.filters.image_filter import Attribute, Between, ImageFilter
from shoal_client.filters.times import stretch


@dataclass(frozen=True, slots=True)
class Word:
    """A name or a value as it stands in an expression.

    Attributes:
        text: without its quotes.
        quoted: whether it had some: then it is a text, whatever it looks like.
        position: characters of the expression before it.
    """

    text: str
    quoted: bool
    position: int


class Misread(Exception):
    """Something in an expression means nothing.

    Attributes:
        position: characters of the expression before it.
    """

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(problem)
        self.position = position


_TEXTS = {"tag": "tags", "camera": "camera_models", "make": "camera_makes", "lens": "lenses", "format": "formats"}
_IDS = {"cluster": "clusters", "theme": "themes", "place": "places", "moment": "moments"}
_TIMES = {"captured": "captured", "ingested": "ingested"}
_NUMBERS = {
    "iso": "iso",
    "f_number": "f_number",
    "exposure": "exposure_s",
    "focal_length": "focal_length_mm",
    "width": "width",
    "height": "height",
    "bytes": "byte_size",
    "altitude": "altitude_m",
    "orientation": "orientation",
    "frames": "frame_count",
}
_AREAS = {
    "near": "near(LATITUDE, LONGITUDE, DISTANCE), as in near(48.137, 11.575, 2km)",
    "box": "box(SOUTH, WEST, NORTH, EAST), as in box(47, 10, 49, 12)",
    "polygon": "polygon(LATITUDE LONGITUDE, ...) with 3 corners or more, as in polygon(47 10, 49 10, 48 12)",
}
#: The names in the payload and in what the commands print.
_ALSO = {
    "tags": "tag",
    "camera_model": "camera",
    "camera_make": "make",
    "cluster_id": "cluster",
    "place_id": "place",
    "moment_id": "moment",
    "captured_at": "captured",
    "ingested_at": "ingested",
    "byte_size": "bytes",
    "exposure_s": "exposure",
    "focal_length_mm": "focal_length",
    "altitude_m": "altitude",
    "frame_count": "frames",
}
#: All that stands before a comparison, for messages; ``attr.KEY`` stands for any attribute.
NAMES = (*_TEXTS, *_IDS, *_TIMES, *_NUMBERS, "attr.KEY")
FLAGS = ("unclustered",)
#: What takes no comparison, and how it is said.
_ALONE = {
    "unclustered": "unclustered, or: not unclustered",
    "location": "has location, or: not has location",
    **{name: form.rpartition("as in ")[2] for name, form in _AREAS.items()},
}
_EXAMPLES = {
    "captured": "captured >= 2019-05",
    "ingested": "ingested >= 2024-01-01",
    "camera": 'camera = "Canon EOS 40D"',
    "exposure": "exposure >= 1/30",
    "bytes": "bytes > 5MB",
}

_LENGTHS = {"m": 1.0, "km": 1000.0, "mi": 1609.344}
_UNITS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "exposure": {"s": 1.0, "ms": 0.001},
        "focal_length": {"mm": 1.0},
        "altitude": _LENGTHS,
        "bytes": {"kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30},
        "width": {"px": 1.0},
        "height": {"px": 1.0},
    }
)
_FORMATS = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF"}

_NUMBER = re.compile(
    r"(?P<number>[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)(/(?P<divisor>\d+))? ?(?P<unit>[a-zA-Z]*)", re.ASCII
)
_WHOLE = re.compile("-?(0|[1-9][0-9]{0,18})")
_FRACTION = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")
#: The key of an attribute.
KEY = re.compile("[a-z][a-z0-9_]{0,62}")
#: Degrees at most, of a latitude and of a longitude.
_LIMITS = (("latitude", 90), ("longitude", 180))
_WHOLE_EARTH = (-90.0, -180.0, 90.0, 180.0)


def compared(name: Word, operator: str, value: Word) -> ImageFilter:
    """A comparison: ``iso >= 800``.

    Raises:
        Misread: there is no such field, it cannot be compared so, or not with that value.
    """
    if operator == "!=":
        return ~compared(name, "=", value)
    field = _field(name)
    if field in _TIMES:
        return _one(_TIMES[field], _time_bounds(operator, value))
    if field in _NUMBERS:
        return _one(_NUMBERS[field], _bounds(operator, _number(value, _UNITS.get(field, {}))))
    key = _attribute_key(field, name)
    if key is not None and operator != "=":
        return ImageFilter(attributes={key: _bounds(operator, _number(value, {}))})
    if operator != "=":
        raise Misread(f"{field} has no order: it takes =, != and in", name.position)
    return listed(name, [value])


def listed(name: Word, values: Sequence[Word]) -> ImageFilter:
    """One of several: ``format in (JPEG, PNG)``.

    Raises:
        Misread: there is no such field, or it cannot have one of the values.
    """
    field = _field(name)
    key = _attribute_key(field, name)
    if key is not None:
        return ImageFilter(attributes={key: [meaning for each in values for meaning in _readings(each)]})
    if field in _TEXTS:
        texts = [_text(each) for each in values]
        if field == "format":
            texts = [_FORMATS.get(each.upper(), each.upper()) for each in texts]
        return _one(_TEXTS[field], texts)
    if field in _IDS:
        return _one(_IDS[field], [_identity(field, each) for each in values])
    single = [compared(name, "=", each) for each in values]
    return single[0] if len(single) == 1 else ImageFilter(any_of=single)


def area(name: Word, points: Sequence[Sequence[Word]]) -> ImageFilter:
    """A part of the earth: ``near(48.137, 11.575, 2km)``.

    Raises:
        Misread: there is no such form, or not of so many or such numbers.
    """
    form = _AREAS.get(name.text.lower())
    if form is None:
        raise _no_area(name)
    words = [word for point in points for word in point]
    match name.text.lower(), len(words):
        case "near", 3:
            lat, lon = _degrees(words[:2])
            radius = _number(words[2], _LENGTHS)
            if radius <= 0:
                raise Misread(f"{words[2].text!r} is no distance above 0", words[2].position)
            return ImageFilter(near=(lat, lon, radius))
        case "box", 4:
            south, west, north, east = _degrees(words)
            if south > north:
                raise Misread("the southern edge is north of the northern one", name.position)
            return ImageFilter(box=(south, west, north, east))
        case "polygon", _ if len(points) >= 3 and all(len(point) == 2 for point in points):
            corners = [_degrees(point) for point in points]
            return ImageFilter(polygon=[(lat, lon) for lat, lon in corners])
    raise Misread(f"this is not of the form {form}", name.position)


def present(name: Word) -> ImageFilter:
    """Something is known: ``has attr.rating``.

    Raises:
        Misread: that cannot be asked of the field.
    """
    if name.text.lower() == "location":
        return ImageFilter(box=_WHOLE_EARTH)
    key = _attribute_key(name.text, name)
    if key is None:
        raise Misread("'has' goes with attr.KEY and location, as in: has attr.rating", name.position)
    return ImageFilter(has_attributes=[key])


def flag(name: Word) -> ImageFilter:
    """A name that stands alone: ``unclustered``.

    Raises:
        Misread: it cannot.
    """
    if name.text.lower() == "unclustered":
        return ImageFilter(unclustered=True)
    if name.text.lower() in _AREAS:
        raise Misread(f"a form is missing: {_AREAS[name.text.lower()]}", name.position)
    raise _uncompared(name)


def typed(text: str) -> Attribute:
    """The value that a text looks like: true and false, whole numbers, other numbers, otherwise the text itself.

    A whole number has no leading zero and no plus: 007 and +49 stay texts, for nobody counts with them.
    """
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if _WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63:
        return int(text)
    if _FRACTION.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _text(value: Word) -> str:
    """A text, which a number with its unit is not."""
    if not value.quoted and " " in value.text:
        raise Misread(f'{value.text!r} has a blank in it; if it is a text, write "{value.text}"', value.position)
    return value.text


def _readings(value: Word) -> list[Attribute]:
    """What a value may mean: unquoted 5 is found as a number and as a text."""
    text = _text(value)
    if value.quoted:
        return [text]
    meaning = typed(text)
    return [meaning] if isinstance(meaning, str) else [meaning, text]


def _field(name: Word) -> str:
    if name.text.startswith("attr."):
        return name.text
    lower = name.text.lower()
    field = _ALSO.get(lower, lower)
    if lower in _ALONE:
        raise Misread(f"{name.text} stands alone, without a comparison, as in: {_ALONE[lower]}", name.position)
    if field not in NAMES:
        raise _unknown(name, [*NAMES, *FLAGS, *(f"{each}(...)" for each in _AREAS)], [*NAMES, *FLAGS, *_ALSO])
    return field


def _unknown(name: Word, possible: Sequence[str], known: Sequence[str] | Mapping[str, str]) -> Misread:
    close = get_close_matches(name.text.lower(), list(known), n=1)
    advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(possible)}"
    return Misread(f"there is no {name.text!r}; {advice}", name.position)


def _uncompared(name: Word) -> Misread:
    field = _field(name)
    example = _EXAMPLES.get(field) or (f'{field} = "..."' if field in _TEXTS else f"{field} = 3")
    return Misread(f"{name.text} must be compared with something, as in: {example}", name.position)


def _no_area(name: Word) -> Misread:
    try:
        return _uncompared(name)
    except Misread as error:  # there is no such name at all, or it stands alone
        known = name.text.lower() in _ALONE
        return error if known else _unknown(name, [f"{each}(...)" for each in _AREAS], _AREAS)


def _attribute_key(field: str, name: Word) -> str | None:
    if not field.startswith("attr."):
        return None
    key = field.removeprefix("attr.")
    if KEY.fullmatch(key) is None:
        raise Misread(
            f"{key!r} is no attribute's key: 1 to 63 of a-z, 0-9 and _, beginning with a letter", name.position
        )
    return key


def _identity(field: str, value: Word) -> int:
    if re.fullmatch(r"\d{1,18}", value.text) is None:
        command = f"shoal {_IDS[field]}"
        raise Misread(f"{value.text!r} is no {field}'s id (a number as `{command}` prints it)", value.position)
    return int(value.text)


def _number(value: Word, units: Mapping[str, float]) -> float:
    text = value.text[2:] if value.text.lower().startswith("f/") else value.text
    match = _NUMBER.fullmatch(text)
    unit = match["unit"].lower() if match else ""
    if match is None or (unit and unit not in units):
        also = f", or one with {', '.join(units)}" if units else ""
        raise Misread(f"{value.text!r} is no number{also}", value.position)
    divisor = int(match["divisor"] or 1)
    number = float(match["number"]) / divisor if divisor else math.inf
    number *= units.get(unit, 1.0)
    if not math.isfinite(number):
        raise Misread(f"{value.text!r} is no finite number", value.position)
    return number


def _degrees(words: Sequence[Word]) -> list[float]:
    """Numbers that are latitudes and longitudes in turn."""
    numbers = [_number(each, {}) for each in words]
    for index, (word, number) in enumerate(zip(words, numbers, strict=True)):
        kind, limit = _LIMITS[index % 2]
        if abs(number) > limit:
            raise Misread(f"{word.text!r} is no {kind} (-{limit} to {limit})", word.position)
    return numbers


def _bounds(operator: str, number: float) -> Between:
    """The API's bounds are all part of the range: what lies beyond a number begins with the next one that there is."""
    match operator:
        case ">=":
            return Between(min=number)
        case ">":
            return Between(min=math.nextafter(number, math.inf))
        case "<=":
            return Between(max=number)
        case "<":
            return Between(max=math.nextafter(number, -math.inf))
    return Between(number, number)


def _time_bounds(operator: str, value: Word) -> tuple[str | None, str | None]:
    try:
        begins, ends = stretch(value.text)
    except ValueError as error:
        wanted = "a time like 2019, 2019-05, 2019-05-01 or 2019-05-01T12:00:00+02:00"
        raise Misread(f"{value.text!r} is not {wanted}", value.position) from error
    after = None if ends is None else ends.isoformat()
    match operator:
        case ">=":
            return begins.isoformat(), None
        case "<":
            return None, begins.isoformat()
        case ">" if after is not None:
            return after, None
        case "<=":
            return None, after
        case "=":
            return begins.isoformat(), after
    raise Misread("nothing comes after the year 9999", value.position)


def _one(field: str, value: Any) -> ImageFilter:
    return ImageFilter(**{field: value})

"""Which images are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable

from google.type import latlng_pb2

from shoal.v1 import image_pb2
from shoal_server.application.queries import Where
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.filters import Between, Box, Circle, Condition, ImageFilter, OneOf, Polygon, Present, Within
from shoal_server.domain.image import Attribute, Location, check_attribute_key
from shoal_server.domain.payload import ATTRIBUTES
from shoal_server.domain.time_bounds import captured_within, ingested_within, parse_bound
from shoal_server.rpc.convert.attributes import attribute
from shoal_server.rpc.convert.values import ids_within
from shoal_server.rpc.resource_names import parse_cluster, parse_moment, parse_place, parse_theme

#: Filters within filters; a deeper one is an accident or an attack.
MAX_DEPTH = 16
#: Parts of a filter, all levels together.
MAX_PARTS = 1000
MAX_CORNERS = 1000

#: Whole numbers beyond are not all floating-point numbers.
_EXACT = 2**53

#: The request's lists of words and the payload's fields they stand for.
_WORDS = {
    "tags": "tags",
    "camera_makes": "camera_make",
    "camera_models": "camera_model",
    "lenses": "lens",
    "formats": "format",
}

NUMBERS = frozenset(
    {
        "iso",
        "f_number",
        "exposure_s",
        "focal_length_mm",
        "width",
        "height",
        "byte_size",
        "altitude_m",
        "orientation",
        "frame_count",
    }
)

_ANYWHERE = Where()


def image_filter(collection_id: str, message: image_pb2.ImageFilter) -> Where:
    """Which images.

    Raises:
        InvalidField: something in it makes no sense; the field is named.
        InvalidName: something named is not of this collection.
    """
    if not message.ByteSize():
        # Most searches have none.
        return _ANYWHERE
    _check_extent([message], 1)
    return _where(collection_id, message)


def _where(collection_id: str, message: image_pb2.ImageFilter) -> Where:
    if message.unclustered and (message.clusters or message.themes):
        raise InvalidField("filter", "'unclustered' and 'clusters' or 'themes' exclude one another; give one of them")
    within = [_within_times(message)] if message.HasField("captured") or message.HasField("ingested") else []
    return Where(
        clusters=ids_within(collection_id, parse_cluster, message.clusters),
        themes=ids_within(collection_id, parse_theme, message.themes),
        unclustered=message.unclustered,
        places=ids_within(collection_id, parse_place, message.places),
        moments=ids_within(collection_id, parse_moment, message.moments),
        conditions=tuple(_conditions(message)),
        parts=(*within, *map(_attribute, message.attributes)),
        all_of=tuple(_where(collection_id, each) for each in message.all_of),
        any_of=tuple(_where(collection_id, each) for each in message.any_of),
        none_of=tuple(_where(collection_id, each) for each in message.none_of),
    )


def _check_extent(level: list[image_pb2.ImageFilter], depth: int) -> None:
    """Counts before anything is built."""
    parts = 0
    while level:
        parts += len(level)
        if depth > MAX_DEPTH or parts > MAX_PARTS:
            raise InvalidField("filter", f"it is deeper than {MAX_DEPTH} filters or has more than {MAX_PARTS}")
        level = [part for each in level for part in (*each.all_of, *each.any_of, *each.none_of)]
        depth += 1


def _within_times(message: image_pb2.ImageFilter) -> ImageFilter:
    captured, ingested = message.captured, message.ingested
    return ImageFilter(
        all_of=(
            captured_within(
                parse_bound("filter.captured.earliest", captured.earliest),
                parse_bound("filter.captured.before", captured.before),
            ),
            ingested_within(
                parse_bound("filter.ingested.earliest", ingested.earliest),
                parse_bound("filter.ingested.before", ingested.before),
            ),
        )
    )


def _conditions(message: image_pb2.ImageFilter) -> Iterable[Condition]:
    for name, field in _WORDS.items():
        if words := getattr(message, name):
            yield OneOf(field, tuple(words))
    if message.HasField("area"):
        yield Within("location", _area(message.area))
    for number in message.ranges:
        if number.field not in NUMBERS:
            raise InvalidField(
                "filter.ranges", f"{number.field[:40]!r} is none of the numbers: {', '.join(sorted(NUMBERS))}"
            )
        yield _range("filter.ranges", number.field, number)


def _attribute(message: image_pb2.AttributeCondition) -> ImageFilter:
    check_attribute_key("filter.attributes", message.key)
    field = f"{ATTRIBUTES}.{message.key}"
    values = [attribute("filter.attributes", each) for each in message.any_of]
    bounded = message.HasField("min") or message.HasField("max")
    conditions: tuple[Condition, ...] = (_range("filter.attributes", field, message),) if bounded else ()
    if not values and not bounded:
        conditions = (Present(field),)
    return ImageFilter(
        conditions=conditions, any_of=tuple(ImageFilter(conditions=(_equal(field, value),)) for value in values)
    )


def _equal(field: str, value: Attribute) -> Condition:
    """Numbers by range: a whole one equals the same one with a point, unless it is too large for one."""
    if isinstance(value, bool | str) or (isinstance(value, int) and abs(value) > _EXACT):
        return OneOf(field, (value,))
    return Between(field, value, value)


def _range(name: str, field: str, message: image_pb2.NumericRange | image_pb2.AttributeCondition) -> Between:
    minimum = message.min if message.HasField("min") else None
    maximum = message.max if message.HasField("max") else None
    if minimum is None and maximum is None:
        raise InvalidField(name, f"{field!r} has neither min nor max")
    if any(bound is not None and math.isnan(bound) for bound in (minimum, maximum)):
        raise InvalidField(name, f"{field!r} has a bound that is no number")
    return Between(field, minimum, maximum)


def _area(message: image_pb2.GeoArea) -> Circle | Box | Polygon:
    match message.WhichOneof("area"):
        case "circle":
            radius = message.circle.radius_m
            if not 0 < radius < math.inf:
                raise InvalidField("filter.area.circle.radius_m", f"{radius} is no distance above 0")
            return Circle(_location("circle.center", message.circle.center), radius)
        case "box":
            south_west = _location("box.south_west", message.box.south_west)
            north_east = _location("box.north_east", message.box.north_east)
            if south_west.lat > north_east.lat:
                raise InvalidField("filter.area.box", "its southern edge is north of its northern one")
            return Box(south_west, north_east)
        case "polygon":
            corners = message.polygon.corners
            if not 3 <= len(corners) <= MAX_CORNERS:
                raise InvalidField("filter.area.polygon", f"{len(corners)} corners; give 3 to {MAX_CORNERS}")
            return Polygon(tuple(_location("polygon.corners", each) for each in corners))
    raise InvalidField("filter.area", "it is empty; give a circle, a box or a polygon")


def _location(name: str, message: latlng_pb2.LatLng) -> Location:
    if not (-90 <= message.latitude <= 90 and -180 <= message.longitude <= 180):
        raise InvalidField(
            f"filter.area.{name}",
            f"{message.latitude}, {message.longitude} is no latitude (-90 to 90) and longitude (-180 to 180)",
        )
    return Location(message.latitude, message.longitude)

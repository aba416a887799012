"""The conditions that people ask for, each checked, in the terms of :mod:`shoal_server.domain.filters`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.filters import Between, Box, Circle, Condition, ImageFilter, OneOf, Polygon, Present
from shoal_server.domain.image import Attribute, Location, check_attribute_key
from shoal_server.domain.payload import ATTRIBUTES
from shoal_server.domain.time_bounds import captured_within, ingested_within, parse_bound

#: Filters within filters; a deeper one is an accident or an attack.
MAX_DEPTH = 16
#: Parts of a filter, all levels together.
MAX_PARTS = 1000
MAX_CORNERS = 1000

#: Whole numbers beyond are not all floating-point numbers.
_EXACT = 2**53

#: A request's lists of words and the payload's fields they stand for.
WORDS = {
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


def check_extent(depth: int, parts: int) -> None:
    """Raises:
    InvalidField: a filter has too many levels, or too many parts.
    """
    if depth > MAX_DEPTH or parts > MAX_PARTS:
        raise InvalidField("filter", f"it is deeper than {MAX_DEPTH} filters or has more than {MAX_PARTS}")


def check_clusters(unclustered: bool, clusters: Sequence[object], themes: Sequence[object]) -> None:
    """Raises:
    InvalidField: images in no cluster are asked for, and images in some.
    """
    if unclustered and (clusters or themes):
        raise InvalidField("filter", "'unclustered' and 'clusters' or 'themes' exclude one another; give one of them")


def within_times(captured: tuple[str, str], ingested: tuple[str, str]) -> ImageFilter:
    """Images taken and stored in some time.

    Args:
        captured: the earliest time and the one it must be before, as people write them; empty for no bound.
        ingested: likewise.

    Raises:
        InvalidField: one of them is no time.
    """
    return ImageFilter(
        all_of=(
            captured_within(
                parse_bound("filter.captured.earliest", captured[0]),
                parse_bound("filter.captured.before", captured[1]),
            ),
            ingested_within(
                parse_bound("filter.ingested.earliest", ingested[0]),
                parse_bound("filter.ingested.before", ingested[1]),
            ),
        )
    )


def number_within(field: str, minimum: float | None, maximum: float | None) -> Between:
    """A number of the metadata.

    Raises:
        InvalidField: it is none of them, or the bounds are none.
    """
    if field not in NUMBERS:
        raise InvalidField("filter.ranges", f"{field[:40]!r} is none of the numbers: {', '.join(sorted(NUMBERS))}")
    return _between("filter.ranges", field, minimum, maximum)


def attribute(key: str, any_of: Sequence[Attribute], minimum: float | None, maximum: float | None) -> ImageFilter:
    """An attribute has one of some values, or is within bounds; with neither, it is there.

    Raises:
        InvalidField: the key does not have its form, or a bound is no number.
    """
    check_attribute_key("filter.attributes", key)
    field = f"{ATTRIBUTES}.{key}"
    bounded = minimum is not None or maximum is not None
    conditions: tuple[Condition, ...] = (_between("filter.attributes", field, minimum, maximum),) if bounded else ()
    if not any_of and not bounded:
        conditions = (Present(field),)
    return ImageFilter(
        conditions=conditions, any_of=tuple(ImageFilter(conditions=(_equal(field, value),)) for value in any_of)
    )


def circle(center: Location, radius_m: float) -> Circle:
    """Raises:
    InvalidField: the radius is no distance.
    """
    if not 0 < radius_m < math.inf:
        raise InvalidField("filter.area.circle.radius_m", f"{radius_m} is no distance above 0")
    return Circle(center, radius_m)


def box(south_west: Location, north_east: Location) -> Box:
    """Raises:
    InvalidField: it is upside down.
    """
    if south_west.lat > north_east.lat:
        raise InvalidField("filter.area.box", "its southern edge is north of its northern one")
    return Box(south_west, north_east)


def polygon(corners: Sequence[Location]) -> Polygon:
    """Raises:
    InvalidField: it has too few corners, or too many.
    """
    if not 3 <= len(corners) <= MAX_CORNERS:
        raise InvalidField("filter.area.polygon", f"{len(corners)} corners; give 3 to {MAX_CORNERS}")
    return Polygon(tuple(corners))


def no_area() -> InvalidField:
    """What is raised where an area is nothing that there is."""
    return InvalidField("filter.area", "it is empty; give a circle, a box or a polygon")


def location(name: str, latitude: float, longitude: float) -> Location:
    """A position on the earth.

    Args:
        name: of it in the area, for the message.
        latitude: degrees.
        longitude: degrees.

    Raises:
        InvalidField: it is nowhere.
    """
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise InvalidField(
            f"filter.area.{name}",
            f"{latitude}, {longitude} is no latitude (-90 to 90) and longitude (-180 to 180)",
        )
    return Location(latitude, longitude)


def _equal(field: str, value: Attribute) -> Condition:
    """Numbers by range: a whole one equals the same one with a point, unless it is too large for one."""
    if isinstance(value, bool | str) or (isinstance(value, int) and abs(value) > _EXACT):
        return OneOf(field, (value,))
    return Between(field, value, value)


def _between(name: str, field: str, minimum: float | None, maximum: float | None) -> Between:
    if minimum is None and maximum is None:
        raise InvalidField(name, f"{field!r} has neither min nor max")
    if any(bound is not None and math.isnan(bound) for bound in (minimum, maximum)):
        raise InvalidField(name, f"{field!r} has a bound that is no number")
    return Between(field, minimum, maximum)

"""The bounds of filter conditions in the form that every vector store takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from shoal_server.domain.filters import Box, Polygon, Scalar
from shoal_server.domain.image import Location

#: The largest latitude and longitude of an area. Qdrant's geo index takes 90 degrees north for the south pole and 180
#: degrees east for 180 degrees west: an area that ends there has nothing in it. Positions are stored a little farther
#: inside (:mod:`shoal_server.domain.payload`), so that they are in.
_NORTH = 90.0 - 1e-11
_EAST = 180.0 - 1e-11

#: A closed line has the first corner twice.
_CLOSED = 4


def by_type(values: Sequence[Scalar]) -> tuple[list[str], list[int], list[bool]]:
    """Values as texts, whole numbers and truth values, each kind in its order: a store matches one kind at a time."""
    return (
        [each for each in values if isinstance(each, str)],
        [each for each in values if isinstance(each, int) and not isinstance(each, bool)],
        [each for each in values if isinstance(each, bool)],
    )


def moment(bound: datetime | None) -> datetime | None:
    """A bound in UTC; a naive one is taken for UTC, one beyond the years 1 to 9999 in UTC for their end."""
    if bound is None:
        return None
    if bound.tzinfo is None:
        return bound.replace(tzinfo=UTC)
    try:
        return bound.astimezone(UTC)
    except OverflowError:
        end = datetime.min if bound.year == 1 else datetime.max
        return end.replace(tzinfo=UTC)


def boxes(box: Box) -> list[tuple[Location, Location]]:
    """The north-western and the south-eastern corner, twice if the box crosses the 180th meridian.

    Qdrant takes such a box as one too, but its geo index does not find everything in it if it is wide.
    """
    south_west, north_east = _indexed(box.south_west), _indexed(box.north_east)
    if south_west.lon <= north_east.lon:
        sides = [(south_west.lon, north_east.lon)]
    else:
        sides = [(south_west.lon, _EAST), (-180.0, north_east.lon)]
    return [(Location(north_east.lat, west), Location(south_west.lat, east)) for west, east in sides]


def ring(polygon: Polygon) -> list[Location]:
    """The corners with the first once more at the end: at least 4."""
    line = [_indexed(corner) for corner in polygon.corners]
    return line if len(line) >= _CLOSED and line[0] == line[-1] else [*line, line[0]]


def _indexed(corner: Location) -> Location:
    return Location(min(corner.lat, _NORTH), min(corner.lon, _EAST))

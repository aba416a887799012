"""Which images are meant: conditions on the fields of the payload, joined by and, or and not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shoal_server.domain.image import Location

Scalar = str | int | bool


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values, or for a field with several values, any of them has."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """The field is a number, at least ``minimum`` and at most ``maximum``; None: no bound."""

    field: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class During:
    """The field is a time, not before ``earliest`` and before ``before``; None: no bound.

    A naive bound is compared as if it were UTC, as Qdrant does with fields that have no offset.
    """

    field: str
    earliest: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """The field is there and not empty."""

    field: str


@dataclass(frozen=True, slots=True)
class Circle:
    """All within ``radius_m`` metres, above 0, of the centre."""

    center: Location
    radius_m: float


@dataclass(frozen=True, slots=True)
class Box:
    """Between two corners; crosses the 180th meridian if the western one is east of the eastern one."""

    south_west: Location
    north_east: Location


@dataclass(frozen=True, slots=True)
class Polygon:
    """Within a closed line of 3 or more corners; the last is joined with the first."""

    corners: tuple[Location, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """The field is a position within the area."""

    field: str
    area: Circle | Box | Polygon


Condition = OneOf | Between | During | Present | Within


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Which images; all that is said holds together. An empty filter lets every image through.

    Attributes:
        clusters: in any of these; empty means any or none.
        unclustered: in no cluster.
        clustered: in some cluster.
        exclude: not these images.
        places: at any of these; empty means anywhere.
        moments: in any of these; empty means at any time.
        conditions: each of these holds.
        all_of: each of these lets the image through.
        any_of: at least one of these does, if there are any.
        none_of: none of these does.
    """

    clusters: tuple[int, ...] = ()
    unclustered: bool = False
    clustered: bool = False
    exclude: tuple[UUID, ...] = ()
    places: tuple[int, ...] = ()
    moments: tuple[int, ...] = ()
    conditions: tuple[Condition, ...] = ()
    all_of: tuple[ImageFilter, ...] = ()
    any_of: tuple[ImageFilter, ...] = ()
    none_of: tuple[ImageFilter, ...] = ()

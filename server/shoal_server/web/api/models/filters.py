"""Which images are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from shoal_server.application.queries import Where
from shoal_server.domain import filter_conditions
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.filters import Box, Circle, Condition, OneOf, Polygon, Within
from shoal_server.domain.image import Location
from shoal_server.web.api.models.base import MAX_ID, Asked

Id = Annotated[int, Field(ge=0, le=MAX_ID)]
Value = Annotated[StrictBool | StrictInt | StrictFloat | StrictStr, Field(union_mode="left_to_right")]


class Span(Asked):
    """A time as people write it (``2019-05``, ``2024-01-01T10:00:00Z``), and the one that it must be before."""

    earliest: str = ""
    before: str = ""


class Position(Asked):
    """WGS 84 degrees."""

    latitude: float
    longitude: float

    def location(self, name: str) -> Location:
        """As :func:`filter_conditions.location`."""
        return filter_conditions.location(name, self.latitude, self.longitude)


class CircleArea(Asked):
    """All within some metres of a position."""

    center: Position
    radius_m: float


class BoxArea(Asked):
    """Between two corners; crosses the 180th meridian if the western one is east of the eastern one."""

    south_west: Position
    north_east: Position


class PolygonArea(Asked):
    """Within a line of 3 corners or more."""

    corners: list[Position]


class Area(Asked):
    """One of these."""

    circle: CircleArea | None = None
    box: BoxArea | None = None
    polygon: PolygonArea | None = None

    def area(self) -> Circle | Box | Polygon:
        """For the use case.

        Raises:
            InvalidField: it is not exactly one, or not on the earth.
        """
        if sum(each is not None for each in (self.circle, self.box, self.polygon)) != 1:
            raise filter_conditions.no_area()
        if self.circle is not None:
            return filter_conditions.circle(self.circle.center.location("circle.center"), self.circle.radius_m)
        if self.box is not None:
            return filter_conditions.box(
                self.box.south_west.location("box.south_west"), self.box.north_east.location("box.north_east")
            )
        corners = [] if self.polygon is None else self.polygon.corners
        return filter_conditions.polygon([each.location("polygon.corners") for each in corners])


class NumericRange(Asked):
    """A number of the metadata, for instance ``iso``; both bounds are part of it."""

    field: str
    min: float | None = None
    max: float | None = None


class AttributeCondition(Asked):
    """An attribute has one of some values, or is within bounds; with neither, it is there."""

    key: str
    any_of: tuple[Value, ...] = ()
    min: float | None = None
    max: float | None = None


class Filter(Asked):
    """Which images; all that is said holds together, and an empty filter lets every image through.

    The fields are those of ``shoal.v1.ImageFilter``. Of a list, one has to fit.
    """

    clusters: tuple[Id, ...] = ()
    themes: tuple[Id, ...] = ()
    unclustered: bool = False
    places: tuple[Id, ...] = ()
    moments: tuple[Id, ...] = ()
    tags: tuple[str, ...] = ()
    camera_makes: tuple[str, ...] = ()
    camera_models: tuple[str, ...] = ()
    lenses: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    captured: Span | None = None
    ingested: Span | None = None
    area: Area | None = None
    ranges: tuple[NumericRange, ...] = ()
    attributes: tuple[AttributeCondition, ...] = ()
    all_of: tuple[Filter, ...] = ()
    any_of: tuple[Filter, ...] = ()
    none_of: tuple[Filter, ...] = ()

    def where(self) -> Where:
        """For the use cases.

        Raises:
            InvalidField: something in it makes no sense; the field is named.
        """
        level, depth, parts = [self], 1, 0
        while level:
            parts += len(level)
            filter_conditions.check_extent(depth, parts)
            level = [part for each in level for part in (*each.all_of, *each.any_of, *each.none_of)]
            depth += 1
        return self._where()

    def _where(self) -> Where:
        filter_conditions.check_clusters(self.unclustered, self.clusters, self.themes)
        captured, ingested = self.captured or Span(), self.ingested or Span()
        within = (
            [filter_conditions.within_times((captured.earliest, captured.before), (ingested.earliest, ingested.before))]
            if self.captured is not None or self.ingested is not None
            else []
        )
        attributes = [
            filter_conditions.attribute(each.key, each.any_of, each.min, each.max) for each in self.attributes
        ]
        return Where(
            clusters=tuple(self.clusters),
            themes=tuple(self.themes),
            unclustered=self.unclustered,
            places=tuple(self.places),
            moments=tuple(self.moments),
            conditions=tuple(self._conditions()),
            parts=(*within, *attributes),
            all_of=tuple(each._where() for each in self.all_of),
            any_of=tuple(each._where() for each in self.any_of),
            none_of=tuple(each._where() for each in self.none_of),
        )

    def _conditions(self) -> Iterable[Condition]:
        for name, field in filter_conditions.WORDS.items():
            words: list[str] = getattr(self, name)
            if words:
                yield OneOf(field, tuple(words))
        if self.area is not None:
            yield Within("location", self.area.area())
        for number in self.ranges:
            yield filter_conditions.number_within(number.field, number.min, number.max)


def where_in(asked: Filter | None) -> Where:
    """What a filter means; all images without one."""
    return Where() if asked is None else asked.where()


def where_of(text: str) -> Where:
    """What the filter in a query parameter means; all images without one.

    Raises:
        InvalidField: it is no filter.
    """
    if not text:
        return Where()
    try:
        asked = Filter.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["where", *map(str, first["loc"])])[:200]
        if first["type"] == "extra_forbidden":
            raise InvalidField(place, "there is no such field; /api/openapi.json lists those there are") from error
        raise InvalidField(place, f'{first["msg"]}; write a filter in JSON, such as {{"tags": ["cat"]}}') from error
    return asked.where()


def where_in_cluster(text: str, cluster_id: int | None) -> Where:
    """As :func:`where_of`, and in a cluster, if one is given."""
    where = where_of(text)
    return where if cluster_id is None else Where(clusters=(cluster_id,), all_of=(where,))

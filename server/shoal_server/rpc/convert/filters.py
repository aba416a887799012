"""Which images are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from google.type import latlng_pb2

from shoal.v1 import image_pb2
from shoal_server.application.queries import Where
from shoal_server.domain import filter_conditions
from shoal_server.domain.filters import Box, Circle, Condition, ImageFilter, OneOf, Polygon, Within
from shoal_server.domain.image import Location
from shoal_server.rpc.convert.attributes import attribute
from shoal_server.rpc.convert.values import ids_within
from shoal_server.rpc.resource_names import parse_cluster, parse_moment, parse_place, parse_theme

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
    filter_conditions.check_clusters(message.unclustered, message.clusters, message.themes)
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
        filter_conditions.check_extent(depth, parts)
        level = [part for each in level for part in (*each.all_of, *each.any_of, *each.none_of)]
        depth += 1


def _within_times(message: image_pb2.ImageFilter) -> ImageFilter:
    captured, ingested = message.captured, message.ingested
    return filter_conditions.within_times((captured.earliest, captured.before), (ingested.earliest, ingested.before))


def _conditions(message: image_pb2.ImageFilter) -> Iterable[Condition]:
    for name, field in filter_conditions.WORDS.items():
        if words := getattr(message, name):
            yield OneOf(field, tuple(words))
    if message.HasField("area"):
        yield Within("location", _area(message.area))
    for number in message.ranges:
        yield filter_conditions.number_within(number.field, *_bounds(number))


def _attribute(message: image_pb2.AttributeCondition) -> ImageFilter:
    values = [attribute("filter.attributes", each) for each in message.any_of]
    return filter_conditions.attribute(message.key, values, *_bounds(message))


def _bounds(message: image_pb2.NumericRange | image_pb2.AttributeCondition) -> tuple[float | None, float | None]:
    return (
        message.min if message.HasField("min") else None,
        message.max if message.HasField("max") else None,
    )


def _area(message: image_pb2.GeoArea) -> Circle | Box | Polygon:
    match message.WhichOneof("area"):
        case "circle":
            return filter_conditions.circle(_location("circle.center", message.circle.center), message.circle.radius_m)
        case "box":
            return filter_conditions.box(
                _location("box.south_west", message.box.south_west),
                _location("box.north_east", message.box.north_east),
            )
        case "polygon":
            return filter_conditions.polygon([_location("polygon.corners", each) for each in message.polygon.corners])
    raise filter_conditions.no_area()


def _location(name: str, message: latlng_pb2.LatLng) -> Location:
    return filter_conditions.location(name, message.latitude, message.longitude)

"""Filters of images as Qdrant Edge's."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import qdrant_edge as edge

from shoal_server.domain import filter_bounds
from shoal_server.domain.filters import (
    Between,
    Box,
    Circle,
    Condition,
    During,
    ImageFilter,
    OneOf,
    Polygon,
    Present,
    Within,
)
from shoal_server.domain.image import Location
from shoal_server.domain.payload import CLUSTER_ID, MOMENT_ID, PLACE_ID


def to_filter(where: ImageFilter) -> edge.Filter | None:
    """None if every image is meant."""
    return None if where == ImageFilter() else _joined(where)


def _joined(where: ImageFilter) -> edge.Filter:
    empty = edge.IsEmptyCondition(CLUSTER_ID)
    must: list[Any] = []
    must_not: list[Any] = []
    for field, wanted in ((CLUSTER_ID, where.clusters), (PLACE_ID, where.places), (MOMENT_ID, where.moments)):
        if wanted:
            must.append(edge.FieldCondition(field, match=edge.MatchAny(list(wanted))))
    if where.unclustered:
        must.append(empty)
    if where.clustered:
        must_not.append(empty)
    if where.exclude:
        must_not.append(edge.HasIdCondition(set(where.exclude)))
    must += [_condition(each) for each in where.conditions]
    must += [_joined(each) for each in where.all_of]
    must_not += [_joined(each) for each in where.none_of]
    should: list[Any] = [_joined(each) for each in where.any_of]
    return edge.Filter(must=must, must_not=must_not, should=should)


def _condition(condition: Condition) -> edge.FieldCondition | edge.Filter:
    match condition:
        case OneOf(field, values):
            return _one_of(field, values)
        case Between(field, minimum, maximum):
            return edge.FieldCondition(field, range=edge.RangeFloat(gte=minimum, lte=maximum))
        case During(field, earliest, before):
            times = [filter_bounds.moment(bound) for bound in (earliest, before)]
            gte, lt = (None if time is None else time.isoformat() for time in times)
            return edge.FieldCondition(field, range=edge.RangeDateTime(gte=gte, lt=lt))
        case Present(field):
            return edge.Filter(must_not=[edge.IsEmptyCondition(field)])
        case Within(field, area):
            return _within(field, area)


def _one_of(field: str, values: tuple[str | int | bool, ...]) -> edge.Filter:
    texts, numbers, flags = filter_bounds.by_type(values)
    matches: list[edge.MatchAny | edge.MatchValue] = []
    if texts or not values:
        # Without values there must still be a condition, one that nothing meets.
        matches.append(edge.MatchAny(texts))
    if numbers:
        matches.append(edge.MatchAny(numbers))
    # The binding takes Python's bool for a whole number, but numpy's for what it is.
    matches += [edge.MatchValue(cast("bool", np.bool_(flag))) for flag in flags]
    return edge.Filter(should=[edge.FieldCondition(field, match=each) for each in matches])


def _within(field: str, area: Circle | Box | Polygon) -> edge.FieldCondition | edge.Filter:
    match area:
        case Circle(center, radius_m):
            return edge.FieldCondition(field, geo_radius=edge.GeoRadius(_point(center), radius_m))
        case Box():
            boxes = [edge.GeoBoundingBox(_point(first), _point(last)) for first, last in filter_bounds.boxes(area)]
            return edge.Filter(should=[edge.FieldCondition(field, geo_bounding_box=box) for box in boxes])
        case Polygon():
            line = [_point(corner) for corner in filter_bounds.ring(area)]
            return edge.FieldCondition(field, geo_polygon=edge.GeoPolygon(line))


def _point(location: Location) -> edge.GeoPoint:
    return edge.GeoPoint(lon=location.lon, lat=location.lat)

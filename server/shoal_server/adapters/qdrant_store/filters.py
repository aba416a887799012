"""Filters of images as Qdrant's."""

from __future__ import annotations

from qdrant_client import models

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


def to_filter(where: ImageFilter) -> models.Filter | None:
    """None if every image is meant."""
    return None if where == ImageFilter() else _joined(where)


def _joined(where: ImageFilter) -> models.Filter:
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=CLUSTER_ID))
    must: list[models.Condition] = []
    must_not: list[models.Condition] = []
    for field, wanted in ((CLUSTER_ID, where.clusters), (PLACE_ID, where.places), (MOMENT_ID, where.moments)):
        if wanted:
            must.append(models.FieldCondition(key=field, match=models.MatchAny(any=list(wanted))))
    if where.unclustered:
        must.append(empty)
    if where.clustered:
        must_not.append(empty)
    if where.exclude:
        must_not.append(models.HasIdCondition(has_id=[str(each) for each in where.exclude]))
    must += [_condition(each) for each in where.conditions]
    must += [_joined(each) for each in where.all_of]
    must_not += [_joined(each) for each in where.none_of]
    should: list[models.Condition] = [_joined(each) for each in where.any_of]
    return models.Filter(must=must, must_not=must_not, should=should)


def _condition(condition: Condition) -> models.FieldCondition | models.Filter:
    match condition:
        case OneOf(field, values):
            return _one_of(field, values)
        case Between(field, minimum, maximum):
            return models.FieldCondition(key=field, range=models.Range(gte=minimum, lte=maximum))
        case During(field, earliest, before):
            times = models.DatetimeRange(gte=filter_bounds.moment(earliest), lt=filter_bounds.moment(before))
            return models.FieldCondition(key=field, range=times)
        case Present(field):
            absent = models.IsEmptyCondition(is_empty=models.PayloadField(key=field))
            return models.Filter(must_not=[absent])
        case Within(field, area):
            return _within(field, area)


def _one_of(field: str, values: tuple[str | int | bool, ...]) -> models.Filter:
    texts, numbers, flags = filter_bounds.by_type(values)
    matches: list[models.MatchAny | models.MatchValue] = []
    if texts or not values:
        # Without values there must still be a condition, one that nothing meets.
        matches.append(models.MatchAny(any=texts))
    if numbers:
        matches.append(models.MatchAny(any=numbers))
    matches += [models.MatchValue(value=flag) for flag in flags]
    return models.Filter(should=[models.FieldCondition(key=field, match=each) for each in matches])


def _within(field: str, area: Circle | Box | Polygon) -> models.FieldCondition | models.Filter:
    match area:
        case Circle(center, radius_m):
            return models.FieldCondition(key=field, geo_radius=models.GeoRadius(center=_point(center), radius=radius_m))
        case Box():
            boxes = [
                models.GeoBoundingBox(top_left=_point(first), bottom_right=_point(last))
                for first, last in filter_bounds.boxes(area)
            ]
            return models.Filter(should=[models.FieldCondition(key=field, geo_bounding_box=box) for box in boxes])
        case Polygon():
            line = models.GeoLineString(points=[_point(corner) for corner in filter_bounds.ring(area)])
            return models.FieldCondition(key=field, geo_polygon=models.GeoPolygon(exterior=line))


def _point(location: Location) -> models.GeoPoint:
    return models.GeoPoint(lon=location.lon, lat=location.lat)

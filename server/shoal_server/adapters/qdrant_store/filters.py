"""Filters of images as Qdrant's."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

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


class Names(Protocol):
    """What things are called on a collection's points."""

    def key(self, field: str) -> str | None:
        """The payload's key of a field; None if no point can have it."""
        ...

    def point_id(self, image: UUID) -> int | str:
        """The id of an image's point."""
        ...


class _OwnNames:
    def key(self, field: str) -> str | None:
        return field

    def point_id(self, image: UUID) -> int | str:
        return str(image)


OWN_NAMES: Names = _OwnNames()


def to_filter(where: ImageFilter, names: Names = OWN_NAMES) -> models.Filter | None:
    """None if every image is meant."""
    return None if where == ImageFilter() else _joined(where, names)


def no_point() -> models.Filter:
    """Lets nothing through."""
    return models.Filter(must=[models.HasIdCondition(has_id=[])])


def _joined(where: ImageFilter, names: Names) -> models.Filter:
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=names.key(CLUSTER_ID) or CLUSTER_ID))
    must: list[models.Condition] = []
    must_not: list[models.Condition] = []
    for field, wanted in ((CLUSTER_ID, where.clusters), (PLACE_ID, where.places), (MOMENT_ID, where.moments)):
        if wanted:
            key = names.key(field)
            any_of = models.MatchAny(any=list(wanted))
            must.append(no_point() if key is None else models.FieldCondition(key=key, match=any_of))
    if where.unclustered:
        must.append(empty)
    if where.clustered:
        must_not.append(empty)
    if where.exclude:
        must_not.append(models.HasIdCondition(has_id=[names.point_id(each) for each in where.exclude]))
    must += [_condition(each, names) for each in where.conditions]
    must += [_joined(each, names) for each in where.all_of]
    must_not += [_joined(each, names) for each in where.none_of]
    should: list[models.Condition] = [_joined(each, names) for each in where.any_of]
    return models.Filter(must=must, must_not=must_not, should=should)


def _condition(condition: Condition, names: Names) -> models.FieldCondition | models.Filter:
    key = names.key(condition.field)
    if key is None:
        return no_point()
    match condition:
        case OneOf(_, values):
            return _one_of(key, values)
        case Between(_, minimum, maximum):
            return models.FieldCondition(key=key, range=models.Range(gte=minimum, lte=maximum))
        case During(_, earliest, before):
            times = models.DatetimeRange(gte=filter_bounds.moment(earliest), lt=filter_bounds.moment(before))
            return models.FieldCondition(key=key, range=times)
        case Present():
            absent = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
            return models.Filter(must_not=[absent])
        case Within(_, area):
            return _within(key, area)


def _one_of(key: str, values: tuple[str | int | bool, ...]) -> models.Filter:
    texts, numbers, flags = filter_bounds.by_type(values)
    matches: list[models.MatchAny | models.MatchValue] = []
    if texts or not values:
        # Without values there must still be a condition, one that nothing meets.
        matches.append(models.MatchAny(any=texts))
    if numbers:
        matches.append(models.MatchAny(any=numbers))
    matches += [models.MatchValue(value=flag) for flag in flags]
    return models.Filter(should=[models.FieldCondition(key=key, match=each) for each in matches])


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

"""Filters."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from google.type import latlng_pb2

from shoal.v1 import image_pb2
from shoal_client import names
from shoal_client.conversion.attributes import attribute_message
from shoal_client.errors import InvalidArgument
from shoal_client.filters import Attribute, Between, Bound, Bounds, ImageFilter
from shoal_client.filters.times import stretch

#: The API takes filters this deep within one another, the outermost counted, and this many in all.
_MAX_DEPTH = 16
_MAX_PARTS = 1000

_RANGES = (
    "iso", "f_number", "exposure_s", "focal_length_mm", "width", "height", "byte_size", "altitude_m", "orientation",
    "frame_count",
)  # fmt: skip


def filter_message(collection: str, chosen: ImageFilter, *, depth: int = 0) -> image_pb2.ImageFilter:
    """A filter.

    Args:
        collection: the id of the collection that is asked.
        chosen: the filter.
        depth: filters that this one is within.

    Raises:
        InvalidArgument: an id, a time, an area or an attribute does not have its form, or there are too many filters
            within one another or in all.
    """
    if depth >= _MAX_DEPTH:
        raise _invalid(
            "filter", f"filters are nested more than {_MAX_DEPTH} deep; join them with fewer ~, & and | within others"
        )

    def several(filters: Iterable[ImageFilter]) -> list[image_pb2.ImageFilter]:
        return [filter_message(collection, each, depth=depth + 1) for each in filters]

    def named(kind: str, numbers: Iterable[int]) -> list[str]:
        return [names.numbered_name(collection, kind, each) for each in numbers]

    given: dict[str, Bounds | None] = {name: getattr(chosen, name) for name in _RANGES}
    try:
        message = image_pb2.ImageFilter(
            clusters=named(names.CLUSTERS, chosen.clusters),
            unclustered=chosen.unclustered,
            themes=named(names.THEMES, chosen.themes),
            places=named(names.PLACES, chosen.places),
            moments=named(names.MOMENTS, chosen.moments),
            tags=chosen.tags,
            captured=_captured(chosen.captured),
            ingested=_ingested(chosen.ingested),
            area=_area(chosen),
            camera_makes=chosen.camera_makes,
            camera_models=chosen.camera_models,
            lenses=chosen.lenses,
            formats=chosen.formats,
            ranges=[_range(name, bounds) for name, bounds in given.items() if bounds is not None],
            attributes=[
                *(_condition(key, value) for key, value in chosen.attributes.items()),
                *(image_pb2.AttributeCondition(key=key) for key in chosen.has_attributes),
            ],
            all_of=several(chosen.all_of),
            any_of=several(chosen.any_of),
            none_of=several(chosen.none_of),
        )
    except (TypeError, ValueError) as error:
        raise _invalid("filter", f"the filter cannot be sent: {error}") from error
    if depth == 0 and (parts := _parts(message)) > _MAX_PARTS:
        raise _invalid(
            "filter",
            f"the filter is joined of {parts} filters; at most {_MAX_PARTS} are taken: list values in one filter, or "
            "ask in parts",
        )
    return message


def _parts(message: image_pb2.ImageFilter) -> int:
    return 1 + sum(map(_parts, (*message.all_of, *message.any_of, *message.none_of)))


def _captured(period: Bound | tuple[Bound | None, Bound | None] | None) -> image_pb2.TimeRange | None:
    if period is None:
        return None
    earliest, before = _bounds("captured", period)
    return image_pb2.TimeRange(
        earliest=earliest.isoformat() if earliest else "", before=before.isoformat() if before else ""
    )


def _ingested(period: Bound | tuple[Bound | None, Bound | None] | None) -> image_pb2.TimeRange | None:
    """The API wants an offset here, for only one clock showed when an image was stored."""
    if period is None:
        return None
    earliest, before = _bounds("ingested", period)
    try:
        return image_pb2.TimeRange(
            earliest=earliest.astimezone().isoformat() if earliest else "",
            before=before.astimezone().isoformat() if before else "",
        )
    except OverflowError as error:
        raise _invalid("ingested", "ingested: the time is before the year 1 or after 9999 in some time zone") from error


def _bounds(field: str, period: Bound | tuple[Bound | None, Bound | None]) -> tuple[datetime | None, datetime | None]:
    try:
        if isinstance(period, str | date):
            return stretch(period)
        earliest, before = (None if each is None else stretch(each)[0] for each in period)
    except ValueError as error:
        raise _invalid(field, f"{field}: {error}") from error
    return earliest, before


def _area(chosen: ImageFilter) -> image_pb2.GeoArea | None:
    corners = [_point(*corner) for corner in chosen.polygon]
    areas: list[image_pb2.GeoArea] = []
    if chosen.near is not None:
        lat, lon, radius = chosen.near
        circle = image_pb2.GeoCircle(center=_point(lat, lon), radius_m=radius)
        areas.append(image_pb2.GeoArea(circle=circle))
    if chosen.box is not None:
        south, west, north, east = chosen.box
        box = image_pb2.GeoBox(south_west=_point(south, west), north_east=_point(north, east))
        areas.append(image_pb2.GeoArea(box=box))
    if corners:
        areas.append(image_pb2.GeoArea(polygon=image_pb2.GeoPolygon(corners=corners)))
    if len(areas) > 1:
        raise _invalid("filter", "give one of near, box and polygon, and join filters with & for more")
    return areas[0] if areas else None


def _point(lat: float, lon: float) -> latlng_pb2.LatLng:
    return latlng_pb2.LatLng(latitude=lat, longitude=lon)


def _range(field: str, bounds: Bounds) -> image_pb2.NumericRange:
    least, most = bounds if isinstance(bounds, tuple) else (bounds, bounds)
    return image_pb2.NumericRange(field=field, min=least, max=most)


def _condition(key: str, value: Attribute | Iterable[Attribute] | Between) -> image_pb2.AttributeCondition:
    if isinstance(value, Between):
        return image_pb2.AttributeCondition(key=key, min=value.min, max=value.max)
    values = [value] if isinstance(value, str | int | float) else list(value)
    if not values:
        raise _invalid("attributes", f"attribute {key!r} has no values to be any of; use has_attributes for any value")
    return image_pb2.AttributeCondition(key=key, any_of=[attribute_message(key, each) for each in values])


def _invalid(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument(problem, reason="INVALID_FIELD", metadata={"field": field})

"""Facets."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from shoal.v1 import image_service_pb2 as pb
from shoal_client import names
from shoal_client.errors import InternalError
from shoal_client.results import Facet, FacetCount, FacetField, Facets

_FIELDS: Mapping[FacetField, pb.FacetField.ValueType] = MappingProxyType(
    {
        FacetField.CAMERA: pb.FACET_FIELD_CAMERA,
        FacetField.CAMERA_MAKE: pb.FACET_FIELD_CAMERA_MAKE,
        FacetField.LENS: pb.FACET_FIELD_LENS,
        FacetField.YEAR: pb.FACET_FIELD_YEAR,
        FacetField.CLUSTER: pb.FACET_FIELD_CLUSTER,
        FacetField.TAG: pb.FACET_FIELD_TAG,
        FacetField.FORMAT: pb.FACET_FIELD_FORMAT,
        FacetField.PLACE: pb.FACET_FIELD_PLACE,
        FacetField.MOMENT: pb.FACET_FIELD_MOMENT,
    }
)
_BY_NUMBER: Mapping[int, FacetField] = MappingProxyType({number: field for field, number in _FIELDS.items()})
_NAMED = {FacetField.CLUSTER: names.CLUSTERS, FacetField.PLACE: names.PLACES, FacetField.MOMENT: names.MOMENTS}


def facet_field_message(field: FacetField) -> pb.FacetField.ValueType:
    """What to count by."""
    return _FIELDS[field]


def facets(message: pb.FacetImagesResponse) -> Facets:
    """Counts.

    Raises:
        InternalError: the server counted by something that nobody asked for.
    """
    return Facets(tuple(_facet(each) for each in message.facets), message.total)


def _facet(message: pb.FacetImagesResponse.Facet) -> Facet:
    field = _BY_NUMBER.get(message.field)
    if field is None:
        raise InternalError(f"the server counted by a field of number {message.field}; is it another version?")
    counts = (FacetCount(_value(field, each.value), each.display_name, each.count) for each in message.counts)
    return Facet(field, tuple(counts), message.without)


def _value(field: FacetField, value: str) -> str | int:
    if field in _NAMED:
        return names.number(value, _NAMED[field])
    return int(value) if field is FacetField.YEAR and value.isdecimal() else value

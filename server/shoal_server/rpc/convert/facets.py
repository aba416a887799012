"""Counts of images."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.v1 import image_service_pb2
from shoal_server.application.facets import Facet, FacetField, Facets
from shoal_server.domain.errors import InvalidField
from shoal_server.rpc.resource_names import cluster_name, moment_name, place_name

_FIELDS = {
    image_service_pb2.FACET_FIELD_CAMERA: FacetField.CAMERA,
    image_service_pb2.FACET_FIELD_CAMERA_MAKE: FacetField.CAMERA_MAKE,
    image_service_pb2.FACET_FIELD_LENS: FacetField.LENS,
    image_service_pb2.FACET_FIELD_YEAR: FacetField.YEAR,
    image_service_pb2.FACET_FIELD_CLUSTER: FacetField.CLUSTER,
    image_service_pb2.FACET_FIELD_TAG: FacetField.TAG,
    image_service_pb2.FACET_FIELD_FORMAT: FacetField.FORMAT,
    image_service_pb2.FACET_FIELD_PLACE: FacetField.PLACE,
    image_service_pb2.FACET_FIELD_MOMENT: FacetField.MOMENT,
}
_ENUM = {field: number for number, field in _FIELDS.items()}

#: Fields whose values are ids, and how those are named.
_NAMES = {FacetField.CLUSTER: cluster_name, FacetField.PLACE: place_name, FacetField.MOMENT: moment_name}


def facet_fields(numbers: Sequence[int]) -> tuple[FacetField, ...]:
    """What to count by.

    Raises:
        InvalidField: there is nothing, something twice, or something unknown.
    """
    if not numbers or len(set(numbers)) < len(numbers) or not set(numbers) <= set(_FIELDS):
        known = ", ".join(field.name for field in FacetField)
        raise InvalidField("fields", f"give at least one of {known}, each once")
    return tuple(_FIELDS[number] for number in numbers)  # type: ignore[index]


def facets(collection_id: str, counted: Facets) -> image_service_pb2.FacetImagesResponse:
    """What was counted."""
    return image_service_pb2.FacetImagesResponse(
        facets=[_facet(collection_id, each) for each in counted.facets], total=counted.total
    )


def _facet(collection_id: str, facet: Facet) -> image_service_pb2.FacetImagesResponse.Facet:
    name = _NAMES.get(facet.field)
    return image_service_pb2.FacetImagesResponse.Facet(
        field=_ENUM[facet.field],
        counts=[
            image_service_pb2.FacetImagesResponse.Count(
                value=str(each.value) if name is None else name(collection_id, int(each.value)),
                display_name=each.name,
                count=each.images,
            )
            for each in facet.counts
        ],
        without=facet.without,
    )

"""How many images there are of each camera, year, cluster, ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import Where
from shoal_server.domain.filters import ImageFilter, Present
from shoal_server.domain.payload import CAPTURED_YEAR, CLUSTER_ID, MOMENT_ID, PLACE_ID


class FacetField(Enum):
    """What images are counted by; the value is the payload's field."""

    CAMERA = "camera_model"
    CAMERA_MAKE = "camera_make"
    LENS = "lens"
    YEAR = CAPTURED_YEAR
    CLUSTER = CLUSTER_ID
    TAG = "tags"
    FORMAT = "format"
    PLACE = PLACE_ID
    MOMENT = MOMENT_ID


@dataclass(frozen=True, slots=True)
class Count:
    """How many images have a value.

    Attributes:
        value: as it stands in the payload.
        name: what people call it.
        images: at least 1.
    """

    value: str | int
    name: str
    images: int


@dataclass(frozen=True, slots=True)
class Facet:
    """Counts by one field.

    Attributes:
        field: which.
        counts: most frequent first, equal ones by value.
        without: images that have no value there.
    """

    field: FacetField
    counts: list[Count]
    without: int


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts by several fields, and of all images that were asked about."""

    facets: list[Facet]
    total: int


class Faceting:
    """Counts images."""

    def __init__(self, collections: OpenCollections, store: ImageStore) -> None:
        self._collections = collections
        self._store = store

    async def __call__(self, collection: str, where: Where, fields: Sequence[FacetField], limit: int) -> Facets:
        """Counts the images that are asked about.

        Args:
            collection: whose.
            where: which images.
            fields: to count by.
            limit: at most this many values of each field.

        Raises:
            ShoalError: as :meth:`Where.as_filter` and :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            among = where.as_filter(opened)
            total = await self._store.count_images(collection, among)
            facets = [await self._facet(opened, among, field, limit) for field in fields]
        return Facets(facets, total)

    async def _facet(self, opened: OpenCollection, among: ImageFilter, field: FacetField, limit: int) -> Facet:
        counted = await self._store.count_by(opened.id, field.value, among)
        empty = ImageFilter(all_of=(among,), none_of=(ImageFilter(conditions=(Present(field.value),)),))
        without = await self._store.count_images(opened.id, empty)
        names = _names(opened, field)
        if field is FacetField.CLUSTER:
            # An owner may write what they like under the key of an attached collection.
            counted = {value: images for value, images in counted.items() if value in names}
        counts = [
            Count(value, names.get(value, str(value)), images)
            for value, images in sorted(counted.items(), key=lambda pair: (-pair[1], str(pair[0])))
        ]
        return Facet(field, counts[:limit], without)


def _names(opened: OpenCollection, field: FacetField) -> Mapping[str | int, str]:
    """What people call the values that are ids."""
    match field:
        case FacetField.CLUSTER if opened.clusters is not None:
            return {each.id: each.name for each in opened.clusters.clusters.values()}
        case FacetField.PLACE:
            return {each.id: each.name for each in opened.groupings.places}
        case FacetField.MOMENT:
            return {each.id: each.name for each in opened.groupings.moments}
    return {}

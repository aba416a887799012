"""How many images there are of each camera, year, cluster, ..."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FacetField(Enum):
    """What images are counted by."""

    CAMERA = "camera"
    CAMERA_MAKE = "make"
    LENS = "lens"
    YEAR = "year"
    CLUSTER = "cluster"
    TAG = "tag"
    FORMAT = "format"
    PLACE = "place"
    MOMENT = "moment"


@dataclass(frozen=True, slots=True)
class FacetCount:
    """How many images have a value.

    Attributes:
        value: the id of a cluster, a place or a moment; a year as a number; otherwise the text.
        name: what people call it.
        count: images that have it.
    """

    value: str | int
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Facet:
    """Counts by one field.

    Attributes:
        counts: most frequent first.
        without: images that have no value there.
    """

    field: FacetField
    counts: tuple[FacetCount, ...]
    without: int


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts by several fields.

    Attributes:
        facets: in the order in which they were asked for.
        total: images that were counted.
    """

    facets: tuple[Facet, ...]
    total: int

"""Other ways to look at a collection than its clusters: themes over them, and places and moments beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shoal_server.domain.image import Location


@dataclass(frozen=True, slots=True)
class Theme:
    """Clusters that have something in common; a node of a tree over their centroids.

    Attributes:
        id: positive, unique among the collection's themes for ever.
        name: what it is called; no two themes of a run share one.
        parent_id: the theme above it; None at the top.
        cluster_ids: all clusters below it, ascending.
    """

    id: int
    name: str
    parent_id: int | None
    cluster_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Images taken near one another.

    Attributes:
        id: positive, unique among the collection's places for ever; the images' ``place_id``.
        name: its coordinates in words.
        size: number of images.
        center: the middle of those that lie close together; a few on its edge belong to the place, too.
        radius_km: how far the farthest of those is from it, in kilometres.
    """

    id: int
    name: str
    size: int
    center: Location
    radius_km: float


@dataclass(frozen=True, slots=True)
class Moment:
    """Images taken one soon after another.

    Attributes:
        id: positive, unique among the collection's moments for ever; the images' ``moment_id``.
        name: when, in words.
        size: number of images.
        start: local time of the first, without an offset.
        end: local time of the last, without an offset.
    """

    id: int
    name: str
    size: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Groupings:
    """All of them in one run; one atomic write replaces it."""

    themes: tuple[Theme, ...] = ()
    places: tuple[Place, ...] = ()
    moments: tuple[Moment, ...] = ()

"""Other ways to look at a collection than its clusters; their ids stay like those of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shoal_client.results.images import Location


@dataclass(frozen=True, slots=True)
class Theme:
    """Clusters that have something in common: a node of a tree over their centroids.

    Attributes:
        parent_id: the theme above it; None at the top.
        clusters: ids of all clusters below it.
    """

    id: int
    name: str
    parent_id: int | None
    clusters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Images taken near one another.

    Attributes:
        name: its coordinates in words.
        size: number of images that the active run put into it.
        center: the middle of them.
        radius_km: how far the farthest is from it, in kilometres.
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
        name: when, in words.
        size: number of images that the active run put into it.
        started_at: local time of the first; it has no time zone, as cameras have none.
        ended_at: local time of the last.
    """

    id: int
    name: str
    size: int
    started_at: datetime
    ended_at: datetime

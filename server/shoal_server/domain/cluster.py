"""A cluster: a group of images with an id that stays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.image import Vector

#: Row label of an image in no cluster, as HDBSCAN has it.
NOISE = -1


def members_of(cluster_ids: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Rows of the images of each cluster, ascending, by cluster id; those of (n,) ids, -1 for none."""
    order = np.argsort(cluster_ids, kind="stable")
    distinct, starts = np.unique(cluster_ids[order], return_index=True)
    members = dict(zip(distinct.tolist(), np.split(order, starts[1:]), strict=False))
    return {cluster: rows for cluster, rows in members.items() if cluster != NOISE}


class NameSource(Enum):
    """Who chose a cluster's name."""

    AUTOMATIC = "automatic"
    PERSON = "person"


class Hold(Enum):
    """What a person did with a cluster that later runs respect."""

    PINNED = "pinned"
    MERGED = "merged"
    SPLIT = "split"


@dataclass(frozen=True, slots=True)
class NameCandidate:
    """A name that fits, and how well compared with the other clusters."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster of one run.

    Attributes:
        id: positive, unique in the collection for ever.
        name: what people call it.
        name_source: who chose it.
        candidates: what else the algorithm would call it, best first.
        size: images that the run put into it.
        centroid: unit mean of its images' vectors, float32, shape (dimension,).
        cohesion: mean cosine similarity of its images to the centroid, -1 to 1.
        threshold: a new image joins if its neighbours in it are at least this similar, -1 to 1.
        exemplars: its most typical images, the medoid first.
        created_at: when the id was first given.
        borderline: its images that are nearly as close to another cluster, the least certain first.
        separation: simplified silhouette (Hruschka, de Castro and Campello 2004): mean over its images of how much
            nearer they are to their own centroid than to the next one, by cosine distance, -1 to 1; 0 if it is alone.
        holds: what a person did with it that later runs respect.
        theme_id: the theme it belongs to; None without themes.
    """

    id: int
    name: str
    name_source: NameSource
    candidates: tuple[NameCandidate, ...]
    size: int
    centroid: Vector = field(repr=False, compare=False)
    cohesion: float
    threshold: float
    exemplars: tuple[UUID, ...]
    created_at: datetime
    borderline: tuple[UUID, ...] = ()
    separation: float = 0.0
    holds: frozenset[Hold] = frozenset()
    theme_id: int | None = None

    @property
    def kept(self) -> bool:
        """Whether a person named or changed it, so that no run may let it go."""
        return bool(self.holds) or self.name_source is NameSource.PERSON

    def renamed(self, name: str) -> Cluster:
        """As a person calls it; an empty name gives the naming back to the algorithm."""
        if name:
            return replace(self, name=name, name_source=NameSource.PERSON)
        automatic = self.candidates[0].name if self.candidates else f"cluster {self.id}"
        return replace(self, name=automatic, name_source=NameSource.AUTOMATIC)

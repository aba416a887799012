"""Clusters, and the cluster of an image."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class NameSource(Enum):
    """Who chose a cluster's name; UNKNOWN: the server is newer than this client."""

    UNKNOWN = "unknown"
    AUTOMATIC = "automatic"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class NameCandidate:
    """A name that fits a cluster; scores can be compared within one cluster only."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """A group of images that belong together; its id stays with the group over reclusterings.

    Attributes:
        name: what people call it.
        size: number of images that are in it now.
        run_size: number of images that the active run put into it.
        exemplars: ids of its most typical images, the most typical first.
        cohesion: mean cosine similarity of its images to its centroid, -1 to 1.
        assign_threshold: a new image joins if its neighbours in it are at least this similar, -1 to 1.
        borderline: ids of images nearly as close to another cluster, the least certain first.
        separation: how much nearer its images are to their own centroid than to the next one (simplified silhouette),
            -1 to 1; low: not to be trusted blindly.
        pinned: a person pinned it: it keeps its id and its images.
        merged: a person merged clusters into it; later runs keep them together.
        split: a person split it, or split it off; later runs keep the parts apart.
        theme_id: the theme that it stands under; None without themes.
    """

    id: int
    name: str
    name_source: NameSource
    name_candidates: tuple[NameCandidate, ...]
    size: int
    run_size: int
    exemplars: tuple[str, ...]
    cohesion: float
    assign_threshold: float
    created_at: datetime
    borderline: tuple[str, ...] = ()
    separation: float = 0.0
    pinned: bool = False
    merged: bool = False
    split: bool = False
    theme_id: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterMatch:
    """A cluster found.

    Attributes:
        score: cosine similarity of its centroid to the query, -1 to 1.
        matching: how many of its images the filter lets through; None if there was no filter.
    """

    cluster: Cluster
    score: float
    matching: int | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """A cluster that got votes for an image.

    Attributes:
        similarity: mean cosine similarity to the neighbours in it, -1 to 1.
        share: of the vote, 0 to 1.
    """

    cluster_id: int
    name: str
    similarity: float
    share: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """The cluster that an image belongs to.

    Attributes:
        cluster_id: None if the image is an outlier.
        name: None if the image is an outlier.
        similarity: mean cosine similarity to the neighbours in the winning cluster, -1 to 1.
        outlier: the image is less similar to every cluster than that cluster's own images are.
        alternatives: all clusters that got votes, the winner first, also when the image is an outlier.
        outlier_score: how unlike everything in a cluster the image is: 1 less the mean cosine similarity to its nearest
            clustered neighbours, 0 to 2; higher is stranger.
    """

    cluster_id: int | None
    name: str | None
    similarity: float
    outlier: bool
    alternatives: tuple[Alternative, ...]
    outlier_score: float = 0.0

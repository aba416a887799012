"""Clustering runs: what was asked for, how far they are, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType

from shoal_client.errors import ShoalError


class RunState(Enum):
    """What became of a run so far; UNKNOWN: the server is newer than this client.

    HELD_BACK: it is done, but implausible beside the clusters before it, which are in force; ``held_because`` says why.
    """

    UNKNOWN = "unknown"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HELD_BACK = "held_back"


class RunStage(Enum):
    """What a run is doing, in order; UNKNOWN: not begun, or the server is newer than this client."""

    UNKNOWN = "unknown"
    READING = "reading"
    NEIGHBORS = "neighbors"
    REDUCING = "reducing"
    GROUPING = "grouping"
    MAPPING = "mapping"
    ASSIGNING = "assigning"
    MATCHING = "matching"
    WRITING = "writing"


class RunKind(Enum):
    """What made a run's assignment; UNKNOWN: the server is newer than this client."""

    UNKNOWN = "unknown"
    CLUSTERING = "clustering"
    CORRECTION = "correction"


class Granularity(Enum):
    """How finely to tell groups apart."""

    FINE = "fine"
    BALANCED = "balanced"
    COARSE = "coarse"


class Reducer(Enum):
    """How dimensions are reduced before grouping: UMAP, principal component analysis, or not at all."""

    UMAP = "umap"
    PCA = "pca"
    NONE = "none"


class ClusteringMethod(Enum):
    """How groups are found."""

    HDBSCAN = "hdbscan"
    KMEANS = "kmeans"
    SPHERICAL_KMEANS = "spherical_kmeans"
    AGGLOMERATIVE = "agglomerative"
    EVOC = "evoc"


@dataclass(frozen=True, slots=True)
class ClusteringParameters:
    """How to cluster; None leaves the choice to the server, which tells in the run what it chose.

    Attributes:
        n_neighbors: UMAP's neighbourhood, 2 to 200.
        n_components: dimensions that UMAP reduces to before grouping, 2 to 100.
        min_cluster_size: HDBSCAN's smallest cluster, at least 2.
        min_samples: HDBSCAN's conservatism, at least 1; larger means more noise.
        seed: of everything random, 0 to 2**32 - 1.
        granularity: how finely to tell groups apart; not together with ``n_clusters``.
        n_clusters: how many clusters to aim at, at least 2.
        reducer: how dimensions are reduced.
        method: how groups are found.
    """

    n_neighbors: int | None = None
    n_components: int | None = None
    min_cluster_size: int | None = None
    min_samples: int | None = None
    seed: int | None = None
    granularity: Granularity | None = None
    n_clusters: int | None = None
    reducer: Reducer | None = None
    method: ClusteringMethod | None = None


@dataclass(frozen=True, slots=True)
class ClusteringSummary:
    """What came out of a run; all are counts.

    Attributes:
        images: images read.
        clustered: images in a cluster.
        noise: images in none.
        payload_writes: images whose stored cluster id was changed.
        kept: clusters that kept the id of a former one, returned ones among them.
        born: clusters with a new id.
        dissolved: former clusters that are no more.
    """

    images: int
    clusters: int
    clustered: int
    noise: int
    payload_writes: int
    kept: int
    born: int
    dissolved: int


class LineageKind(Enum):
    """What became of a cluster in a run; UNKNOWN: the server is newer than this client.

    CONTINUED: it carries a former cluster on. MERGED: it does, and at least half of another one came in. SPLIT: it is
    new, and most of its images come from a cluster that lives on. BORN: it is new. RETURNED: it had dissolved and was
    found again. DISSOLVED: no group carries it on.
    """

    UNKNOWN = "unknown"
    CONTINUED = "continued"
    MERGED = "merged"
    SPLIT = "split"
    BORN = "born"
    RETURNED = "returned"
    DISSOLVED = "dissolved"


@dataclass(frozen=True, slots=True)
class Share:
    """Images that a cluster has in common with another one.

    Attributes:
        cluster_id: the other: of before, or of now if the cluster itself dissolved; None: in no cluster.
        images: how many.
        of_before: share of the cluster of before that these are, 0 to 1.
        of_now: share of the cluster of now that these are, 0 to 1.
    """

    cluster_id: int | None
    images: int
    of_before: float
    of_now: float


@dataclass(frozen=True, slots=True)
class Lineage:
    """What became of one cluster id in a run; ``shares`` say with whom it has images in common, most first."""

    cluster_id: int
    kind: LineageKind
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class ParameterTrial:
    """One thing that the search for parameters tried.

    Attributes:
        clusters: how many it found.
        noise: share of the images in none, 0 to 1.
        score: the label-free figure by which it was judged, higher is better; None if it was ruled out.
        verdict: why it was chosen or not.
    """

    min_cluster_size: int
    min_samples: int
    clusters: int
    noise: float
    score: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class ClusteringRun:
    """One assignment of a collection's images to clusters, by a reclustering or a correction, as it was when asked for.

    Attributes:
        progress: how much of all of it is done, 0 to 1; an estimate.
        ended_at: None while it runs.
        error: why it failed; None unless it did.
        active: whether its clusters are in force.
        summary: None unless it came to a result.
        kind: what made it.
        trigger: who asked for it: ``person``, ``schedule: interval``, ``schedule: growth``, or which correction.
        parent: id of the run whose clusters it was matched with; None for the first.
        lineage: what became of the clusters; empty in lists and while it is watched.
        held_because: why its result was not put in force by itself.
        trials: what the search for parameters tried; empty in lists and while it is watched.
        quality: label-free figures by name, ``silhouette`` and ``relative_validity``, -1 to 1.
        timings: seconds by stage, in their order.
        remaining: about how long it will still take; None when it has ended, and as long as that cannot be said.
        activated_at: when it was last put in force; None if it never was.
        retained: it can still be compared, exported and put in force.
        sampled: how many images were clustered, the others being assigned to what was found among them; None: all.
    """

    id: str
    state: RunState
    stage: RunStage
    progress: float
    created_at: datetime
    ended_at: datetime | None = None
    error: ShoalError | None = None
    active: bool = False
    parameters: ClusteringParameters = field(default_factory=ClusteringParameters)
    summary: ClusteringSummary | None = None
    kind: RunKind = RunKind.UNKNOWN
    trigger: str = ""
    parent: str | None = None
    lineage: tuple[Lineage, ...] = ()
    held_because: tuple[str, ...] = ()
    trials: tuple[ParameterTrial, ...] = ()
    quality: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    remaining: timedelta | None = None
    activated_at: datetime | None = None
    retained: bool = False
    sampled: int | None = None

"""A clustering run: its parameters, state and outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from shoal_server.domain.errors import InvalidField
from shoal_server.domain.lineage import Lineage


class RunState(Enum):
    """What became of a run so far."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    HELD_BACK = "held back"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self is not RunState.RUNNING

    @property
    def complete(self) -> bool:
        """Whether it has a result that is in force, was in force, or can be put in force."""
        return self in (RunState.SUCCEEDED, RunState.HELD_BACK)


class RunKind(Enum):
    """What made a run's assignment."""

    CLUSTERING = "clustering"
    CORRECTION = "correction"


class RunStage(Enum):
    """What a run is doing, in the order in which it does it."""

    READING = "reading"
    NEIGHBORS = "neighbors"
    REDUCING = "reducing"
    GROUPING = "grouping"
    MAPPING = "mapping"
    ASSIGNING = "assigning"
    MATCHING = "matching"
    WRITING = "writing"


#: Share of a run's time that is behind it when a stage begins; amid what was measured on 1,780 photographs and on
#: 10,000 and 30,000 vectors. The map is laid out beside the grouping, so little of it is left to wait for.
STAGE_START: dict[RunStage, float] = {
    RunStage.READING: 0.0,
    RunStage.NEIGHBORS: 0.08,
    RunStage.REDUCING: 0.15,
    RunStage.GROUPING: 0.66,
    RunStage.MAPPING: 0.88,
    RunStage.ASSIGNING: 0.9,
    RunStage.MATCHING: 0.9,
    RunStage.WRITING: 0.95,
}

#: The same where a sample is clustered and the other images are assigned; measured on 60,000 images and
#: a sample of 15,000.
SAMPLED_STAGE_START: dict[RunStage, float] = {
    RunStage.READING: 0.0,
    RunStage.NEIGHBORS: 0.25,
    RunStage.REDUCING: 0.36,
    RunStage.GROUPING: 0.61,
    RunStage.MAPPING: 0.71,
    RunStage.ASSIGNING: 0.75,
    RunStage.MATCHING: 0.82,
    RunStage.WRITING: 0.84,
}

#: Fewer images than this are not clustered: density means nothing among so few.
MIN_IMAGES = 10


class Granularity(Enum):
    """How finely to tell groups apart, in plain words."""

    FINE = "fine"
    BALANCED = "balanced"
    COARSE = "coarse"


class Reducer(Enum):
    """How dimensions are reduced before grouping."""

    UMAP = "umap"
    PCA = "pca"
    NONE = "none"


class ClusteringDevice(Enum):
    """Where the costly steps of a run are done."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class Method(Enum):
    """How groups are found."""

    HDBSCAN = "hdbscan"
    KMEANS = "kmeans"
    SPHERICAL_KMEANS = "spherical_kmeans"
    AGGLOMERATIVE = "agglomerative"
    EVOC = "evoc"


@dataclass(frozen=True, slots=True)
class ClusteringParameters:
    """How a run is done.

    Attributes:
        n_neighbors: UMAP's neighbourhood, 2 to 200; also of the graph that tells whether a group is two.
        n_components: dimensions to reduce to before grouping, 2 to 100.
        min_cluster_size: the smallest cluster, at least 2; None: found by a search.
        min_samples: HDBSCAN's conservatism, at least 1; smaller than min_cluster_size means less noise; None: found by
            a search.
        seed: of everything random.
        granularity: what the search looks for; without effect where min_cluster_size or n_clusters is given.
        n_clusters: how many clusters to aim at, at least 2; None: as many as there are.
        reducer: how dimensions are reduced.
        method: how groups are found.
    """

    n_neighbors: int
    n_components: int
    min_cluster_size: int | None
    min_samples: int | None
    seed: int
    granularity: Granularity = Granularity.BALANCED
    n_clusters: int | None = None
    reducer: Reducer = Reducer.UMAP
    method: Method = Method.HDBSCAN


@dataclass(frozen=True, slots=True)
class RequestedParameters:
    """What a caller wants of :class:`ClusteringParameters`; None leaves the choice to Shoal."""

    n_neighbors: int | None = None
    n_components: int | None = None
    min_cluster_size: int | None = None
    min_samples: int | None = None
    seed: int | None = None
    granularity: Granularity | None = None
    n_clusters: int | None = None
    reducer: Reducer | None = None
    method: Method | None = None

    def check(self) -> None:
        """Raises:
        InvalidField: a value is out of its range, or does not go with another.
        """
        ranges = {
            "n_neighbors": (self.n_neighbors, 2, 200),
            "n_components": (self.n_components, 2, 100),
            "min_cluster_size": (self.min_cluster_size, 2, 1_000_000),
            "min_samples": (self.min_samples, 1, 10_000),
            "cluster_count": (self.n_clusters, 2, 100_000),
        }
        for name, (value, low, high) in ranges.items():
            if value is not None and not low <= value <= high:
                raise InvalidField(f"parameters.{name}", f"{value} is not in {low} to {high}")
        if self.n_clusters is not None and self.granularity is not None:
            raise InvalidField(
                "parameters.granularity",
                "does not go with cluster_count, which says how fine already; give one of them",
            )

    def complete(self, n: int) -> ClusteringParameters:
        """Chooses what is left open but for what a search finds, for n images.

        UMAP's neighbourhood is 12: beside its own default of 15, fewer clusters of photographs hold two kinds of
        things.

        Raises:
            InvalidField: what is asked for cannot be had with so few images.
        """
        for name, value in (
            ("min_cluster_size", self.min_cluster_size),
            ("min_samples", self.min_samples),
            ("cluster_count", self.n_clusters),
        ):
            if value is not None and value > n // 2:
                raise InvalidField(
                    f"parameters.{name}", f"{value} is more than half of the {n} images; nothing could be found"
                )
        return ClusteringParameters(
            n_neighbors=min(self.n_neighbors or 12, n - 1),
            n_components=self.n_components or 5,
            min_cluster_size=self.min_cluster_size,
            min_samples=self.min_samples,
            seed=42 if self.seed is None else self.seed,
            granularity=self.granularity or Granularity.BALANCED,
            n_clusters=self.n_clusters,
            reducer=self.reducer or Reducer.UMAP,
            method=self.method or Method.HDBSCAN,
        )


def usual_cluster_size(n: int) -> int:
    """The smallest cluster where nobody says otherwise, for n images.

    It grows with the square root of n: 5 for 200 images, 15 for 1,800, 114 for 100,000, so that the number of clusters
    grows more slowly than the collection and a person can still read the list.
    """
    return min(max(5, round(0.36 * math.sqrt(n))), 200)


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that the search tried.

    Attributes:
        min_cluster_size: the smallest cluster of this trial.
        min_samples: HDBSCAN's conservatism in it.
        clusters: how many it found.
        noise: share of the images in none, 0 to 1.
        score: the label-free figure by which it was judged, higher is better; -inf if it was ruled out.
        verdict: why it was chosen or not, in a few words.
    """

    min_cluster_size: int
    min_samples: int
    clusters: int
    noise: float
    score: float
    verdict: str


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What came out of a run; all are counts.

    Attributes:
        kept: clusters that carry a former one on, returned ones among them.
    """

    images: int
    clusters: int
    clustered: int
    noise: int
    payload_writes: int
    kept: int
    born: int
    dissolved: int


@dataclass(frozen=True, slots=True)
class ClusteringRun:
    """The record of a run; one atomic write replaces it.

    Attributes:
        id: sorts by time of creation.
        request_id: the caller's idempotency key, or empty.
        requested: what the caller asked for.
        parameters: what was used; None until the number of images is known.
        progress: 0 to 1.
        error: why it failed, for people; None unless FAILED.
        error_reason: why it failed, for programs.
        kind: what made it.
        trigger: who asked for it: ``person``, or what of the schedule.
        parent: the run that was in force when its ids were matched; None before the first.
        lineage: what became of the clusters.
        held_because: why its result was not put in force by itself; empty unless it is or was HELD_BACK.
        trials: what the search for parameters tried.
        quality: label-free figures by name.
        timings: seconds by stage.
        activated_at: when it was last put in force; None if it never was.
        remaining_s: seconds that it will still take, about; None if that is not known. Not kept in the record.
        sampled: how many images were clustered, the others being assigned to what was found among them; None: all.
    """

    id: str
    state: RunState
    stage: RunStage
    progress: float
    created_at: datetime
    requested: RequestedParameters = field(default_factory=RequestedParameters)
    request_id: str = ""
    ended_at: datetime | None = None
    parameters: ClusteringParameters | None = None
    summary: RunSummary | None = None
    error: str | None = None
    error_reason: str | None = None
    kind: RunKind = RunKind.CLUSTERING
    trigger: str = "person"
    parent: str | None = None
    lineage: tuple[Lineage, ...] = ()
    held_because: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    activated_at: datetime | None = None
    remaining_s: float | None = None
    sampled: int | None = None

"""A clustering run: its parameters, state and outcome."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from shoal_server.domain.errors import InvalidField


class RunState(Enum):
    """What became of a run so far."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will change."""
        return self is not RunState.RUNNING


class RunStage(Enum):
    """What a run is doing, in the order in which it does it."""

    READING = "reading"
    NEIGHBORS = "neighbors"
    REDUCING = "reducing"
    GROUPING = "grouping"
    MAPPING = "mapping"
    MATCHING = "matching"
    WRITING = "writing"


#: Share of a run's time that is behind it when a stage begins; measured on 1,780 images.
STAGE_START: dict[RunStage, float] = {
    RunStage.READING: 0.0,
    RunStage.NEIGHBORS: 0.03,
    RunStage.REDUCING: 0.08,
    RunStage.GROUPING: 0.75,
    RunStage.MAPPING: 0.77,
    RunStage.MATCHING: 0.93,
    RunStage.WRITING: 0.96,
}

#: Fewer images than this are not clustered: density means nothing among so few.
MIN_IMAGES = 10


@dataclass(frozen=True, slots=True)
class ClusteringParameters:
    """How a run is done; complete, nothing left to choose.

    Attributes:
        n_neighbors: UMAP's neighbourhood, 2 to 200.
        n_components: dimensions that UMAP reduces to before grouping, 2 to 100.
        min_cluster_size: HDBSCAN's smallest cluster, at least 2.
        min_samples: HDBSCAN's conservatism, at least 1; smaller than min_cluster_size means less noise.
        seed: of everything random.
    """

    n_neighbors: int
    n_components: int
    min_cluster_size: int
    min_samples: int
    seed: int


@dataclass(frozen=True, slots=True)
class RequestedParameters:
    """What a caller wants of :class:`ClusteringParameters`; None leaves the choice to Shoal."""

    n_neighbors: int | None = None
    n_components: int | None = None
    min_cluster_size: int | None = None
    min_samples: int | None = None
    seed: int | None = None

    def check(self) -> None:
        """Raises:
        InvalidField: a value is out of its range.
        """
        ranges = {
            "n_neighbors": (self.n_neighbors, 2, 200),
            "n_components": (self.n_components, 2, 100),
            "min_cluster_size": (self.min_cluster_size, 2, 1_000_000),
            "min_samples": (self.min_samples, 1, 10_000),
        }
        for name, (value, low, high) in ranges.items():
            if value is not None and not low <= value <= high:
                raise InvalidField(f"parameters.{name}", f"{value} is not in {low} to {high}")

    def complete(self, n: int) -> ClusteringParameters:
        """Chooses what is left open, for n images.

        The smallest cluster grows with the square root of n: 5 for 200 images, 15 for 1,800, 114 for 100,000, so that
        the number of clusters grows more slowly than the collection and a person can still read the list. UMAP's
        neighbourhood is 12: beside its own default of 15, fewer clusters of photographs hold two kinds of things.

        Raises:
            InvalidField: what is asked for cannot be had with so few images.
        """
        for name, value in (("min_cluster_size", self.min_cluster_size), ("min_samples", self.min_samples)):
            if value is not None and value > n // 2:
                raise InvalidField(
                    f"parameters.{name}", f"{value} is more than half of the {n} images; nothing could be found"
                )
        size = self.min_cluster_size or min(max(5, round(0.36 * math.sqrt(n))), 200)
        return ClusteringParameters(
            n_neighbors=min(self.n_neighbors or 12, n - 1),
            n_components=self.n_components or 5,
            min_cluster_size=size,
            min_samples=self.min_samples or min(5, size),
            seed=42 if self.seed is None else self.seed,
        )


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What came out of a run; all are counts."""

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

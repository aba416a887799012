"""Clustering runs."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from shoal_server.application.history import Comparison
from shoal_server.domain import run as domain
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.lineage import Lineage
from shoal_server.web.api.models.base import Asked, Told, moment, word


class RequestedParameters(Asked):
    """What somebody wants of a run; what is left out is Shoal's to choose."""

    n_neighbors: int | None = None
    n_components: int | None = None
    min_cluster_size: int | None = None
    min_samples: int | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    granularity: Literal["fine", "balanced", "coarse"] | None = None
    cluster_count: int | None = None
    reducer: Literal["umap", "pca", "none"] | None = None
    method: Literal["hdbscan", "kmeans", "spherical_kmeans", "agglomerative", "evoc"] | None = None

    def requested(self) -> domain.RequestedParameters:
        """For the use case, which checks them; 0 is as good as nothing."""
        return domain.RequestedParameters(
            n_neighbors=self.n_neighbors or None,
            n_components=self.n_components or None,
            min_cluster_size=self.min_cluster_size or None,
            min_samples=self.min_samples or None,
            seed=self.seed,
            granularity=None if self.granularity is None else domain.Granularity(self.granularity),
            n_clusters=self.cluster_count or None,
            reducer=None if self.reducer is None else domain.Reducer(self.reducer),
            method=None if self.method is None else domain.Method(self.method),
        )


class NewRun(Asked):
    """A run to start; the same ``request_id`` starts it only once."""

    parameters: RequestedParameters = RequestedParameters()
    request_id: str = ""


class Parameters(Told):
    """What was used, or was asked for as long as no more is known."""

    n_neighbors: int | None
    n_components: int | None
    min_cluster_size: int | None
    min_samples: int | None
    seed: int | None
    granularity: str | None
    cluster_count: int | None
    reducer: str | None
    method: str | None

    @classmethod
    def of(cls, run: domain.ClusteringRun) -> Parameters:
        """From a run's record."""
        chosen = run.parameters or run.requested
        # The two exclude one another in a request, so that an answer can be sent as one.
        granularity = chosen.granularity if chosen.n_clusters is None else None
        return cls(
            n_neighbors=chosen.n_neighbors,
            n_components=chosen.n_components,
            min_cluster_size=chosen.min_cluster_size,
            min_samples=chosen.min_samples,
            seed=chosen.seed,
            granularity=None if granularity is None else granularity.value,
            cluster_count=chosen.n_clusters,
            reducer=None if chosen.reducer is None else chosen.reducer.value,
            method=None if chosen.method is None else chosen.method.value,
        )


class Summary(Told):
    """What came out of a run, in counts."""

    image_count: int
    cluster_count: int
    clustered_count: int
    noise_count: int
    payload_write_count: int
    kept_count: int
    born_count: int
    dissolved_count: int

    @classmethod
    def of(cls, summary: domain.RunSummary) -> Summary:
        """From a run's record."""
        return cls(
            image_count=summary.images,
            cluster_count=summary.clusters,
            clustered_count=summary.clustered,
            noise_count=summary.noise,
            payload_write_count=summary.payload_writes,
            kept_count=summary.kept,
            born_count=summary.born,
            dissolved_count=summary.dissolved,
        )


class RunError(Told):
    """Why a run failed."""

    reason: str
    message: str


class RunShare(Told):
    """Images in common with another cluster; null for those in none."""

    cluster: int | None
    image_count: int
    of_before: float
    of_now: float


class RunLineage(Told):
    """What became of a cluster."""

    cluster: int
    kind: str
    shares: list[RunShare]

    @classmethod
    def of(cls, entry: Lineage) -> RunLineage:
        """From a run's record."""
        return cls(
            cluster=entry.cluster_id,
            kind=word(entry.kind.value),
            shares=[
                RunShare(
                    cluster=none_if_noise(each.cluster_id),
                    image_count=each.images,
                    of_before=each.of_before,
                    of_now=each.of_now,
                )
                for each in entry.shares
            ],
        )


class Trial(Told):
    """One thing that the search for parameters tried; ``score`` is null where it was ruled out."""

    min_cluster_size: int
    min_samples: int
    cluster_count: int
    noise_share: float
    score: float | None
    verdict: str

    @classmethod
    def of(cls, trial: domain.Trial) -> Trial:
        """From a run's record."""
        return cls(
            min_cluster_size=trial.min_cluster_size,
            min_samples=trial.min_samples,
            cluster_count=trial.clusters,
            noise_share=trial.noise,
            score=None if math.isinf(trial.score) else trial.score,
            verdict=trial.verdict,
        )


class Run(Told):
    """A clustering run, or a correction; ``lineage`` and ``trials`` are long, and in the answer about one run only."""

    id: str
    state: Literal["running", "succeeded", "held_back", "failed", "cancelled"]
    stage: str
    progress: float
    create_time: datetime
    end_time: datetime | None
    activate_time: datetime | None
    active: bool
    kind: Literal["clustering", "correction"]
    trigger: str
    parent: str | None
    parameters: Parameters
    summary: Summary | None
    held_because: list[str]
    error: RunError | None
    remaining_s: float | None
    retained: bool
    sampled_count: int | None
    quality: dict[str, float]
    timings: dict[str, float]
    lineage: list[RunLineage] | None = None
    trials: list[Trial] | None = None

    @classmethod
    def of(cls, run: domain.ClusteringRun, active_run: str | None, *, whole: bool = False) -> Run:
        """From a run's record.

        Args:
            run: the record.
            active_run: the run in force.
            whole: with its lineage and trials.
        """
        state = run.state
        running = state is domain.RunState.RUNNING
        failed = state is domain.RunState.FAILED
        return cls(
            id=run.id,
            state=word(state.value),  # type: ignore[arg-type]  # the enum has these values
            stage=run.stage.value,
            progress=run.progress,
            create_time=run.created_at,
            end_time=moment(run.ended_at),
            activate_time=moment(run.activated_at),
            active=run.id == active_run,
            kind=run.kind.value,
            trigger=run.trigger,
            parent=run.parent,
            parameters=Parameters.of(run),
            summary=Summary.of(run.summary) if state.complete and run.summary is not None else None,
            held_because=list(run.held_because),
            error=RunError(reason=run.error_reason or "", message=run.error or "") if failed else None,
            remaining_s=run.remaining_s if running else None,
            retained=state.complete,
            sampled_count=run.sampled,
            quality=dict(run.quality),
            timings=dict(run.timings),
            lineage=[RunLineage.of(entry) for entry in run.lineage] if whole else None,
            trials=[Trial.of(trial) for trial in run.trials] if whole else None,
        )


class RunList(Told):
    """A page of runs, newest first."""

    runs: list[Run]
    next_page_token: str = ""


# A field is called `from`, which is no name in Python.
class RunFlow(Told):
    """Images that are in one cluster in the one run and in another in the other; null for none."""

    before: Annotated[int | None, Field(serialization_alias="from")]
    before_name: Annotated[str, Field(serialization_alias="from_display_name")]
    to: int | None
    to_display_name: str
    image_count: int


class RunComparison(Told):
    """What differs between two runs."""

    same_count: int
    moved_count: int
    added_count: int
    removed_count: int
    flows: list[RunFlow]
    new_clusters: list[int]
    gone_clusters: list[int]

    @classmethod
    def of(cls, found: Comparison) -> RunComparison:
        """From what was compared."""
        return cls(
            same_count=found.same,
            moved_count=found.moved,
            added_count=found.added,
            removed_count=found.removed,
            flows=[
                RunFlow(
                    before=none_if_noise(each.before),
                    before_name=each.before_name,
                    to=none_if_noise(each.after),
                    to_display_name=each.after_name,
                    image_count=each.images,
                )
                for each in found.flows
            ],
            new_clusters=list(found.new_clusters),
            gone_clusters=list(found.gone_clusters),
        )


def none_if_noise(cluster_id: int) -> int | None:
    """A cluster's id; None for no cluster."""
    return None if cluster_id == NOISE else cluster_id

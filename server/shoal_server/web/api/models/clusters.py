"""Clusters, the votes for them, and the other groupings."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from shoal_server.application.ancestry import Step
from shoal_server.application.assign import Assignment
from shoal_server.application.curation import CountedCluster, SimilarCluster
from shoal_server.application.history import RunCluster
from shoal_server.domain import cluster as domain
from shoal_server.domain import groupings
from shoal_server.web.api.models.base import Told, moment, word
from shoal_server.web.api.models.images import LatLng


class NameCandidate(Told):
    """A name that the algorithm would give."""

    display_name: str
    score: float


class Cluster(Told):
    """A cluster in force; ``size`` is what is in it now, ``run_size`` what its run put into it."""

    id: int
    display_name: str
    name_source: Literal["automatic", "person"]
    name_candidates: list[NameCandidate]
    size: int
    run_size: int
    exemplars: list[UUID]
    borderline_images: list[UUID]
    cohesion: float
    separation: float
    assign_threshold: float
    create_time: datetime
    pinned: bool
    merged: bool
    split: bool
    theme: int | None

    @classmethod
    def of(cls, counted: CountedCluster) -> Cluster:
        """From a cluster and its present size."""
        return cls.described(counted.cluster, counted.size)

    @classmethod
    def described(cls, described: domain.Cluster, size: int) -> Cluster:
        """From a cluster and its present size."""
        return cls(
            id=described.id,
            display_name=described.name,
            name_source=described.name_source.value,
            name_candidates=[NameCandidate(display_name=each.name, score=each.score) for each in described.candidates],
            size=size,
            run_size=described.size,
            exemplars=list(described.exemplars),
            borderline_images=list(described.borderline),
            cohesion=described.cohesion,
            separation=described.separation,
            assign_threshold=described.threshold,
            create_time=described.created_at,
            pinned=domain.Hold.PINNED in described.holds,
            merged=domain.Hold.MERGED in described.holds,
            split=domain.Hold.SPLIT in described.holds,
            theme=described.theme_id,
        )


class Theme(Told):
    """Clusters that have something in common; ``parent`` is null at the top."""

    id: int
    display_name: str
    parent: int | None
    clusters: list[int]

    @classmethod
    def of(cls, theme: groupings.Theme) -> Theme:
        """From what was found."""
        return cls(id=theme.id, display_name=theme.name, parent=theme.parent_id, clusters=list(theme.cluster_ids))


class ClusterList(Told):
    """A page of clusters; the first has the themes, too."""

    clusters: list[Cluster]
    themes: tuple[Theme, ...] = ()
    run: str = ""
    next_page_token: str = ""


class ThemeList(Told):
    """All themes of the run in force, parents before children."""

    themes: list[Theme]
    run: str


class Place(Told):
    """Images taken near one another."""

    id: int
    display_name: str
    size: int
    center: LatLng
    radius_km: float

    @classmethod
    def of(cls, place: groupings.Place) -> Place:
        """From what was found."""
        return cls(
            id=place.id,
            display_name=place.name,
            size=place.size,
            center=LatLng.of(place.center),
            radius_km=place.radius_km,
        )


class PlaceList(Told):
    """A page of places, the largest first."""

    places: list[Place]
    next_page_token: str = ""


class Moment(Told):
    """Images taken one soon after another; the times are those that the cameras' clocks showed."""

    id: int
    display_name: str
    size: int
    start_time: str
    end_time: str

    @classmethod
    def of(cls, found: groupings.Moment) -> Moment:
        """From what was found."""
        return cls(
            id=found.id,
            display_name=found.name,
            size=found.size,
            start_time=found.start.isoformat(),
            end_time=found.end.isoformat(),
        )


class MomentList(Told):
    """A page of moments, in the order of time."""

    moments: list[Moment]
    next_page_token: str = ""


class Similar(Told):
    """A cluster and the cosine similarity of its centroid to another one's."""

    cluster: Cluster
    similarity: float

    @classmethod
    def of(cls, found: SimilarCluster) -> Similar:
        """From what was found."""
        return cls(cluster=Cluster.of(found.counted), similarity=found.similarity)


class SimilarList(Told):
    """The most similar first."""

    clusters: list[Similar]


class RunClusterAnswer(Told):
    """A cluster of any run, with the size that the run gave it."""

    id: int
    display_name: str
    size: int

    @classmethod
    def of(cls, found: RunCluster) -> RunClusterAnswer:
        """From what was found."""
        return cls(id=found.id, display_name=found.name, size=found.size)


class RunClusterList(Told):
    """All clusters of a run, by id."""

    run: str
    clusters: list[RunClusterAnswer]


class LineageShare(Told):
    """Images in common with another cluster; ``cluster`` is null for those in none."""

    cluster: int | None
    display_name: str
    image_count: int
    of_before: float
    of_now: float


class LineageStep(Told):
    """What a run or a correction made of a cluster."""

    run: str
    run_kind: str
    time: datetime
    kind: str
    shares: list[LineageShare]

    @classmethod
    def of(cls, step: Step) -> LineageStep:
        """From what is on record."""
        return cls(
            run=step.run,
            run_kind=word(step.run_kind.value),
            time=moment(step.at) or step.at,
            kind=word(step.kind.value),
            shares=[
                LineageShare(
                    cluster=None if share.cluster_id == domain.NOISE else share.cluster_id,
                    display_name=step.names.get(share.cluster_id, ""),
                    image_count=share.images,
                    of_before=share.of_before,
                    of_now=share.of_now,
                )
                for share in step.shares
            ],
        )


class LineageAnswer(Told):
    """The story of a cluster, newest first, as far as runs are kept."""

    steps: list[LineageStep]


class Alternative(Told):
    """A cluster that got votes."""

    cluster: int
    display_name: str
    similarity: float
    share: float


class AssignAnswer(Told):
    """The cluster that an image belongs to; null if it is an outlier."""

    cluster: int | None
    display_name: str
    similarity: float
    outlier: bool
    outlier_score: float
    alternatives: list[Alternative]

    @classmethod
    def of(cls, voted: Assignment) -> AssignAnswer:
        """From the outcome of a vote."""
        winner = voted.cluster
        return cls(
            cluster=None if winner is None else winner.id,
            display_name="" if winner is None else winner.name,
            similarity=voted.similarity,
            outlier=winner is None,
            outlier_score=voted.outlier_score,
            alternatives=[
                Alternative(
                    cluster=each.cluster.id,
                    display_name=each.cluster.name,
                    similarity=each.similarity,
                    share=each.share,
                )
                for each in voted.alternatives
            ],
        )

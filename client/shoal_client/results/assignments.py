"""What is where in a run, and what differs between two."""

from __future__ import annotations

from dataclasses import dataclass

from shoal_client.results.images import Image


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """An image and its cluster in a run.

    Attributes:
        image: as it is now.
        cluster_id: in the run; None if it is in no cluster there.
        cluster_name: None if it is in no cluster, or if the run's names are no longer kept.
        strength: how firmly it belongs there, 0 to 1; 0 if it came after the run.
        x: its place on the map; None if it came after the run.
        y: its place on the map; None if it came after the run.
    """

    image: Image
    cluster_id: int | None
    cluster_name: str | None
    strength: float
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """Images that are in one cluster in one run and in another in another run; None stands for no cluster.

    Attributes:
        from_name: None if it is in no cluster, or if the run's names are no longer kept; ``to_name`` likewise.
    """

    from_cluster: int | None
    from_name: str | None
    to_cluster: int | None
    to_name: str | None
    images: int


@dataclass(frozen=True, slots=True)
class RunComparison:
    """What differs between two runs; all but the last three are counts of images.

    Attributes:
        same: in the same cluster, or in none, both times.
        moved: elsewhere.
        added: only in the run after.
        removed: only in the run before.
        flows: what moved where, most first.
        new_clusters: ids that only the run after has.
        gone_clusters: ids that only the run before has.
    """

    same: int
    moved: int
    added: int
    removed: int
    flows: tuple[Flow, ...]
    new_clusters: tuple[int, ...]
    gone_clusters: tuple[int, ...]

"""What a client was promised, and whether a server still keeps it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from shoal_client import Client, NotFound
from shoal_client.collection import Collection
from shoal_client.results import ClusteringRun, LineageKind, RunState

#: Ids that a run gives for the first time.
_NEW = (LineageKind.BORN, LineageKind.SPLIT)


class Ledger:
    """Images that were acknowledged, on the client's side: on disk before the next answer is read."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="ascii")
        self._ids: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def acknowledge(self, image: str) -> None:
        """Notes an image's id."""
        self._file.write(f"{image}\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._ids[image] = None

    def since(self, count: int) -> list[str]:
        """The ids after the first so many."""
        return list(self._ids)[count:]

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()


@dataclass
class Found:
    """What a look at the whole collection found; all but ``images`` should be 0.

    Attributes:
        images: that are stored.
        lost: that were acknowledged and are not stored.
        twice: that are listed more than once.
        orphans: whose cluster is not in force.
        half: whose cluster is not the one that the run in force says.
        reused: ids that a run gave to a new cluster though another cluster had them before.
        without_thumbnail: of those that were looked at.
    """

    images: int = 0
    lost: int = 0
    twice: int = 0
    orphans: int = 0
    half: int = 0
    reused: int = 0
    without_thumbnail: int = 0

    @property
    def broken(self) -> int:
        """How many promises were not kept."""
        return self.lost + self.twice + self.orphans + self.half + self.reused + self.without_thumbnail


@dataclass
class Inspector:
    """Looks at a collection again and again; it remembers which cluster ids there ever were."""

    ledger: Ledger
    _runs: set[str] = field(default_factory=set)
    _cluster_ids: set[int] = field(default_factory=set)
    _looked_at: int = 0

    def look(self, address: str, collection: str, *, every_thumbnail: bool = False) -> Found:
        """What is there now.

        Args:
            address: of the server.
            collection: which.
            every_thumbnail: not only of the images acknowledged since the last look.
        """
        with Client(address, timeout=60) as client:
            shoal = client.collection(collection)
            stored: dict[str, int | None] = {}
            found = Found()
            for image in shoal.images():
                found.twice += image.id in stored
                stored[image.id] = image.cluster_id
            in_force = {cluster.id for cluster in shoal.clusters()}
            found.images = len(stored)
            found.lost = len(set(self.ledger.since(0)) - stored.keys())
            found.orphans = sum(cluster is not None and cluster not in in_force for cluster in stored.values())
            if in_force:
                exported = {each.image.id: each.cluster_id for each in shoal.export()}
                found.half = sum(stored.get(image) != cluster for image, cluster in exported.items())
            found.reused = self._reused(shoal)
            asked = stored if every_thumbnail else self.ledger.since(self._looked_at)
            self._looked_at = len(self.ledger)
            found.without_thumbnail = _without_thumbnail(shoal, (image for image in asked if image in stored))
            return found

    def _reused(self, shoal: Collection) -> int:
        """Looks at the runs that came since, in their order."""
        reused = 0
        runs = [run for run in shoal.runs() if run.id not in self._runs and _has_result(run)]
        for run in reversed(runs):
            self._runs.add(run.id)
            lineage = shoal.get_run(run).lineage
            reused += sum(each.kind in _NEW and each.cluster_id in self._cluster_ids for each in lineage)
            self._cluster_ids |= {each.cluster_id for each in lineage}
        return reused


def _has_result(run: ClusteringRun) -> bool:
    return run.state in (RunState.SUCCEEDED, RunState.HELD_BACK)


def _without_thumbnail(shoal: Collection, images: Iterable[str]) -> int:
    missing = 0
    for image in images:
        try:
            missing += not shoal.thumbnail(image)
        except NotFound:
            missing += 1
    return missing

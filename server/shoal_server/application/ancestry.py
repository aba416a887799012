"""The story of one cluster: what every run and correction made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import Store
from shoal_server.domain.errors import ClusterNotFound
from shoal_server.domain.lineage import LineageKind, Share
from shoal_server.domain.run import RunKind


@dataclass(frozen=True, slots=True)
class Step:
    """What a run made of a cluster.

    Attributes:
        run: which.
        run_kind: what made it.
        at: when it was put in force.
        kind: what became of the cluster.
        shares: with whom it has images in common.
        names: of the clusters that are in force, by id.
    """

    run: str
    run_kind: RunKind
    at: datetime
    kind: LineageKind
    shares: Sequence[Share]
    names: Mapping[int, str]


class Ancestry:
    """Reads it from the records of the runs that are kept."""

    def __init__(self, collections: OpenCollections, store: Store) -> None:
        self._collections = collections
        self._store = store

    async def __call__(self, collection: str, cluster_id: int) -> list[Step]:
        """What became of a cluster, newest first; it need not be in force any more.

        Raises:
            ClusterNotFound: no run that is kept knows it.
        """
        opened = await self._collections.open(collection)
        names = {} if opened.clusters is None else {each.id: each.name for each in opened.clusters.clusters.values()}
        steps = [
            Step(run.id, run.kind, run.activated_at, entry.kind, entry.shares, names)
            for run in await self._store.list_runs(collection)
            if run.activated_at is not None
            for entry in run.lineage
            if entry.cluster_id == cluster_id
        ]
        if not steps and cluster_id not in names:
            raise ClusterNotFound(collection, cluster_id)
        return steps

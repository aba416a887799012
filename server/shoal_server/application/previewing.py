"""What a correction would change, without changing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from shoal_server.application.correcting import Change, Correcting, MakePlan, Plan, moved_by
from shoal_server.application.open_collections import ClusterSet, OpenCollection
from shoal_server.application.present import Present
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.correction import CorrectionKind
from shoal_server.domain.errors import NotClustered

#: Images of a flow or a cluster that are told.
EXAMPLES = 12


@dataclass(frozen=True, slots=True)
class PreviewedFlow:
    """Images that would go from one cluster to another.

    Attributes:
        before: cluster id, -1 for none.
        before_name: empty for none.
        after: cluster id, -1 for none.
        after_name: empty for none, and for a cluster that is not there yet.
        images: how many.
        examples: a few of them.
    """

    before: int
    before_name: str
    after: int
    after_name: str
    images: int
    examples: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class PreviewedCluster:
    """A cluster before and after.

    Attributes:
        id: of one that is not there yet, the one that it would have.
        name: afterwards; empty where that is not known before.
        size_before: images in it now.
        size_after: images that would be in it.
        examples: a few of those.
    """

    id: int
    name: str
    size_before: int
    size_after: int
    examples: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a correction would change.

    Attributes:
        kind: what it is.
        detail: in words.
        images: that would be put elsewhere.
        flows: from where to where, most first.
        clusters: that it is about, the one to name first first.
    """

    kind: CorrectionKind
    detail: str
    images: int
    flows: Sequence[PreviewedFlow]
    clusters: Sequence[PreviewedCluster]


class Previewing:
    """Makes plans as :class:`Correcting` does, and tells what is in them."""

    def __init__(self, correcting: Correcting) -> None:
        self._correcting = correcting

    async def carry_out(self, opened: OpenCollection, author: str, plan: MakePlan) -> Preview:
        """What a plan for what is there now would change.

        Raises:
            NotClustered: there are no clusters yet.
            CannotCorrect: the plan changes nothing.
        """
        async with opened.gate.reading():
            if opened.clusters is None:
                raise NotClustered(opened.id)
            present = await self._correcting.present(opened)
            active = opened.clusters
            made = await plan(present, active)
            moved_by(opened, made, present)
        return _told(made, present, active)

    async def change(
        self, opened: OpenCollection, cluster_id: int, kind: CorrectionKind, author: str, detail: str, change: Change
    ) -> Preview:
        """What a change to a cluster's own record would be.

        Raises:
            ClusterNotFound: there is none of that id in force.
        """
        async with opened.gate.reading():
            after = change(opened.cluster(cluster_id))
            size = await self._correcting.size_of(opened, cluster_id)
        return Preview(kind, detail, 0, (), (PreviewedCluster(cluster_id, after.name, size, size, after.exemplars),))


def _told(plan: Plan, present: Present, active: ClusterSet) -> Preview:
    now, then = present.assignments.cluster_ids, plan.cluster_ids
    names = {each.id: each.name for each in active.clusters.values()}
    names_after = names | {each.cluster_id: each.name for each in plan.clusters_after.values()}

    def examples(rows: Sequence[int]) -> list[UUID]:
        # Ids are digests, so that those that come first are a sample of all.
        return [present.ids[row] for row in rows[:EXAMPLES]]

    moved = np.flatnonzero(now != then)
    pairs = np.stack([now[moved], then[moved]])
    flows = []
    for before, after in np.unique(pairs, axis=1).T.tolist():
        rows = moved[(pairs[0] == before) & (pairs[1] == after)].tolist()
        flows.append(
            PreviewedFlow(before, names.get(before, ""), after, names_after.get(after, ""), len(rows), examples(rows))
        )
    touched = dict.fromkeys([*plan.clusters, *(each for flow in flows for each in (flow.before, flow.after))])
    clusters = []
    for cluster_id in touched:
        if cluster_id == NOISE:
            continue
        rows = np.flatnonzero(then == cluster_id).tolist()
        name = names_after.get(cluster_id, "")
        clusters.append(PreviewedCluster(cluster_id, name, int((now == cluster_id).sum()), len(rows), examples(rows)))
    flows.sort(key=lambda flow: (-flow.images, flow.before, flow.after))
    return Preview(plan.kind, plan.detail, len(moved), flows, clusters)

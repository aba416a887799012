"""The runs that were: compared, exported, put in force again, and let go of when they are too many."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np

from shoal_server.application.activation import Activation
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import RunAssignments, RunFiles, Store
from shoal_server.application.present import read_present
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import CollectionNotFound, RunNotActivatable, RunNotFound, ShoalError
from shoal_server.domain.image import Image
from shoal_server.domain.run import ClusteringRun, RunState

_log = logging.getLogger(__name__)

#: Images of one stretch of an export.
EXPORT_BATCH = 256


@dataclass(frozen=True, slots=True)
class Flow:
    """Images that are in one cluster in the one run and in another in the other.

    Attributes:
        before: cluster id, -1 for none.
        before_name: empty if it is not known.
        after: cluster id, -1 for none.
        after_name: empty if it is not known.
        images: how many.
    """

    before: int
    before_name: str
    after: int
    after_name: str
    images: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two runs; images are counted, clusters named by id.

    Attributes:
        flows: what moved where, most first.
    """

    same: int
    moved: int
    added: int
    removed: int
    flows: tuple[Flow, ...]
    new_clusters: tuple[int, ...]
    gone_clusters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """One image with what a run says of it.

    Attributes:
        cluster_id: -1 for none.
        coordinates: its place on the map; None if the run did not read it.
    """

    image: Image
    cluster_id: int
    cluster_name: str
    strength: float
    coordinates: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class RunCluster:
    """A cluster of some run.

    Attributes:
        id: which.
        name: what it was called.
        size: images that the run put into it.
    """

    id: int
    name: str
    size: int


class History:
    """Looks at complete runs and puts them in force."""

    def __init__(
        self, collections: OpenCollections, store: Store, files: RunFiles, activation: Activation, keep_runs: int
    ) -> None:
        """Args:
        collections: whose.
        store: of records, clusters and images.
        files: of the runs.
        activation: puts runs in force.
        keep_runs: reclusterings and corrections of each collection that are kept, as many of the one as of the
            other; the active run always is.
        """
        self._collections = collections
        self._store = store
        self._files = files
        self._activation = activation
        self._keep_runs = keep_runs

    async def activate(self, collection: str, run: str) -> ClusteringRun:
        """Puts a complete run in force again, or one that was held back; writes only what differs.

        Raises:
            RunNotFound: there is none of that id.
            RunNotActivatable: it has no result.
        """
        opened = await self._collections.open(collection)

        async def activate() -> ClusteringRun:
            async with opened.deciding:
                if opened.removed:
                    raise CollectionNotFound(collection)
                record = await self.complete(opened, run)
                if record.state is RunState.HELD_BACK and record.parent != opened.record.active_run:
                    raise RunNotActivatable(
                        collection, run, "the clusters were changed since it was held back; cluster again"
                    )
                try:
                    return await self._activation.put_in_force(opened, record)
                except RunNotFound as error:
                    raise RunNotActivatable(collection, run, "its file is gone; cluster again") from error

        return await unbroken(activate())

    async def compare(self, collection: str, base: str, other: str) -> Comparison:
        """What is where in two complete runs.

        Raises:
            RunNotFound: there is none of one of the ids, or it has no file.
            RunNotActivatable: one of them has no result.
        """
        opened = await self._collections.open(collection)
        await self.complete(opened, base)
        await self.complete(opened, other)
        before, after = await self._files.read(collection, base), await self._files.read(collection, other)
        names = [
            {each.id: each.name for each in await self._store.get_clusters(collection, run)} for run in (base, other)
        ]
        return await asyncio.to_thread(_compared, before, after, names)

    async def export(self, collection: str, run: str | None) -> AsyncIterator[list[Exported]]:
        """Every image that is still stored with what a run says of it, in the order of the ids.

        Args:
            collection: which.
            run: which; None: the clusters as they are now, images that came since the last run included.

        Raises:
            RunNotFound: there is none of that id, or it has no file.
            RunNotActivatable: it has no result.
        """
        opened = await self._collections.open(collection)
        if run is None:
            async with opened.gate.reading():
                assignments = (await read_present(self._store, self._files, opened)).assignments
                clusters = [] if opened.clusters is None else list(opened.clusters.clusters.values())
        else:
            await self.complete(opened, run)
            assignments = await self._files.read(collection, run)
            clusters = await self._store.get_clusters(collection, run)
        names = {cluster.id: cluster.name for cluster in clusters}
        order = sorted(range(len(assignments.ids)), key=lambda row: assignments.ids[row])
        for start in range(0, len(order), EXPORT_BATCH):
            rows = order[start : start + EXPORT_BATCH]
            images = await self._store.get_images(collection, [assignments.ids[row] for row in rows])
            yield [
                _exported(images[assignments.ids[row]], assignments, row, names)
                for row in rows
                if assignments.ids[row] in images
            ]

    async def complete(self, opened: OpenCollection, run: str) -> ClusteringRun:
        """The record of a run that has a result.

        Raises:
            RunNotFound: there is none of that id.
            RunNotActivatable: it has no result.
        """
        record = await self._store.get_run(opened.id, run)
        if not record.state.complete:
            raise RunNotActivatable(opened.id, run, f"it {_STATES.get(record.state.value, record.state.value)}")
        return record

    async def clusters(self, collection: str, run: str) -> list[RunCluster]:
        """What a complete run called its clusters, by id.

        Raises:
            RunNotFound: there is none of that id.
            RunNotActivatable: it has no result.
        """
        opened = await self._collections.open(collection)
        await self.complete(opened, run)
        found = await self._store.get_clusters(collection, run)
        return sorted((RunCluster(each.id, each.name, each.size) for each in found), key=lambda each: each.id)

    async def tidy(self, opened: OpenCollection) -> None:
        """Lets go of the oldest runs where there are more than are kept: reclusterings, corrections, and failed ones.

        The caller holds ``deciding``, or nobody else is there yet.
        """
        try:
            runs = await self._store.list_runs(opened.id)
            kinds = defaultdict(list)
            for run in runs:
                if run.state.ended:
                    kinds[run.kind, run.state.complete].append(run.id)
            for old in (run for ended in kinds.values() for run in ended[self._keep_runs :]):
                if old not in (opened.record.active_run, opened.record.activating_run):
                    await self.drop(opened, old)
                    await self._store.delete_run(opened.id, old)
        except ShoalError as error:
            # What is left is let go of the next time.
            _log.warning("collection %s: letting go of old runs failed: %s", opened.id, error.message)

    async def drop(self, opened: OpenCollection, run: str) -> None:
        """Removes all of a run but its record."""
        await self._store.delete_clusters(opened.id, run)
        await self._store.delete_groupings(opened.id, run)
        await self._files.delete(opened.id, run)


_STATES = {"running": "is still under way", "failed": "failed", "cancelled": "was cancelled"}


def _exported(image: Image, assignments: RunAssignments, row: int, names: dict[int, str]) -> Exported:
    cluster_id = int(assignments.cluster_ids[row])
    x, y = assignments.coordinates[row].tolist()
    return Exported(
        image=image,
        cluster_id=cluster_id,
        cluster_name=names.get(cluster_id, ""),
        strength=float(assignments.strengths[row]),
        coordinates=None if np.isnan(x) else (x, y),
    )


def _compared(before: RunAssignments, after: RunAssignments, names: list[dict[int, str]]) -> Comparison:
    was = dict(zip(before.ids, before.cluster_ids.tolist(), strict=True))
    both = [
        (was[identity], now)
        for identity, now in zip(after.ids, after.cluster_ids.tolist(), strict=True)
        if identity in was
    ]
    pairs, counts = np.unique(np.array(both, dtype=np.int64).reshape(-1, 2), axis=0, return_counts=True)
    flows = [
        Flow(old, names[0].get(old, ""), new, names[1].get(new, ""), count)
        for (old, new), count in zip(pairs.tolist(), counts.tolist(), strict=True)
        if old != new
    ]
    moved = sum(flow.images for flow in flows)
    old_ids, new_ids = (set(np.unique(each.cluster_ids).tolist()) - {NOISE} for each in (before, after))
    return Comparison(
        same=len(both) - moved,
        moved=moved,
        added=len(after.ids) - len(both),
        removed=len(before.ids) - len(both),
        flows=tuple(sorted(flows, key=lambda flow: (-flow.images, flow.before, flow.after))),
        new_clusters=tuple(sorted(new_ids - old_ids)),
        gone_clusters=tuple(sorted(old_ids - new_ids)),
    )

"""A collection as it is now: what stands on the points, and what the run in force knows of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.open_collections import OpenCollection
from shoal_server.application.ports import RunAssignments, RunFiles, Store
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import RunNotFound
from shoal_server.domain.image import Location


@dataclass(frozen=True, slots=True)
class Present:
    """All images of a collection, in the order of their ids.

    Attributes:
        captured_at: when each was taken, as text.
        locations: where each was taken.
        read: bool (n,), the run in force read it; what it knows of the others is nothing. An image that was deleted and
            sent again is one of the others, unless the vote put it back where it had been.
        assignments: as the points and that run have it: cluster, place and moment are those on the points, where the
            cluster is in force.
    """

    captured_at: list[str | None]
    locations: list[Location | None]
    read: NDArray[np.bool_]
    assignments: RunAssignments

    @property
    def gone(self) -> int:
        """How many images that run read that are there no more."""
        return self.assignments.gone

    @property
    def ids(self) -> list[UUID]:
        """Of the images."""
        return self.assignments.ids

    def of(self, ids: list[UUID]) -> tuple[NDArray[np.bool_], Present]:
        """Which of these images are there, and all that is known of them; of those that are not, nothing."""
        if ids == self.ids:
            return np.ones(len(ids), np.bool_), self
        there, assignments = align(ids, self.assignments)
        row_of = {identity: row for row, identity in enumerate(self.ids)}
        rows = [row_of.get(identity) for identity in ids]
        read = np.array([row is not None and bool(self.read[row]) for row in rows], np.bool_)
        captured_at = [None if row is None else self.captured_at[row] for row in rows]
        locations = [None if row is None else self.locations[row] for row in rows]
        return there, Present(captured_at, locations, read, assignments)


async def read_present(store: Store, files: RunFiles, opened: OpenCollection) -> Present:
    """Reads it; the caller sees to it that no run comes into force meanwhile."""
    ids: list[UUID] = []
    captured_at: list[str | None] = []
    locations: list[Location | None] = []
    columns: list[list[NDArray[np.int64]]] = [[np.zeros(0, np.int64)] for _ in range(3)]
    async for stretch in store.scan_vectors(opened.id, with_vectors=False):
        ids += stretch.ids
        captured_at += stretch.captured_at
        locations += stretch.locations
        for column, values in zip(columns, (stretch.cluster_ids, stretch.place_ids, stretch.moment_ids), strict=True):
            column.append(values)
    stored_ids, place_ids, moment_ids = (np.concatenate(column) for column in columns)
    # An owner may write what they like under the key of an attached collection.
    in_force = [] if opened.clusters is None else list(opened.clusters.clusters)
    cluster_ids = np.where(np.isin(stored_ids, in_force), stored_ids, NOISE)
    found = await active_assignments(files, opened)
    # Nothing but a run changes clusters: an image that is elsewhere than its file says was deleted and sent again.
    known, assignments = await asyncio.to_thread(align, ids, found, cluster_ids)
    # What came while the run was in force may stand in its file, but without a place on the map.
    read = known & ~np.isnan(assignments.coordinates[:, 0])
    assignments = RunAssignments(
        ids=ids,
        cluster_ids=cluster_ids,
        strengths=assignments.strengths,
        coordinates=assignments.coordinates,
        reduced=assignments.reduced,
        fingerprints=assignments.fingerprints,
        placed=assignments.placed,
        last_ids=np.where(cluster_ids == NOISE, assignments.last_ids, cluster_ids),
        dissolved_ids=assignments.dissolved_ids,
        place_ids=place_ids,
        moment_ids=moment_ids,
        gone=found.gone + int((~np.isnan(found.coordinates[:, 0])).sum() - read.sum()),
    )
    return Present(captured_at, locations, read, assignments)


async def active_assignments(files: RunFiles, opened: OpenCollection) -> RunAssignments:
    """What the run in force found; nothing if there is none, or if its file is gone."""
    if opened.record.active_run is not None:
        try:
            return await files.read(opened.id, opened.record.active_run)
        except RunNotFound:
            pass
    return no_assignments()


def no_assignments() -> RunAssignments:
    """Those of no image."""
    none = np.zeros(0, np.int64)
    return RunAssignments(
        ids=[],
        cluster_ids=none,
        strengths=np.zeros(0, np.float32),
        coordinates=np.zeros((0, 2), np.float32),
        reduced=np.zeros((0, 0), np.float32),
        fingerprints=np.zeros(0, np.float32),
        placed=np.zeros(0, np.bool_),
        last_ids=none,
        dissolved_ids=none,
        place_ids=none,
        moment_ids=none,
    )


def align(
    ids: list[UUID], assignments: RunAssignments, cluster_ids: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.bool_], RunAssignments]:
    """A run's assignments in the order of other ids.

    Args:
        ids: n images.
        assignments: of a run.
        cluster_ids: int64 (n,), -1 for none; an image that the run has in another cluster is not the one that it knew.
            None: wherever they are.

    Returns:
        Which of the n it has (n,), and its assignments of them; for the others -1, False, 0 or NaN.
    """
    row_of = {identity: row for row, identity in enumerate(assignments.ids)}
    rows = np.array([row_of.get(identity, -1) for identity in ids], dtype=np.int64)
    known = rows >= 0
    if cluster_ids is not None:
        known[known] = assignments.cluster_ids[rows[known]] == cluster_ids[known]
    at = rows[known]

    def taken(values: NDArray[np.int64]) -> NDArray[np.int64]:
        column = np.full(len(ids), NOISE, dtype=np.int64)
        column[known] = values[at]
        return column

    strengths = np.zeros(len(ids), np.float32)
    strengths[known] = assignments.strengths[at]
    coordinates = np.full((len(ids), 2), np.nan, np.float32)
    coordinates[known] = assignments.coordinates[at]
    reduced = np.full((len(ids), assignments.reduced.shape[1]), np.nan, np.float32)
    reduced[known] = assignments.reduced[at]
    fingerprints = np.full(len(ids), np.nan, np.float32)
    fingerprints[known] = assignments.fingerprints[at]
    placed = np.zeros(len(ids), np.bool_)
    placed[known] = assignments.placed[at]
    return known, RunAssignments(
        ids=ids,
        cluster_ids=taken(assignments.cluster_ids),
        strengths=strengths,
        coordinates=coordinates,
        reduced=reduced,
        fingerprints=fingerprints,
        placed=placed,
        last_ids=taken(assignments.last_ids),
        dissolved_ids=taken(assignments.dissolved_ids),
        place_ids=taken(assignments.place_ids),
        moment_ids=taken(assignments.moment_ids),
    )

"""Plans that corrections have in common, and what they check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.correcting import Plan, former_of
from shoal_server.application.open_collections import ClusterSet, OpenCollection
from shoal_server.application.present import Present
from shoal_server.domain.cluster import NOISE, Cluster, Hold, NameSource
from shoal_server.domain.correction import CorrectionKind, Former
from shoal_server.domain.errors import ClusterNotFound, ImageNotFound, InvalidField

MAX_AUTHOR = 200


def check_text(field: str, text: str, longest: int = MAX_AUTHOR) -> None:
    """Raises:
    InvalidField: the text is too long, or has line breaks or other control characters.
    """
    if len(text) > longest or not text.isprintable():
        raise InvalidField(field, f"must be printable and have at most {longest} characters")


def cluster_in(opened: OpenCollection, active: ClusterSet, cluster_id: int) -> Cluster:
    """Raises:
    ClusterNotFound: there is none of that id in force.
    """
    if cluster_id not in active.clusters:
        raise ClusterNotFound(opened.id, cluster_id)
    return active.clusters[cluster_id]


def rows_of(opened: OpenCollection, present: Present, images: Sequence[UUID]) -> NDArray[np.int64]:
    """The rows of images, each once.

    Raises:
        ImageNotFound: there is none of one of the ids.
    """
    row_of = {identity: row for row, identity in enumerate(present.ids)}
    for identity in images:
        if identity not in row_of:
            raise ImageNotFound(opened.id, str(identity))
    return np.array([row_of[identity] for identity in dict.fromkeys(images)], dtype=np.int64)


def placed_plan(
    kind: CorrectionKind,
    opened: OpenCollection,
    present: Present,
    rows: NDArray[np.int64],
    wanted: NDArray[np.int64],
    detail: str,
) -> Plan:
    """Puts images where a person wants them for good."""
    now = present.assignments
    cluster_ids, placed, dissolved_ids = now.cluster_ids.copy(), now.placed.copy(), now.dissolved_ids.copy()
    touched = dict.fromkeys([*wanted.tolist(), *now.cluster_ids[rows].tolist()])
    cluster_ids[rows], placed[rows], dissolved_ids[rows] = wanted, True, NOISE
    return Plan(
        kind,
        tuple(cluster for cluster in touched if cluster != NOISE),
        cluster_ids,
        placed,
        dissolved_ids,
        opened.record.next_cluster_id,
        detail=detail,
    )


def split_plan(
    opened: OpenCollection, active: ClusterSet, present: Present, cluster_id: int, parts: NDArray[np.int64]
) -> Plan:
    """Makes every part of a cluster but part 0 a cluster of its own."""
    now = present.assignments
    cluster = active.clusters[cluster_id]
    inside = now.cluster_ids == cluster_id
    fresh = opened.record.next_cluster_id
    numbers = [part for part in np.unique(parts[inside]).tolist() if part != 0]
    cluster_ids = now.cluster_ids.copy()
    after = {cluster_id: replace(former_of(cluster), holds=cluster.holds | {Hold.SPLIT})}
    created_at = datetime.now(UTC)
    for offset, part in enumerate(numbers):
        cluster_ids[inside & (parts == part)] = fresh + offset
        after[fresh + offset] = Former(fresh + offset, "", NameSource.AUTOMATIC, frozenset({Hold.SPLIT}), created_at)
    born = tuple(range(fresh, fresh + len(numbers)))
    return Plan(
        CorrectionKind.SPLIT,
        (cluster_id, *born),
        cluster_ids,
        now.placed,
        now.dissolved_ids,
        fresh + len(numbers),
        after,
        f"{cluster_id} into {', '.join(str(each) for each in (cluster_id, *born))}",
    )

"""Whether a run's outcome can be right beside the one in force: the sanity gate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE

#: Fewer clusters than this may change their number as they like.
FEW_CLUSTERS = 5
#: By what factor the number of clusters may change, beyond the growth of the collection.
MOST_CHANGE = 2.0
#: By how much the share of images in no cluster may grow.
MOST_NOISE = 0.25
#: Share of the images clustered before that must have the same id still.
LEAST_KEPT = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """A run's outcome beside the one in force.

    Attributes:
        old_ids: int64 (n,), the cluster of each image before, -1 for none; images that are new have none.
        new_ids: int64 (n,), the cluster of the same image now, -1 for none.
        read: bool (n,), the run in force read the image; the others came since.
        same_settings: the run was asked for in the same way as the one in force.
    """

    old_ids: NDArray[np.int64]
    new_ids: NDArray[np.int64]
    read: NDArray[np.bool_]
    same_settings: bool


def objections(change: Change) -> tuple[str, ...]:
    """Why the outcome should not be put in force without a person's consent; empty if it may.

    With other settings than before, only an outcome without any cluster is objected to: a change was asked for.
    """
    before, now = _count(change.old_ids), _count(change.new_ids)
    if before and not now:
        return (f"no cluster was found, while {before} are in force",)
    if not before or not change.same_settings:
        return ()
    found = []
    growth = len(change.new_ids) / max(int(change.read.sum()), 1)
    if before >= FEW_CLUSTERS and not before / MOST_CHANGE <= now <= before * MOST_CHANGE * growth:
        found.append(f"{now} clusters were found, while {before} are in force")
    noise_before = float((change.old_ids == NOISE)[change.read].mean()) if change.read.any() else 1.0
    noise_now = float((change.new_ids == NOISE).mean())
    if noise_now > noise_before + MOST_NOISE:
        found.append(f"{noise_now:.0%} of the images are in no cluster, before it were {noise_before:.0%}")
    clustered = change.old_ids != NOISE
    kept = float((change.old_ids == change.new_ids)[clustered].mean())
    if kept < LEAST_KEPT:
        found.append(f"only {kept:.0%} of the clustered images would keep their cluster's id")
    return tuple(found)


def _count(ids: NDArray[np.int64]) -> int:
    return len(np.unique(ids[ids != NOISE]))

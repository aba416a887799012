"""What people correct in the clusters, and the record of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import Hold, NameSource

_UNDO = "undo "
_BY = " by "


class CorrectionKind(Enum):
    """What was done."""

    RENAME = "rename"
    MERGE = "merge"
    SPLIT = "split"
    PIN = "pin"
    UNPIN = "unpin"
    MOVE = "move"
    DISSOLVE = "dissolve"
    REASSIGN_NOISE = "reassign noise"


@dataclass(frozen=True, slots=True)
class Former:
    """What a person may change of a cluster, as it was before a correction.

    Attributes:
        cluster_id: which.
        name: it had.
        name_source: who had chosen it.
        holds: it had.
        created_at: when its id was first given.
    """

    cluster_id: int
    name: str
    name_source: NameSource
    holds: frozenset[Hold]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Correction:
    """The record of a correction; one atomic write replaces it.

    Attributes:
        id: sorts by time of creation.
        kind: what was done.
        author: who did it, as the caller says; may be empty.
        created_at: when.
        clusters: the clusters that were touched; the one that people would name first stands first.
        images: how many images were put elsewhere.
        detail: in words, for instance the new name.
        former: the touched clusters as they were before.
        run: the run that it made; None if no image was put elsewhere.
        undone_at: when it was taken back; None if it stands.
        undone_by: who took it back.
    """

    id: str
    kind: CorrectionKind
    author: str
    created_at: datetime
    clusters: tuple[int, ...]
    images: int
    detail: str
    former: tuple[Former, ...]
    run: str | None = None
    undone_at: datetime | None = None
    undone_by: str = ""


@dataclass(frozen=True, slots=True)
class Moves:
    """Which images a correction put where; kept for good, so that it can be taken back.

    Attributes:
        ids: of the images.
        before: int64 (n,), their clusters before, -1 for none.
        after: int64 (n,), their clusters after, -1 for none.
    """

    ids: list[UUID]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def undo_trigger(correction: str, author: str) -> str:
    """The trigger of a run that takes a correction back.

    Args:
        correction: its id.
        author: who asks; may be empty.
    """
    return f"{_UNDO}{correction}{_BY}{author}" if author else f"{_UNDO}{correction}"


def undone_by(trigger: str) -> tuple[str, str] | None:
    """The inverse of :func:`undo_trigger`: a correction's id and who asks; None for other triggers."""
    if not trigger.startswith(_UNDO):
        return None
    correction, _, author = trigger.removeprefix(_UNDO).partition(_BY)
    return correction, author

"""Which image is in which cluster, as it changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ImageAssignment:
    """Where an image is.

    Attributes:
        image: its id.
        point_id: id of its point in Qdrant: a UUID, or a number as text.
        cluster_id: of the cluster it is in; None: in none.
        removed: it is gone.
    """

    image: str
    point_id: str
    cluster_id: int | None
    removed: bool


@dataclass(frozen=True, slots=True)
class AssignmentChanges:
    """Some changes.

    Attributes:
        assignments: in no order of their own, an image once.
        token: to go on after these; None in the middle of the first snapshot.
        current: everything until ``time`` was told.
        time: when the server sent this.
    """

    assignments: tuple[ImageAssignment, ...]
    token: str | None
    current: bool
    time: datetime

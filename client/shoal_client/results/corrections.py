"""What people correct in the clusters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class CorrectionKind(Enum):
    """What was corrected; UNKNOWN: the server is newer than this client."""

    UNKNOWN = "unknown"
    RENAME = "rename"
    MERGE = "merge"
    SPLIT = "split"
    PIN = "pin"
    UNPIN = "unpin"
    MOVE = "move"
    DISSOLVE = "dissolve"
    REASSIGN_NOISE = "reassign_noise"


@dataclass(frozen=True, slots=True)
class Correction:
    """The record of a correction; it stays for good.

    Attributes:
        author: who did it, as they said; may be empty.
        clusters: ids of those that were touched, the one to name first stands first.
        image_count: how many images were put elsewhere.
        detail: in words, for instance the new name.
        run: id of the run that it made; None if no image was put elsewhere.
        undone_at: when it was taken back; None if it stands.
        undone_by: who took it back; may be empty.
    """

    id: str
    kind: CorrectionKind
    author: str
    created_at: datetime
    clusters: tuple[int, ...]
    image_count: int
    detail: str
    run: str | None = None
    undone_at: datetime | None = None
    undone_by: str = ""


@dataclass(frozen=True, slots=True)
class CorrectionResult:
    """What came of a correction.

    Attributes:
        correction: its record.
        clusters: ids of the touched clusters that exist now, the one to name first stands first.
    """

    correction: Correction
    clusters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NoiseProposal:
    """An image in no cluster and the cluster it would go to; ``similarity`` is a mean cosine similarity, -1 to 1."""

    image_id: str
    cluster_id: int
    similarity: float


@dataclass(frozen=True, slots=True)
class NoiseReassignment:
    """What became, or would become, of images in no cluster.

    Attributes:
        proposals: the most similar first, at most 10,000.
        proposal_count: how many there are in all.
        correction: the record; None if nothing was changed.
    """

    proposals: tuple[NoiseProposal, ...]
    proposal_count: int
    correction: Correction | None

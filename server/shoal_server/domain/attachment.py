"""What Shoal knows of a Qdrant collection that somebody else owns and fills, and that it clusters for them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Distance(Enum):
    """How the owner's collection compares vectors. Shoal itself always compares by cosine similarity."""

    COSINE = "Cosine"
    DOT = "Dot"
    EUCLID = "Euclid"
    MANHATTAN = "Manhattan"


@dataclass(frozen=True, slots=True)
class Attachment:
    """The binding to somebody else's collection; fixed for as long as it is attached.

    Attributes:
        source: name of the Qdrant collection.
        vector: name of the vector that is clustered; empty for the unnamed one.
        distance: how the owner compares it.
        payload_key: the one field of the points' payload that Shoal writes: the cluster's id.
        where: a filter of Qdrant as JSON text, that says which points belong; empty for all.
        made_index: Shoal made the payload index on ``payload_key``, and removes it when it is detached and cleaned.
    """

    source: str
    vector: str
    distance: Distance
    payload_key: str
    where: str = ""
    made_index: bool = False

"""A collection and the model it is bound to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from shoal_server.domain.errors import InvalidName
from shoal_server.domain.schedule import Schedule

_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def check_collection_id(collection: str) -> str:
    """Returns the id if it has the form of one.

    Raises:
        InvalidName: it has not.
    """
    if not _ID.fullmatch(collection):
        raise InvalidName(collection, "a collection's id: 1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter")
    return collection


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The model that makes a collection's vectors. Vectors are compared by cosine similarity.

    Attributes:
        name: for instance ``ViT-B-32/datacomp_xl_s13b_b90k``.
        digest: ``sha256:`` and 64 hexadecimal digits over the weights.
        dimension: length of its vectors.
    """

    name: str
    digest: str
    dimension: int

    def __str__(self) -> str:
        return f"{self.name} ({self.dimension} dimensions, {self.digest[:19]}...)"


@dataclass(frozen=True, slots=True)
class Collection:
    """The record of a collection; one atomic write replaces it.

    Attributes:
        id: unique in the store.
        model: fixed for life.
        created_at: aware, UTC.
        active_run: the run whose cluster ids are in force; None before the first.
        activating_run: the run whose ids are being written back. A crash leaves it set; the next start completes it.
        next_cluster_id: the id the next new cluster gets; only ever grows, so that no id is given twice.
        next_theme_id: likewise for themes.
        next_place_id: likewise for places.
        next_moment_id: likewise for moments.
        schedule: when it is clustered again by itself; None: as the server's settings say.
    """

    id: str
    model: EmbeddingModel
    created_at: datetime
    active_run: str | None = None
    activating_run: str | None = None
    next_cluster_id: int = 1
    next_theme_id: int = 1
    next_place_id: int = 1
    next_moment_id: int = 1
    schedule: Schedule | None = None

"""A collection and the model it is bound to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from shoal_server.domain.attachment import Attachment
from shoal_server.domain.errors import InvalidName
from shoal_server.domain.schedule import Schedule

_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")
#: The form of an id, for people.
COLLECTION_ID = "a collection's id: 1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter"


def is_collection_id(collection: str) -> bool:
    """Whether an id has the form of one."""
    return _ID.fullmatch(collection) is not None


def check_collection_id(collection: str) -> str:
    """Returns the id if it has the form of one.

    Raises:
        InvalidName: it has not.
    """
    if not is_collection_id(collection):
        raise InvalidName(collection, COLLECTION_ID)
    return collection


class Precision(Enum):
    """The numbers that a model computes its vectors with."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The model that makes a collection's vectors. Vectors are compared by cosine similarity.

    Attributes:
        name: for instance ``ViT-B-32/datacomp_xl_s13b_b90k``; empty if nobody said which, as an attached collection's
            may be. Then texts and pictures cannot be compared with its vectors.
        digest: ``sha256:`` and 64 hexadecimal digits over the weights.
        dimension: length of its vectors.
        precision: what its vectors were computed with; those of another precision differ a little.
        reads_text: whether it makes vectors of texts too, in the same space.
    """

    name: str
    digest: str
    dimension: int
    precision: Precision = Precision.FP32
    reads_text: bool = True

    @property
    def known(self) -> bool:
        """Whether it is said which model it is."""
        return bool(self.name)

    @property
    def compares_texts(self) -> bool:
        """Whether texts can be compared with its vectors."""
        return self.known and self.reads_text

    @property
    def peculiarity(self) -> str:
        """What sets it apart from most, for people: "bf16, images only"; empty if nothing does."""
        precision = "" if self.precision is Precision.FP32 else self.precision.value
        return ", ".join(filter(None, (precision, "" if self.reads_text else "images only")))

    def same_weights(self, other: EmbeddingModel) -> bool:
        """Whether it is the same model, in whatever precision."""
        return (self.digest, self.dimension) == (other.digest, other.dimension)

    def __str__(self) -> str:
        peculiarity = f", {self.peculiarity}" if self.peculiarity else ""
        return f"{self.name or 'an unknown model'} ({self.dimension} dimensions, {self.digest[:19]}...{peculiarity})"


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
        attachment: whose points these are; None: Shoal's own.
        version: grows by one with every write of the record; a store takes a write only if it is the next one.
        clusters_version: grows whenever the clusters in force change, or their own records do.
        unusable: why the store cannot open the collection, and what to do; empty if it can. Not stored. Where the
            record itself cannot be read, the model has no name and no dimensions.
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
    attachment: Attachment | None = None
    version: int = 0
    clusters_version: int = 0
    unusable: str = ""

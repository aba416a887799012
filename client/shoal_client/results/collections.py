"""Collections and their models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shoal_client.results.schedules import ScheduleStatus


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The model that turns a collection's images and texts into vectors.

    Attributes:
        name: for instance ``ViT-B-32/datacomp_xl_s13b_b90k``; empty for an attached collection of which nobody said it.
        digest: of the weights, ``sha256:`` and 64 hexadecimal digits.
        dimension: length of the vectors.
        precision: what they are computed with: ``fp32``, ``fp16``, ``bf16`` or ``int8``.
        image_only: no vectors are made of texts.
    """

    name: str
    digest: str
    dimension: int
    precision: str = "fp32"
    image_only: bool = False


@dataclass(frozen=True, slots=True)
class Attachment:
    """The binding to a Qdrant collection that somebody else owns and fills.

    Attributes:
        source: name of the Qdrant collection.
        vector: name of the vector that is clustered; empty for the unnamed one.
        payload_key: the one field of the points' payload that Shoal writes: the cluster's id.
        filter: a filter of Qdrant, as JSON, that says which points belong; empty for all.
    """

    source: str
    vector: str
    payload_key: str
    filter: str


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as it was when asked for.

    Attributes:
        image_count: number of images stored.
        unclustered_count: number of images in no cluster.
        cluster_count: number of clusters of the active run.
        active_run: id of the run whose clusters are in force; None before the first.
        schedule: when it is clustered again by itself.
        attachment: whose points these are; None if Shoal made the collection.
        problem: why it cannot be used, and what to do; empty if it can. Where the server cannot open it, nothing of it
            is counted.
    """

    id: str
    model: EmbeddingModel
    created_at: datetime
    image_count: int
    unclustered_count: int
    cluster_count: int
    active_run: str | None
    schedule: ScheduleStatus
    attachment: Attachment | None = None
    problem: str = ""

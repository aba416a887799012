"""Corrections, and what they would change."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from shoal_server.application.previewing import Preview
from shoal_server.domain import correction as domain
from shoal_server.web.api.models.base import MAX_ID, Asked, Told, moment, word
from shoal_server.web.api.models.runs import none_if_noise


class CorrectionRequest(Asked):
    """What all corrections may say: who asks, and that they only want to know what would change."""

    author: str = ""
    validate_only: bool = False


class RenameRequest(CorrectionRequest):
    """A name; an empty one gives the naming back to the algorithm."""

    display_name: str


class MergeRequest(CorrectionRequest):
    """Clusters to put into the first of them."""

    clusters: Annotated[list[Annotated[int, Field(ge=0, le=MAX_ID)]], Field(max_length=1000)]


class SplitRequest(CorrectionRequest):
    """Images to make a cluster of their own, or how many parts a cluster is to have, 0 for as many as there are."""

    images: Annotated[list[UUID], Field(max_length=10_000)] | None = None
    part_count: int | None = None


class PinRequest(CorrectionRequest):
    """Whether to pin, or to let go."""

    pinned: bool


class MoveRequest(CorrectionRequest):
    """Images, and the cluster to put them into; null puts them into none."""

    images: Annotated[list[UUID], Field(max_length=10_000)]
    cluster: Annotated[int, Field(ge=0, le=MAX_ID)] | None


class ReassignRequest(CorrectionRequest):
    """How similar an image in no cluster must be to join one; the clusters' own measure if left out."""

    min_similarity: float | None = None


class Correction(Told):
    """The record of a correction; ``undo_time`` is null while it stands."""

    id: str
    kind: str
    author: str
    create_time: datetime
    clusters: list[int]
    image_count: int
    detail: str
    run: str | None
    undo_time: datetime | None
    undo_author: str

    @classmethod
    def of(cls, record: domain.Correction) -> Correction:
        """From its record."""
        return cls(
            id=record.id,
            kind=word(record.kind.value),
            author=record.author,
            create_time=record.created_at,
            clusters=list(record.clusters),
            image_count=record.images,
            detail=record.detail,
            run=record.run,
            undo_time=moment(record.undone_at),
            undo_author=record.undone_by,
        )


class CorrectionList(Told):
    """A page of corrections, newest first."""

    corrections: list[Correction]
    next_page_token: str = ""


# A field is called `from`, which is no name in Python.
class PreviewFlow(Told):
    """Images that would go from one cluster to another, null for none, with a few of them."""

    before: Annotated[int | None, Field(serialization_alias="from")]
    before_name: Annotated[str, Field(serialization_alias="from_display_name")]
    to: int | None
    to_display_name: str
    image_count: int
    images: list[UUID]


class PreviewCluster(Told):
    """A cluster before and after, with a few images that would be in it; one that does not exist yet has no name."""

    id: int
    display_name: str
    size_before: int
    size_after: int
    images: list[UUID]


class PreviewAnswer(Told):
    """What a correction would change."""

    kind: str
    detail: str
    image_count: int
    flows: list[PreviewFlow]
    clusters: list[PreviewCluster]

    @classmethod
    def of(cls, preview: Preview) -> PreviewAnswer:
        """From what was worked out."""
        return cls(
            kind=word(preview.kind.value),
            detail=preview.detail,
            image_count=preview.images,
            flows=[
                PreviewFlow(
                    before=none_if_noise(each.before),
                    before_name=each.before_name,
                    to=none_if_noise(each.after),
                    to_display_name=each.after_name,
                    image_count=each.images,
                    images=list(each.examples),
                )
                for each in preview.flows
            ],
            clusters=[
                PreviewCluster(
                    id=each.id,
                    display_name=each.name,
                    size_before=each.size_before,
                    size_after=each.size_after,
                    images=list(each.examples),
                )
                for each in preview.clusters
            ],
        )


class CorrectionResult(Told):
    """What was done and which of its clusters there are, or what would be done."""

    validate_only: bool
    correction: Correction | None = None
    clusters: tuple[int, ...] = ()
    preview: PreviewAnswer | None = None

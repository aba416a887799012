"""Corrections: looked at, carried out and taken back."""

from __future__ import annotations

from fastapi import APIRouter

from shoal_server.application.caller import author_of
from shoal_server.application.page_tokens import page_size as size_of
from shoal_server.application.previewing import Preview
from shoal_server.domain import correction as domain
from shoal_server.web.api.models.corrections import (
    Correction,
    CorrectionList,
    CorrectionRequest,
    CorrectionResult,
    MergeRequest,
    MoveRequest,
    PinRequest,
    PreviewAnswer,
    ReassignRequest,
    RenameRequest,
    SplitRequest,
)
from shoal_server.web.api.paging import Pages
from shoal_server.web.api.routes.parameters import ClusterId, CollectionId, PageSize, PageToken
from shoal_server.web.api.routes.routers import collection_router
from shoal_server.web.api.use_cases import UseCases


def routes(use: UseCases) -> APIRouter:
    """The routes."""
    router = collection_router("corrections")

    async def result(collection: str, outcome: domain.Correction | Preview) -> CorrectionResult:
        if isinstance(outcome, Preview):
            return CorrectionResult(validate_only=True, preview=PreviewAnswer.of(outcome))
        there = await use.curation.existing(collection, outcome.clusters)
        return CorrectionResult(validate_only=False, correction=Correction.of(outcome), clusters=there)

    @router.patch("/clusters/{cluster}")
    async def rename(collection: CollectionId, cluster: ClusterId, asked: RenameRequest) -> CorrectionResult:
        """Gives a cluster a name."""
        does = use.previews if asked.validate_only else use.corrections
        return await result(
            collection, await does.rename(collection, cluster, asked.display_name, author_of(asked.author))
        )

    @router.post("/clusters:merge")
    async def merge(collection: CollectionId, asked: MergeRequest) -> CorrectionResult:
        """Puts the images of clusters into the first of them."""
        does = use.previews if asked.validate_only else use.corrections
        return await result(collection, await does.merge(collection, asked.clusters, author_of(asked.author)))

    @router.post("/clusters/{cluster}:split")
    async def split(collection: CollectionId, cluster: ClusterId, asked: SplitRequest) -> CorrectionResult:
        """Takes a cluster apart, or some images out of it into one of their own."""
        does, author = use.previews if asked.validate_only else use.corrections, author_of(asked.author)
        if asked.images is not None:
            return await result(collection, await does.split_off(collection, cluster, asked.images, author))
        return await result(collection, await does.split(collection, cluster, asked.part_count or 0, author))

    @router.post("/clusters/{cluster}:pin")
    async def pin(collection: CollectionId, cluster: ClusterId, asked: PinRequest) -> CorrectionResult:
        """Pins a cluster, or lets go of it."""
        does = use.previews if asked.validate_only else use.corrections
        return await result(collection, await does.pin(collection, cluster, asked.pinned, author_of(asked.author)))

    @router.post("/clusters/{cluster}:dissolve")
    async def dissolve(collection: CollectionId, cluster: ClusterId, asked: CorrectionRequest) -> CorrectionResult:
        """Takes all images out of a cluster; later runs do not find that group again."""
        does = use.previews if asked.validate_only else use.corrections
        return await result(collection, await does.dissolve(collection, cluster, author_of(asked.author)))

    @router.post("/images:move")
    async def move(collection: CollectionId, asked: MoveRequest) -> CorrectionResult:
        """Puts images into a cluster, or into none."""
        does = use.previews if asked.validate_only else use.corrections
        return await result(
            collection, await does.move(collection, asked.images, asked.cluster, author_of(asked.author))
        )

    @router.post("/images:reassign_noise")
    async def reassign_noise(collection: CollectionId, asked: ReassignRequest) -> CorrectionResult:
        """Puts images that are in no cluster into the nearest, where they are similar enough."""
        if asked.validate_only:
            return await result(collection, await use.reassigning.preview(collection, asked.min_similarity))
        done, _ = await use.reassigning.carry_out(collection, asked.min_similarity, author_of(asked.author))
        return await result(collection, done)

    @router.get("/corrections")
    async def list_corrections(
        collection: CollectionId,
        page_size: PageSize = 0,
        page_token: PageToken = "",
    ) -> CorrectionList:
        """A page of corrections, newest first."""
        pages = Pages("corrections", collection)
        size, cursor = size_of(page_size, 100), pages.cursor(page_token)
        rest = [done for done in await use.corrections.list(collection) if not cursor or done.id < cursor]
        return CorrectionList(
            corrections=[Correction.of(done) for done in rest[:size]],
            next_page_token=pages.token(rest[size - 1].id if len(rest) > size else ""),
        )

    @router.post("/corrections/{correction}:undo")
    async def undo(collection: CollectionId, correction: str, asked: CorrectionRequest) -> CorrectionResult:
        """Takes a correction back, as far as nothing else was done with the same images since."""
        if asked.validate_only:
            return await result(collection, await use.undoing.preview(collection, correction))
        return await result(collection, await use.undoing(collection, correction, author_of(asked.author)))

    return router

"""Tables to take away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from shoal_server.application.exporting import MAX_NAMED
from shoal_server.application.history import Exported
from shoal_server.domain.errors import InvalidField
from shoal_server.web.api.models.base import Asked
from shoal_server.web.api.models.filters import Filter, where_in, where_of
from shoal_server.web.api.routes.parameters import CollectionId, WhereText
from shoal_server.web.api.routes.routers import collection_router
from shoal_server.web.api.tables import Format
from shoal_server.web.api.use_cases import UseCases


class ExportRequest(Asked):
    """Which images, by a filter or one by one; all of them if nothing is said."""

    format: Format
    where: Filter | None = None
    ids: Annotated[list[UUID], Field(max_length=MAX_NAMED)] | None = None


def routes(use: UseCases) -> APIRouter:
    """The routes."""
    router = collection_router("export")

    async def attached(collection: str, form: Format, stretches: AsyncIterator[list[Exported]]) -> StreamingResponse:
        # Before the answer begins it must be known that there is one.
        first: list[Exported] = await anext(stretches, [])

        async def whole() -> AsyncIterator[list[Exported]]:
            yield first
            async for stretch in stretches:
                yield stretch

        return StreamingResponse(
            form.written(whole()),
            media_type=form.media_type,
            headers={
                "content-disposition": f'attachment; filename="{collection}.{form.value}"',
                "cache-control": "no-store",
            },
        )

    @router.get("/export", response_class=StreamingResponse)
    async def export(
        collection: CollectionId,
        form: Annotated[Format, Query(alias="format", description="csv, json or parquet.")],
        where: WhereText = "",
    ) -> StreamingResponse:
        """Every image that a filter lets through, with its cluster and its metadata; broken off if clusters change."""
        return await attached(collection, form, use.exporting.where(collection, where_of(where)))

    @router.post("/export", response_class=StreamingResponse)
    async def export_some(collection: CollectionId, asked: ExportRequest) -> StreamingResponse:
        """Images that are named one by one, or that a filter lets through, with their clusters and their metadata."""
        if asked.ids is None:
            return await attached(collection, asked.format, use.exporting.where(collection, where_in(asked.where)))
        if asked.where is not None:
            raise InvalidField("ids", "there is a filter as well; give one of them")
        return await attached(collection, asked.format, use.exporting.named(collection, asked.ids))

    return router

"""Images that show the same picture."""

from __future__ import annotations

from fastapi import APIRouter

from shoal_server.application.duplicates import Options, Position
from shoal_server.application.page_tokens import page_size as size_of
from shoal_server.web.api.models.duplicates import DuplicateGroup, DuplicateGroupList
from shoal_server.web.api.models.filters import where_of
from shoal_server.web.api.paging import Pages
from shoal_server.web.api.routes.parameters import CollectionId, PageSize, PageToken, WhereText
from shoal_server.web.api.routes.routers import collection_router
from shoal_server.web.api.use_cases import UseCases


def routes(use: UseCases) -> APIRouter:
    """The routes."""
    router = collection_router("duplicates")

    @router.get("/duplicates")
    async def list_duplicates(
        collection: CollectionId,
        where: WhereText = "",
        include_bursts: bool = False,
        include_pairs: bool = False,
        page_size: PageSize = 0,
        page_token: PageToken = "",
    ) -> DuplicateGroupList:
        """A page of groups of duplicates, each with the image that is best kept."""
        pages = Pages("duplicates", collection, where, include_bursts, include_pairs)
        page = await use.duplicates.page(
            collection,
            where_of(where),
            Options(include_bursts, include_pairs),
            Position.of_cursor(pages.cursor(page_token)),
            size_of(page_size, 100),
        )
        following = page.following
        return DuplicateGroupList(
            groups=[DuplicateGroup.of(members) for members in page.groups],
            next_page_token="" if following is None else pages.token(following.cursor()),
            total=page.total,
        )

    return router

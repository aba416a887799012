"""The server and its collections."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter, Request, Response

from shoal_server.application.caller import calling
from shoal_server.application.page_tokens import page_size as size_of
from shoal_server.domain.errors import CollectionNotFound
from shoal_server.web.api.guarding import check_named
from shoal_server.web.api.models.collections import (
    CallerAnswer,
    Collection,
    CollectionList,
    NewCollection,
    StatusAnswer,
)
from shoal_server.web.api.paging import Pages
from shoal_server.web.api.routes.parameters import CollectionId, PageSize, PageToken
from shoal_server.web.api.routes.routers import server_router
from shoal_server.web.api.use_cases import UseCases


def routes(use: UseCases, max_file_bytes: int, keeps_originals: bool) -> APIRouter:
    """The routes.

    Args:
        use: the use cases.
        max_file_bytes: of an image.
        keeps_originals: whether new images' files are kept.
    """
    router = server_router("server")

    async def told(collection: str) -> Collection:
        return Collection.of(await use.overview.get(collection), await use.scheduling.state(collection))

    @router.get("/status")
    async def status() -> StatusAnswer:
        """How the server is, and who asks."""
        caller = calling()
        return StatusAnswer.of(
            await use.status(caller.sees),
            CallerAnswer(name=caller.name, role=caller.role.value, authenticated=caller.authenticated),
            # Why a part does not work may name what is not theirs to know of.
            why=caller.collections is None,
            max_file_bytes=max_file_bytes,
            keeps_originals=keeps_originals,
        )

    @router.get("/collections")
    async def list_collections(page_size: PageSize = 0, page_token: PageToken = "") -> CollectionList:
        """The collections that the caller may know of, by id."""
        pages = Pages("collections")
        after = pages.cursor(page_token)
        page, more = await use.overview.page(after, size_of(page_size, 100), calling().sees)
        collections = []
        for counted in page:
            # One that is deleted meanwhile is not there any more, which is no failure.
            with suppress(CollectionNotFound):
                collections.append(Collection.of(counted, await use.scheduling.state(counted.collection.id)))
        return CollectionList(
            collections=collections, next_page_token=pages.token(page[-1].collection.id if more and page else "")
        )

    @router.post("/collections", status_code=201)
    async def create_collection(request: Request, asked: NewCollection) -> Collection:
        """Makes a collection for the server's model."""
        check_named(request, asked.collection_id)
        await use.overview.create(asked.collection_id, "")
        return await told(asked.collection_id)

    @router.get("/collections/{collection}")
    async def get_collection(collection: CollectionId) -> Collection:
        """A collection with its counts and its schedule."""
        return await told(collection)

    @router.delete("/collections/{collection}", status_code=204)
    async def delete_collection(collection: CollectionId) -> Response:
        """Removes a collection and everything in it."""
        await use.overview.delete(collection)
        return Response(status_code=204)

    return router

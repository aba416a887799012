"""Finding images and clusters, and counting images."""

from __future__ import annotations

from fastapi import APIRouter

from shoal_server.application.page_tokens import offset_of, stretch_of_run
from shoal_server.application.page_tokens import page_size as size_of
from shoal_server.application.ports import DIVERSE_AMONG
from shoal_server.application.queries import check_diversity, check_threshold
from shoal_server.application.search import MAX_DEPTH
from shoal_server.domain.errors import InvalidPageToken
from shoal_server.web.api.models.clusters import AssignAnswer
from shoal_server.web.api.models.filters import where_in
from shoal_server.web.api.models.images import (
    Among,
    FacetAnswer,
    FacetRequest,
    LocationAnswer,
    LocationRequest,
    TimelineAnswer,
)
from shoal_server.web.api.models.queries import (
    ClusterResult,
    ClusterResults,
    ClusterSearch,
    ImageResult,
    ImageResults,
    ImageSearch,
    Picture,
)
from shoal_server.web.api.paging import Pages
from shoal_server.web.api.routes.parameters import CollectionId
from shoal_server.web.api.routes.routers import collection_router
from shoal_server.web.api.use_cases import UseCases

_PAGE = {"page_size", "page_token"}


def routes(use: UseCases) -> APIRouter:
    """The routes."""
    router = collection_router("finding")

    @router.post("/images:search")
    async def search_images(collection: CollectionId, asked: ImageSearch) -> ImageResults:
        """The images most like what is looked for, best first."""
        where, diversity = where_in(asked.where), check_diversity(asked.diversity)
        threshold, tastes = check_threshold(asked.score_threshold), asked.tastes()
        terms = asked.sought() if tastes is None else ()
        pages = Pages("images:search", collection, asked.model_dump(exclude=_PAGE))
        depth = DIVERSE_AMONG if diversity else MAX_DEPTH
        offset = offset_of(pages.cursor(asked.page_token))
        size = min(size_of(asked.page_size, 10), depth - offset)
        if size <= 0:
            raise InvalidPageToken
        # One more than asked for tells whether there is a next page.
        if tastes is None:
            found = await use.search.images(collection, terms, where, size + 1, offset, threshold, diversity)
        else:
            found = await use.search.recommend(collection, *tastes, where, size + 1, offset, threshold, diversity)
        more = len(found) > size and offset + size < depth
        return ImageResults(
            results=[ImageResult.of(scored) for scored in found[:size]],
            next_page_token=pages.token(str(offset + size)) if more else "",
        )

    @router.post("/clusters:search")
    async def search_clusters(collection: CollectionId, asked: ClusterSearch) -> ClusterResults:
        """The clusters most like what is looked for, best first."""
        pages = Pages("clusters:search", collection, asked.model_dump(exclude=_PAGE))
        ranked = await use.search.clusters(collection, asked.sought(), where_in(asked.where))
        size = size_of(asked.page_size, 10)
        page, cursor = stretch_of_run(collection, ranked.run, ranked.clusters, pages.cursor(asked.page_token), size)
        return ClusterResults(
            results=[ClusterResult.of(scored) for scored in page], next_page_token=pages.token(cursor)
        )

    @router.post("/images:assign")
    async def assign_image(collection: CollectionId, asked: Picture) -> AssignAnswer:
        """The cluster that an image belongs to; nothing is stored."""
        return AssignAnswer.of(await use.assign(collection, asked.query()))

    @router.post("/images:facet")
    async def facet_images(collection: CollectionId, asked: FacetRequest) -> FacetAnswer:
        """How many images there are of each camera, year, cluster, ..."""
        limit = size_of(asked.limit, 20, "limit")
        return FacetAnswer.of(await use.faceting(collection, where_in(asked.where), asked.facet_fields(), limit))

    @router.post("/images:timeline")
    async def timeline(collection: CollectionId, asked: Among) -> TimelineAnswer:
        """When images were taken."""
        return TimelineAnswer.of(await use.timeline(collection, where_in(asked.where)))

    @router.post("/images:locations")
    async def locations(collection: CollectionId, asked: LocationRequest) -> LocationAnswer:
        """Where images were taken."""
        return LocationAnswer.of(await use.geotags(collection, where_in(asked.where), asked.limit))

    return router

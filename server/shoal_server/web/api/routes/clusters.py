"""Clusters, and the other groupings."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from shoal_server.application.curation import ClusterOrder
from shoal_server.application.page_tokens import page_size as size_of
from shoal_server.application.page_tokens import stretch_of_run
from shoal_server.web.api.models.clusters import (
    Cluster,
    ClusterList,
    LineageAnswer,
    LineageStep,
    Moment,
    MomentList,
    Place,
    PlaceList,
    Similar,
    SimilarList,
    Theme,
    ThemeList,
)
from shoal_server.web.api.paging import Pages
from shoal_server.web.api.routes.parameters import ClusterId, CollectionId, PageSize, PageToken
from shoal_server.web.api.routes.routers import collection_router
from shoal_server.web.api.use_cases import UseCases


def routes(use: UseCases) -> APIRouter:
    """The routes."""
    router = collection_router("clusters")

    @router.get("/clusters")
    async def list_clusters(
        collection: CollectionId,
        theme: Annotated[list[int] | None, Query(description="Only those below any of these themes.")] = None,
        order_by: Annotated[
            str,
            Query(
                description="size, display_name, cohesion, separation or create_time, perhaps with asc or desc; "
                "without it, those first that the run made largest.",
            ),
        ] = "",
        page_size: PageSize = 0,
        page_token: PageToken = "",
    ) -> ClusterList:
        """A page of the clusters in force."""
        pages = Pages("clusters", collection, theme, order_by)
        listed = await use.curation.list(collection, theme or (), ClusterOrder.of(order_by))
        page, cursor = stretch_of_run(
            collection, listed.run, listed.clusters, pages.cursor(page_token), size_of(page_size, 100)
        )
        return ClusterList(
            clusters=[Cluster.of(counted) for counted in page],
            themes=() if page_token else tuple(Theme.of(each) for each in listed.themes),
            run=listed.run,
            next_page_token=pages.token(cursor),
        )

    @router.get("/clusters/{cluster}")
    async def get_cluster(collection: CollectionId, cluster: ClusterId) -> Cluster:
        """One cluster."""
        return Cluster.of(await use.curation.get(collection, cluster))

    @router.get("/clusters/{cluster}/similar")
    async def similar_clusters(
        collection: CollectionId, cluster: ClusterId, limit: Annotated[int, Query(ge=1, le=100)] = 8
    ) -> SimilarList:
        """The clusters most like one."""
        found = await use.curation.similar(collection, cluster, limit)
        return SimilarList(clusters=[Similar.of(each) for each in found])

    @router.get("/clusters/{cluster}/lineage")
    async def lineage(collection: CollectionId, cluster: ClusterId) -> LineageAnswer:
        """What the runs and corrections that are kept made of a cluster."""
        return LineageAnswer(steps=[LineageStep.of(step) for step in await use.ancestry(collection, cluster)])

    @router.get("/themes")
    async def list_themes(collection: CollectionId) -> ThemeList:
        """All themes in force."""
        found = await use.curation.groupings(collection)
        return ThemeList(themes=[Theme.of(each) for each in found.groupings.themes], run=found.run)

    @router.get("/places")
    async def list_places(
        collection: CollectionId,
        page_size: PageSize = 0,
        page_token: PageToken = "",
    ) -> PlaceList:
        """A page of places."""
        pages = Pages("places", collection)
        found = await use.curation.groupings(collection)
        places, size = found.groupings.places, size_of(page_size, 100)
        page, cursor = stretch_of_run(collection, found.run, places, pages.cursor(page_token), size)
        return PlaceList(places=[Place.of(each) for each in page], next_page_token=pages.token(cursor))

    @router.get("/moments")
    async def list_moments(
        collection: CollectionId,
        page_size: PageSize = 0,
        page_token: PageToken = "",
    ) -> MomentList:
        """A page of moments."""
        pages = Pages("moments", collection)
        found = await use.curation.groupings(collection)
        moments, size = found.groupings.moments, size_of(page_size, 100)
        page, cursor = stretch_of_run(collection, found.run, moments, pages.cursor(page_token), size)
        return MomentList(moments=[Moment.of(each) for each in page], next_page_token=pages.token(cursor))

    return router

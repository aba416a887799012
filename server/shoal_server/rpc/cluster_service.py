"""ClusterService: requests to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import grpc

from shoal.v1 import cluster_pb2, cluster_service_pb2, cluster_service_pb2_grpc
from shoal_server.application.assign import Assign
from shoal_server.application.caller import author_of
from shoal_server.application.clustering import Clustering
from shoal_server.application.corrections import Corrections
from shoal_server.application.curation import CountedCluster, Curation
from shoal_server.application.history import History
from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.page_tokens import stretch_of_run
from shoal_server.application.search import Search
from shoal_server.domain.correction import Correction
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.run import ClusteringRun
from shoal_server.rpc import convert
from shoal_server.rpc.paging import make_token, page_size, read_token
from shoal_server.rpc.resource_names import (
    parse_cluster,
    parse_collection,
    parse_run,
    parse_run_or_collection,
    parse_theme,
)

Context = grpc.aio.ServicerContext[Any, Any]
Entry = TypeVar("Entry")

_Paged = (
    cluster_service_pb2.ListClustersRequest
    | cluster_service_pb2.SearchClustersRequest
    | cluster_service_pb2.ListPlacesRequest
    | cluster_service_pb2.ListMomentsRequest
)


class ClusterService(cluster_service_pb2_grpc.ClusterServiceServicer):
    """Answers for clusters and clustering runs."""

    def __init__(
        self,
        collections: OpenCollections,
        curation: Curation,
        search: Search,
        assign: Assign,
        clustering: Clustering,
        history: History,
        corrections: Corrections[Correction],
    ) -> None:
        self._collections = collections
        self._curation = curation
        self._search = search
        self._assign = assign
        self._clustering = clustering
        self._history = history
        self._corrections = corrections

    async def GetCluster(self, request: cluster_service_pb2.GetClusterRequest, context: Context) -> cluster_pb2.Cluster:
        collection, cluster_id = parse_cluster(request.name)
        return convert.cluster(collection, await self._curation.get(collection, cluster_id))

    async def ListClusters(
        self, request: cluster_service_pb2.ListClustersRequest, context: Context
    ) -> cluster_service_pb2.ListClustersResponse:
        collection = parse_collection(request.parent)
        themes = convert.ids_within(collection, parse_theme, request.themes)
        listed = await self._curation.list(collection, themes)
        page, token = _page(collection, request, listed.run, listed.clusters, 100)
        tree = listed.themes if request.with_themes and not request.page_token else ()
        return cluster_service_pb2.ListClustersResponse(
            clusters=[convert.cluster(collection, counted) for counted in page],
            next_page_token=token,
            themes=[convert.theme(collection, theme) for theme in tree],
        )

    async def UpdateCluster(
        self, request: cluster_service_pb2.UpdateClusterRequest, context: Context
    ) -> cluster_pb2.Cluster:
        collection, cluster_id = parse_cluster(request.cluster.name)
        for path in request.update_mask.paths:
            if path not in ("display_name", "*"):
                raise InvalidField("update_mask", f"{path[:80]!r} cannot be changed; only display_name can")
        await self._corrections.rename(collection, cluster_id, request.cluster.display_name, author_of(request.author))
        return convert.cluster(collection, await self._curation.get(collection, cluster_id))

    async def SearchClusters(
        self, request: cluster_service_pb2.SearchClustersRequest, context: Context
    ) -> cluster_service_pb2.SearchClustersResponse:
        collection = parse_collection(request.parent)
        terms = convert.terms_of(collection, request)
        ranked = await self._search.clusters(collection, terms, convert.image_filter(collection, request.filter))
        page, token = _page(collection, request, ranked.run, ranked.clusters, 10)
        return cluster_service_pb2.SearchClustersResponse(
            results=[
                cluster_service_pb2.SearchClustersResponse.Result(
                    cluster=convert.cluster(collection, CountedCluster(scored.cluster, scored.size)),
                    score=scored.score,
                    matching=scored.matching,
                )
                for scored in page
            ],
            next_page_token=token,
        )

    async def AssignImage(
        self, request: cluster_service_pb2.AssignImageRequest, context: Context
    ) -> cluster_service_pb2.AssignImageResponse:
        collection = parse_collection(request.parent)
        return convert.assignment(collection, await self._assign(collection, convert.query_of(collection, request)))

    async def RunClustering(
        self, request: cluster_service_pb2.RunClusteringRequest, context: Context
    ) -> cluster_pb2.ClusteringRun:
        collection = parse_collection(request.parent)
        run = await self._clustering.start(
            collection, convert.requested_parameters(request.parameters), request.request_id
        )
        return await self._run(collection, run)

    async def GetClusteringRun(
        self, request: cluster_service_pb2.GetClusteringRunRequest, context: Context
    ) -> cluster_pb2.ClusteringRun:
        collection, run = parse_run(request.name)
        return await self._run(collection, await self._clustering.get(collection, run))

    async def ListClusteringRuns(
        self, request: cluster_service_pb2.ListClusteringRunsRequest, context: Context
    ) -> cluster_service_pb2.ListClusteringRunsResponse:
        collection = parse_collection(request.parent)
        size = page_size(request.page_size, 100)
        cursor = read_token(request, request.page_token)
        rest = [run for run in await self._clustering.list(collection) if not cursor or run.id < cursor]
        page = rest[:size]
        return cluster_service_pb2.ListClusteringRunsResponse(
            clustering_runs=[await self._run(collection, run, whole=False) for run in page],
            next_page_token=make_token(request, page[-1].id) if len(rest) > size else "",
        )

    async def CancelClusteringRun(
        self, request: cluster_service_pb2.CancelClusteringRunRequest, context: Context
    ) -> cluster_pb2.ClusteringRun:
        collection, run = parse_run(request.name)
        return await self._run(collection, await self._clustering.cancel(collection, run))

    async def ActivateClusteringRun(
        self, request: cluster_service_pb2.ActivateClusteringRunRequest, context: Context
    ) -> cluster_pb2.ClusteringRun:
        collection, run = parse_run(request.name)
        return await self._run(collection, await self._history.activate(collection, run))

    async def CompareClusteringRuns(
        self, request: cluster_service_pb2.CompareClusteringRunsRequest, context: Context
    ) -> cluster_service_pb2.CompareClusteringRunsResponse:
        collection, base = parse_run(request.base)
        other_collection, other = parse_run(request.other)
        if other_collection != collection:
            raise InvalidField("other", f"is of collection {other_collection!r}, but base of {collection!r}")
        return convert.comparison(collection, await self._history.compare(collection, base, other))

    async def ExportAssignments(
        self, request: cluster_service_pb2.ExportAssignmentsRequest, context: Context
    ) -> AsyncIterator[cluster_service_pb2.ExportAssignmentsResponse]:
        collection, run = parse_run_or_collection(request.name)
        async for stretch in self._history.export(collection, run):
            yield cluster_service_pb2.ExportAssignmentsResponse(
                assignments=[convert.exported(collection, each) for each in stretch]
            )

    async def ListPlaces(
        self, request: cluster_service_pb2.ListPlacesRequest, context: Context
    ) -> cluster_service_pb2.ListPlacesResponse:
        collection = parse_collection(request.parent)
        found = await self._curation.groupings(collection)
        page, token = _page(collection, request, found.run, found.groupings.places, 100)
        return cluster_service_pb2.ListPlacesResponse(
            places=[convert.place(collection, place) for place in page], next_page_token=token
        )

    async def ListMoments(
        self, request: cluster_service_pb2.ListMomentsRequest, context: Context
    ) -> cluster_service_pb2.ListMomentsResponse:
        collection = parse_collection(request.parent)
        found = await self._curation.groupings(collection)
        page, token = _page(collection, request, found.run, found.groupings.moments, 100)
        return cluster_service_pb2.ListMomentsResponse(
            moments=[convert.moment(collection, moment) for moment in page], next_page_token=token
        )

    async def StreamClusteringRun(
        self, request: cluster_service_pb2.StreamClusteringRunRequest, context: Context
    ) -> AsyncIterator[cluster_service_pb2.StreamClusteringRunResponse]:
        collection, run = parse_run(request.name)
        async for state in self._clustering.watch(collection, run):
            yield cluster_service_pb2.StreamClusteringRunResponse(
                clustering_run=await self._run(collection, state, whole=False)
            )

    async def _run(self, collection: str, run: ClusteringRun, *, whole: bool = True) -> cluster_pb2.ClusteringRun:
        opened = await self._collections.open_any(collection)
        return convert.run(collection, run, opened.record.active_run, whole=whole)


def _page(
    collection: str, request: _Paged, run: str, entries: Sequence[Entry], default: int
) -> tuple[Sequence[Entry], str]:
    """The stretch of a run's entries that is asked for, and the token for the next one.

    Raises:
        ClustersChanged: the page before was of another run.
    """
    size = page_size(request.page_size, default)
    page, cursor = stretch_of_run(collection, run, entries, read_token(request, request.page_token), size)
    return page, make_token(request, cursor) if cursor else ""

"""ClusterService: requests to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from shoal.v1 import cluster_pb2, cluster_service_pb2, cluster_service_pb2_grpc
from shoal_server.application.assign import Assign
from shoal_server.application.clustering import Clustering
from shoal_server.application.curation import CountedCluster, Curation
from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.search import Search
from shoal_server.domain.errors import ClustersChanged, InvalidField
from shoal_server.domain.run import ClusteringRun
from shoal_server.rpc import convert
from shoal_server.rpc.paging import make_token, page_size, read_token
from shoal_server.rpc.resource_names import cluster_name, parse_cluster, parse_collection, parse_run

Context = grpc.aio.ServicerContext[Any, Any]


class ClusterService(cluster_service_pb2_grpc.ClusterServiceServicer):
    """Answers for clusters and clustering runs."""

    def __init__(
        self, collections: OpenCollections, curation: Curation, search: Search, assign: Assign, clustering: Clustering
    ) -> None:
        self._collections = collections
        self._curation = curation
        self._search = search
        self._assign = assign
        self._clustering = clustering

    async def GetCluster(self, request: cluster_service_pb2.GetClusterRequest, context: Context) -> cluster_pb2.Cluster:
        collection, cluster_id = parse_cluster(request.name)
        return convert.cluster(collection, await self._curation.get(collection, cluster_id))

    async def ListClusters(
        self, request: cluster_service_pb2.ListClustersRequest, context: Context
    ) -> cluster_service_pb2.ListClustersResponse:
        collection = parse_collection(request.parent)
        size = page_size(request.page_size, 100)
        cursor = read_token(request, request.page_token)
        listed = await self._curation.list(collection)
        offset = _offset(collection, cursor, listed.run)
        page = listed.clusters[offset : offset + size]
        more = len(listed.clusters) > offset + size
        return cluster_service_pb2.ListClustersResponse(
            clusters=[convert.cluster(collection, counted) for counted in page],
            next_page_token=make_token(request, f"{listed.run} {offset + size}") if more else "",
        )

    async def UpdateCluster(
        self, request: cluster_service_pb2.UpdateClusterRequest, context: Context
    ) -> cluster_pb2.Cluster:
        collection, cluster_id = parse_cluster(request.cluster.name)
        for path in request.update_mask.paths:
            if path not in ("display_name", "*"):
                raise InvalidField("update_mask", f"{path[:80]!r} cannot be changed; only display_name can")
        renamed = await self._curation.rename(collection, cluster_id, request.cluster.display_name)
        return convert.cluster(collection, renamed)

    async def SearchClusters(
        self, request: cluster_service_pb2.SearchClustersRequest, context: Context
    ) -> cluster_service_pb2.SearchClustersResponse:
        collection = parse_collection(request.parent)
        query = convert.query_of(
            collection,
            request.text,
            request.image_content,
            request.image_name,
            request.vector,
            request.WhichOneof("query"),
        )
        size = page_size(request.page_size, 10)
        cursor = read_token(request, request.page_token)
        ranked = await self._search.clusters(collection, query)
        offset = _offset(collection, cursor, ranked.run)
        page = ranked.clusters[offset : offset + size]
        more = len(ranked.clusters) > offset + size
        return cluster_service_pb2.SearchClustersResponse(
            results=[
                cluster_service_pb2.SearchClustersResponse.Result(
                    cluster=convert.cluster(collection, CountedCluster(scored.cluster, scored.size)), score=scored.score
                )
                for scored in page
            ],
            next_page_token=make_token(request, f"{ranked.run} {offset + size}") if more else "",
        )

    async def AssignImage(
        self, request: cluster_service_pb2.AssignImageRequest, context: Context
    ) -> cluster_service_pb2.AssignImageResponse:
        collection = parse_collection(request.parent)
        query = convert.query_of(
            collection, "", request.image_content, request.image_name, request.vector, request.WhichOneof("image")
        )
        assignment = await self._assign(collection, query)
        winner = assignment.cluster
        return cluster_service_pb2.AssignImageResponse(
            cluster="" if winner is None else cluster_name(collection, winner.id),
            display_name="" if winner is None else winner.name,
            similarity=assignment.similarity,
            outlier=winner is None,
            alternatives=[
                cluster_service_pb2.AssignImageResponse.Alternative(
                    cluster=cluster_name(collection, alternative.cluster.id),
                    display_name=alternative.cluster.name,
                    similarity=alternative.similarity,
                    share=alternative.share,
                )
                for alternative in assignment.alternatives
            ],
        )

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
            clustering_runs=[await self._run(collection, run) for run in page],
            next_page_token=make_token(request, page[-1].id) if len(rest) > size else "",
        )

    async def CancelClusteringRun(
        self, request: cluster_service_pb2.CancelClusteringRunRequest, context: Context
    ) -> cluster_pb2.ClusteringRun:
        collection, run = parse_run(request.name)
        return await self._run(collection, await self._clustering.cancel(collection, run))

    async def StreamClusteringRun(
        self, request: cluster_service_pb2.StreamClusteringRunRequest, context: Context
    ) -> AsyncIterator[cluster_service_pb2.StreamClusteringRunResponse]:
        collection, run = parse_run(request.name)
        async for state in self._clustering.watch(collection, run):
            yield cluster_service_pb2.StreamClusteringRunResponse(clustering_run=await self._run(collection, state))

    async def _run(self, collection: str, run: ClusteringRun) -> cluster_pb2.ClusteringRun:
        opened = await self._collections.open_any(collection)
        return convert.run(collection, run, opened.record.active_run)


def _offset(collection: str, cursor: str, run: str) -> int:
    """Where a page begins; the cursor says of which run the page before was."""
    if not cursor:
        return 0
    before, _, offset = cursor.rpartition(" ")
    if before != run:
        raise ClustersChanged(collection)
    return int(offset)

"""CollectionService: requests to use cases and back."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from shoal.v1 import collection_pb2, collection_service_pb2, collection_service_pb2_grpc
from shoal_server.application.overview import Overview
from shoal_server.rpc import convert
from shoal_server.rpc.paging import make_token, page_size, read_token
from shoal_server.rpc.resource_names import parse_collection

Context = grpc.aio.ServicerContext[Any, Any]


class CollectionService(collection_service_pb2_grpc.CollectionServiceServicer):
    """Answers for collections."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    async def CreateCollection(
        self, request: collection_service_pb2.CreateCollectionRequest, context: Context
    ) -> collection_pb2.Collection:
        return convert.collection(await self._overview.create(request.collection_id, request.collection.model.name))

    async def GetCollection(
        self, request: collection_service_pb2.GetCollectionRequest, context: Context
    ) -> collection_pb2.Collection:
        return convert.collection(await self._overview.get(parse_collection(request.name)))

    async def ListCollections(
        self, request: collection_service_pb2.ListCollectionsRequest, context: Context
    ) -> collection_service_pb2.ListCollectionsResponse:
        size = page_size(request.page_size, 100)
        after = read_token(request, request.page_token)
        page, more = await self._overview.page(after, size)
        return collection_service_pb2.ListCollectionsResponse(
            collections=[convert.collection(counted) for counted in page],
            next_page_token=make_token(request, page[-1].collection.id) if more and page else "",
        )

    async def DeleteCollection(
        self, request: collection_service_pb2.DeleteCollectionRequest, context: Context
    ) -> Empty:
        await self._overview.delete(parse_collection(request.name))
        return Empty()

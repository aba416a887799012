"""CollectionService: requests to use cases and back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from shoal.v1 import collection_pb2, collection_service_pb2, collection_service_pb2_grpc
from shoal_server.application.attaching import Attaching
from shoal_server.application.caller import calling
from shoal_server.application.overview import CountedCollection, Overview
from shoal_server.application.scheduling import Scheduling
from shoal_server.domain.errors import CollectionNotFound, InvalidField
from shoal_server.rpc import convert
from shoal_server.rpc.paging import make_token, page_size, read_token
from shoal_server.rpc.resource_names import parse_collection

Context = grpc.aio.ServicerContext[Any, Any]


class CollectionService(collection_service_pb2_grpc.CollectionServiceServicer):
    """Answers for collections."""

    def __init__(self, overview: Overview, scheduling: Scheduling, attaching: Attaching) -> None:
        self._overview = overview
        self._scheduling = scheduling
        self._attaching = attaching

    async def CreateCollection(
        self, request: collection_service_pb2.CreateCollectionRequest, context: Context
    ) -> collection_pb2.Collection:
        schedule = convert.requested_schedule(request.collection)
        made = await self._overview.create(request.collection_id, request.collection.model.name)
        if schedule is not None:
            await self._scheduling.set(request.collection_id, schedule)
        return await self._scheduled(made)

    async def GetCollection(
        self, request: collection_service_pb2.GetCollectionRequest, context: Context
    ) -> collection_pb2.Collection:
        return await self._scheduled(await self._overview.get(parse_collection(request.name)))

    async def ListCollections(
        self, request: collection_service_pb2.ListCollectionsRequest, context: Context
    ) -> collection_service_pb2.ListCollectionsResponse:
        size = page_size(request.page_size, 100)
        after = read_token(request, request.page_token)
        page, more = await self._overview.page(after, size, calling().sees)
        collections = []
        for counted in page:
            # One that is deleted meanwhile is not there any more, which is no failure.
            with suppress(CollectionNotFound):
                collections.append(await self._scheduled(counted))
        return collection_service_pb2.ListCollectionsResponse(
            collections=collections,
            next_page_token=make_token(request, page[-1].collection.id) if more and page else "",
        )

    async def UpdateCollection(
        self, request: collection_service_pb2.UpdateCollectionRequest, context: Context
    ) -> collection_pb2.Collection:
        collection = parse_collection(request.collection.name)
        for path in request.update_mask.paths:
            if path not in ("schedule", "*"):
                raise InvalidField("update_mask", f"{path[:80]!r} cannot be changed; only schedule can, as a whole")
        await self._scheduling.set(collection, convert.requested_schedule(request.collection))
        return await self._scheduled(await self._overview.get(collection))

    async def DeleteCollection(
        self, request: collection_service_pb2.DeleteCollectionRequest, context: Context
    ) -> Empty:
        await self._overview.delete(parse_collection(request.name))
        return Empty()

    async def AttachCollection(
        self, request: collection_service_pb2.AttachCollectionRequest, context: Context
    ) -> collection_pb2.Collection:
        asked = request.attachment
        made = await self._attaching.attach(
            request.collection_id,
            asked.source,
            vector=asked.vector,
            payload_key=asked.payload_key,
            where=asked.filter_json,
            model=request.model,
        )
        return await self._scheduled(await self._overview.get(made.id))

    async def DetachCollection(
        self, request: collection_service_pb2.DetachCollectionRequest, context: Context
    ) -> collection_service_pb2.DetachCollectionResponse:
        cleaned = await self._attaching.detach(parse_collection(request.name), clean=request.clean)
        return collection_service_pb2.DetachCollectionResponse(cleaned_count=cleaned)

    async def _scheduled(self, counted: CountedCollection) -> collection_pb2.Collection:
        return convert.collection(counted, await self._scheduling.state(counted.collection.id))

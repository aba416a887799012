"""DuplicateService: requests to use cases and back."""

from __future__ import annotations

from typing import Any

import grpc

from shoal.v1 import duplicate_service_pb2, duplicate_service_pb2_grpc
from shoal_server.application.duplicates import Duplicates, Options, Position
from shoal_server.rpc import convert
from shoal_server.rpc.convert.duplicates import duplicate_group
from shoal_server.rpc.paging import make_token, page_size, read_token
from shoal_server.rpc.resource_names import parse_collection

Context = grpc.aio.ServicerContext[Any, Any]


class DuplicateService(duplicate_service_pb2_grpc.DuplicateServiceServicer):
    """Answers for duplicates."""

    def __init__(self, duplicates: Duplicates) -> None:
        self._duplicates = duplicates

    async def ListDuplicateGroups(
        self, request: duplicate_service_pb2.ListDuplicateGroupsRequest, context: Context
    ) -> duplicate_service_pb2.ListDuplicateGroupsResponse:
        collection = parse_collection(request.parent)
        where = convert.image_filter(collection, request.filter)
        size = page_size(request.page_size, 100)
        after = Position.of_cursor(read_token(request, request.page_token))
        page = await self._duplicates.page(
            collection,
            where,
            Options(request.include_bursts, request.include_pairs),
            after,
            size,
        )
        following = page.following
        return duplicate_service_pb2.ListDuplicateGroupsResponse(
            groups=[duplicate_group(collection, members) for members in page.groups],
            next_page_token="" if following is None else make_token(request, following.cursor()),
            total=page.total,
        )

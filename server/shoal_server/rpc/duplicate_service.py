"""DuplicateService: requests to use cases and back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import grpc

from shoal.v1 import duplicate_service_pb2, duplicate_service_pb2_grpc
from shoal_server.application.duplicates import Duplicates, Options, Position
from shoal_server.domain.errors import InvalidPageToken
from shoal_server.rpc import convert
from shoal_server.rpc.convert.duplicates import duplicate_group
from shoal_server.rpc.paging import make_token, offset_of, page_size, read_token
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
        after = _position_of(read_token(request, request.page_token))
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
            next_page_token="" if following is None else make_token(request, f"{following.size} {following.keeper}"),
            total=page.total,
        )


def _position_of(cursor: str) -> Position | None:
    """How far a listing has come; None where it begins.

    Raises:
        InvalidPageToken: the cursor is not one of this service.
    """
    if not cursor:
        return None
    size, _, keeper = cursor.partition(" ")
    try:
        return Position(offset_of(size), UUID(keeper))
    except ValueError:
        raise InvalidPageToken from None

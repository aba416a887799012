"""ChangeService: requests to the use case and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from shoal.v1 import change_service_pb2, change_service_pb2_grpc
from shoal_server.application.change_feed import ChangeFeed, Placement
from shoal_server.domain.point_ids import point_of_image
from shoal_server.rpc.bookmarks import bookmark_text, read_bookmark
from shoal_server.rpc.resource_names import image_name, parse_collection

Context = grpc.aio.ServicerContext[Any, Any]


class ChangeService(change_service_pb2_grpc.ChangeServiceServicer):
    """Tells what changes."""

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed

    async def WatchAssignments(
        self, request: change_service_pb2.WatchAssignmentsRequest, context: Context
    ) -> AsyncIterator[change_service_pb2.WatchAssignmentsResponse]:
        collection = parse_collection(request.parent)
        changes = self._feed.watch(collection, read_bookmark(request.token), request.until_now)
        async with aclosing(changes):
            async for change in changes:
                response = change_service_pb2.WatchAssignmentsResponse(
                    assignments=[_assignment(collection, placement) for placement in change.placements],
                    token=bookmark_text(change.bookmark),
                    current=change.current,
                )
                response.time.GetCurrentTime()
                yield response


def _assignment(collection: str, placement: Placement) -> change_service_pb2.Assignment:
    return change_service_pb2.Assignment(
        image=image_name(collection, placement.image),
        point_id=str(point_of_image(placement.image)),
        cluster_id=placement.cluster_id,
        removed=placement.removed,
    )

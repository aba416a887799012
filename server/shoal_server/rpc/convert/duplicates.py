"""Groups of duplicates."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.v1 import duplicate_service_pb2
from shoal_server.application.duplicates import Duplicate
from shoal_server.rpc.convert.images import image
from shoal_server.rpc.resource_names import image_name


def duplicate_group(collection_id: str, members: Sequence[Duplicate]) -> duplicate_service_pb2.DuplicateGroup:
    """A group, its keeper being the first of the members."""
    return duplicate_service_pb2.DuplicateGroup(
        members=[
            duplicate_service_pb2.DuplicateGroup.Member(
                image=image(collection_id, each.image), similarity=each.similarity, distance=each.distance
            )
            for each in members
        ],
        keeper=image_name(collection_id, members[0].image.id),
    )

"""Groups of duplicates."""

from __future__ import annotations

from shoal.v1 import duplicate_service_pb2
from shoal_client import names
from shoal_client.conversion.images import image
from shoal_client.results import Duplicate, DuplicateGroup


def duplicate_group(message: duplicate_service_pb2.DuplicateGroup) -> DuplicateGroup:
    """A group."""
    return DuplicateGroup(
        keeper=names.child_id(message.keeper, names.IMAGES),
        members=tuple(Duplicate(image(each.image), each.similarity, each.distance) for each in message.members),
    )

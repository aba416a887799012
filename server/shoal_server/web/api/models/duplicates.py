"""Groups of duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from shoal_server.application.duplicates import Duplicate
from shoal_server.web.api.models.base import Told
from shoal_server.web.api.models.images import Image


class DuplicateMember(Told):
    """An image of a group, with its similarity to the keeper and the bits in which their hashes differ."""

    image: Image
    similarity: float
    distance: int


class DuplicateGroup(Told):
    """Images that show the same picture; the one that is best kept is the first of them."""

    keeper: UUID
    members: list[DuplicateMember]

    @classmethod
    def of(cls, members: Sequence[Duplicate]) -> DuplicateGroup:
        """From what was found."""
        return cls(
            keeper=members[0].image.id,
            members=[
                DuplicateMember(image=Image.of(each.image), similarity=each.similarity, distance=each.distance)
                for each in members
            ],
        )


class DuplicateGroupList(Told):
    """A page of groups, the largest first, and how many there are on all pages."""

    groups: list[DuplicateGroup]
    next_page_token: str = ""
    total: int

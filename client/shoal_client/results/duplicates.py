"""Images that are the same picture in different files."""

from __future__ import annotations

from dataclasses import dataclass

from shoal_client.results.images import Image


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An image of a group of duplicates.

    Attributes:
        similarity: cosine similarity of its embedding to the keeper's, -1 to 1.
        distance: bits of 64 in which its perceptual hash differs from the keeper's, as they are turned alike.
    """

    image: Image
    similarity: float
    distance: int


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Images that show the same picture.

    Attributes:
        keeper: id of the one to keep if only one is kept: it has the most pixels, the most metadata, the most bytes, or
            was first, in this order.
        members: all of them, the keeper first, then by likeness to it.
    """

    keeper: str
    members: tuple[Duplicate, ...]

    @property
    def others(self) -> tuple[Duplicate, ...]:
        """All but the keeper."""
        return tuple(each for each in self.members if each.image.id != self.keeper)

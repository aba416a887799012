"""From pairs of images that show the same picture to groups, each with the image to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.duplicates import Traits, may_be_duplicates


@dataclass(frozen=True, slots=True)
class Alike:
    """Pairs of images that show the same picture.

    Attributes:
        rows: int64 (m,).
        others: int64 (m,), no pair twice in either order.
        similarities: cosine similarity of their embeddings, float32 (m,), -1 to 1.
        distances: bits in which their hashes differ, turned alike, uint8 (m,), 0 to 64.
    """

    rows: NDArray[np.int64]
    others: NDArray[np.int64]
    similarities: NDArray[np.float32]
    distances: NDArray[np.uint8]

    @classmethod
    def joined(cls, parts: Sequence[Alike]) -> Alike:
        """Those of all parts together."""
        return cls(
            np.concatenate([np.zeros(0, np.int64), *(part.rows for part in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(part.others for part in parts)]),
            np.concatenate([np.zeros(0, np.float32), *(part.similarities for part in parts)]),
            np.concatenate([np.zeros(0, np.uint8), *(part.distances for part in parts)]),
        )


@dataclass(frozen=True, slots=True)
class Member:
    """An image of a group.

    Attributes:
        row: of the image.
        similarity: cosine similarity of its embedding to the keeper's, -1 to 1.
        distance: bits in which its hash differs from the keeper's, turned alike.
    """

    row: int
    similarity: float
    distance: int


def groups_of(
    traits: Sequence[Traits], pairs: Alike, *, include_bursts: bool = False, include_pairs: bool = False
) -> list[list[Member]]:
    """Groups of images that show the same picture, no image in two of them.

    The image that is worth most is its group's keeper, and all that are like it are its members, whether they are like
    one another or not: what is only like a member is not drawn in. Images that may not be duplicates of each other are
    not together in a group either, though both are like the keeper.

    Args:
        traits: of n images, in the order of their worth.
        pairs: rows of the images that are alike.
        include_bursts: as :func:`shoal_server.domain.duplicates.may_be_duplicates`.
        include_pairs: likewise.

    Returns:
        The groups of at least two, the largest first, then in the order of their keepers' worth; of each the keeper
        first, its similarity 1 and its distance 0, then by similarity.
    """
    rows = np.concatenate([pairs.rows, pairs.others])
    others = np.concatenate([pairs.others, pairs.rows])
    similarities, distances = np.tile(pairs.similarities, 2), np.tile(pairs.distances, 2)
    order = np.lexsort((others, distances, -similarities, rows))
    rows, others, similarities, distances = rows[order], others[order], similarities[order], distances[order]
    bounds = np.searchsorted(rows, np.arange(len(traits) + 1))
    taken = np.zeros(len(traits), np.bool_)
    groups = []
    for keeper in np.unique(rows).tolist():
        if taken[keeper]:
            continue
        group = _Group(traits[keeper], keeper, include_bursts, include_pairs)
        for place in range(bounds[keeper], bounds[keeper + 1]):
            row = int(others[place])
            if not taken[row]:
                group.offer(traits[row], Member(row, float(similarities[place]), int(distances[place])))
        if len(group.members) > 1:
            taken[[member.row for member in group.members]] = True
            groups.append(group.members)
    return sorted(groups, key=lambda members: -len(members))


class _Group:
    """A group in the making."""

    def __init__(self, keeper: Traits, row: int, include_bursts: bool, include_pairs: bool) -> None:
        self.members = [Member(row, 1.0, 0)]
        self._include = {"include_bursts": include_bursts, "include_pairs": include_pairs}
        # Only these can tell images apart: an image of each shot, and those of the same name.
        self._shots: dict[object, Traits] = {}
        self._named: dict[str, list[Traits]] = {}
        self._note(keeper)

    def offer(self, traits: Traits, member: Member) -> None:
        """Takes the image in, unless it may be no duplicate of one that is in."""
        shots = [] if _shot(traits) in self._shots else self._shots.values()
        named = [each for file in traits.files for each in self._named.get(file, ())]
        if all(may_be_duplicates(traits, each, **self._include) for each in (*shots, *named)):
            self._note(traits)
            self.members.append(member)

    def _note(self, traits: Traits) -> None:
        self._shots.setdefault(_shot(traits), traits)
        for file in traits.files:
            self._named.setdefault(file, []).append(traits)


def _shot(traits: Traits) -> object:
    """What is equal for files of one shot; None if nothing is known of it."""
    return None if traits.second is None else (traits.camera, traits.second, traits.fraction, traits.number)

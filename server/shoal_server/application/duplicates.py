"""Groups of images that show the same picture."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakKeyDictionary

import numpy as np

from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.page_tokens import offset_of
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import Where
from shoal_server.domain.duplicate_candidates import candidates
from shoal_server.domain.duplicate_groups import Alike, groups_of
from shoal_server.domain.duplicates import Traits, alike
from shoal_server.domain.errors import InvalidPageToken
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import Image, Vector
from shoal_server.domain.trait_table import Rows, TraitTable

#: Images read from the store at once.
_READ = 1000
#: Pairs whose vectors are compared at once.
_PAIRS = 4096
#: Vectors kept for the pairs that are compared next: more than two for each pair compared at once.
_VECTORS = 3 * _PAIRS
#: Searches at once, of different collections: each takes a processor and memory.
_SEARCHES = 2
#: Results kept in memory.
_KEPT = 8
#: Images on a page of groups, but for a group that is larger: a page must fit into a message.
_PAGE_IMAGES = 2000


@dataclass(frozen=True, slots=True)
class Options:
    """Which images count as duplicates.

    Attributes:
        include_bursts: the photographs of a burst as well.
        include_pairs: files of one shot in different formats as well.
    """

    include_bursts: bool = False
    include_pairs: bool = False


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An image of a group.

    Attributes:
        similarity: cosine similarity of its embedding to the keeper's, -1 to 1.
        distance: bits of 64 in which its hash differs from the keeper's, turned alike.
    """

    image: Image
    similarity: float
    distance: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a listing has come.

    Attributes:
        size: of the last group listed.
        keeper: of the last group listed.
    """

    size: int
    keeper: UUID

    def cursor(self) -> str:
        """Text for a page token, which :meth:`of_cursor` reads."""
        return f"{self.size} {self.keeper}"

    @classmethod
    def of_cursor(cls, cursor: str) -> Position | None:
        """The position that a text stands for; None for an empty one, where a listing begins.

        Raises:
            InvalidPageToken: it is not one of :meth:`cursor`.
        """
        if not cursor:
            return None
        size, _, keeper = cursor.partition(" ")
        try:
            return cls(offset_of(size), UUID(keeper))
        except ValueError:
            raise InvalidPageToken from None


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the groups.

    Attributes:
        groups: the members of each, its keeper first.
        following: where the next page begins; None on the last.
        total: groups on all pages.
    """

    groups: list[list[Duplicate]]
    following: Position | None
    total: int


@dataclass(frozen=True, slots=True)
class _Member:
    """What is remembered of an image of a group."""

    id: UUID
    similarity: float
    distance: int


_Groups = list[tuple[_Member, ...]]


class Duplicates:
    """Finds the groups; those found last are remembered until images come, go or change.

    An image is compared with a bounded number of others, see
    :func:`shoal_server.domain.duplicate_candidates.candidates`: where hundreds of pictures are all but the same, some
    of a group may be missed.
    """

    def __init__(self, collections: OpenCollections, store: ImageStore) -> None:
        self._collections = collections
        self._store = store
        self._kept: OrderedDict[object, _Groups] = OrderedDict()
        # Who asks for the next page of a collection while it is being searched asks for the same.
        self._searching: WeakKeyDictionary[OpenCollection, asyncio.Lock] = WeakKeyDictionary()
        self._searches = asyncio.Semaphore(_SEARCHES)

    async def page(self, collection: str, where: Where, options: Options, after: Position | None, limit: int) -> Page:
        """Groups, the largest first, then by the ids of their keepers.

        The pages of a listing are of one result unless images came, went or changed between them. Then the next page
        is of what there is now: the groups that come after the last one listed. A group that grew or shrank meanwhile
        may then be listed twice or not at all.

        Args:
            collection: of which.
            where: among which images.
            options: what counts.
            after: where the page begins; None begins the listing.
            limit: at most so many groups, at least 1; fewer where they are very large.

        Raises:
            ShoalError: as :meth:`Where.as_filter` and :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        groups = await self._groups(opened, where, options)
        rest = [group for group in groups if after is None or _order(group) > (-after.size, after.keeper)]
        page: _Groups = []
        for group in rest[:limit]:
            if page and sum(map(len, page)) + len(group) > _PAGE_IMAGES:
                break
            page.append(group)
        more = len(rest) > len(page)
        following = Position(len(page[-1]), page[-1][0].id) if more else None
        return Page(await self._with_images(opened, page), following, len(groups))

    async def _with_images(self, opened: OpenCollection, groups: _Groups) -> list[list[Duplicate]]:
        """The groups with their images as they are now; without what was removed this very moment."""
        async with opened.gate.reading():
            stored = await self._store.get_images(opened.id, [member.id for group in groups for member in group])
        filled = [
            [Duplicate(stored[each.id], each.similarity, each.distance) for each in group if each.id in stored]
            for group in groups
            if group[0].id in stored
        ]
        return [group for group in filled if len(group) > 1]

    async def _groups(self, opened: OpenCollection, where: Where, options: Options) -> _Groups:
        async with self._searching.setdefault(opened, asyncio.Lock()):
            async with opened.gate.reading():
                chosen = where.as_filter(opened)
                # A run or a correction changes which images are in a cluster, and so what a filter lets through.
                key = (opened, opened.images_version, opened.record.active_run, chosen, options)
            if key not in self._kept:
                async with self._searches:
                    self._kept[key] = await self._search(opened, chosen, options)
            self._kept.move_to_end(key)
            groups = self._kept[key]
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return groups

    async def _search(self, opened: OpenCollection, chosen: ImageFilter, options: Options) -> _Groups:
        traits: list[Traits] = []
        after: UUID | None = None
        while True:
            async with opened.gate.reading():
                images, after = await self._store.page_images(opened.id, chosen, after, _READ)
            traits += await asyncio.to_thread(_traits, images)
            if after is None:
                break
        traits.sort(key=lambda each: each.worth)
        table = await asyncio.to_thread(TraitTable, traits)
        vectors = _Vectors(self._store, opened.id)
        found = []
        pairs = _candidates(table, options)
        while (stretch := await asyncio.to_thread(next, pairs, None)) is not None:
            ids = [traits[row].id for row in np.union1d(*stretch)]
            found.append(await asyncio.to_thread(_alike, table, *stretch, await vectors.of(ids)))
        groups = await asyncio.to_thread(
            groups_of,
            traits,
            Alike.joined(found),
            include_bursts=options.include_bursts,
            include_pairs=options.include_pairs,
        )
        members = [
            tuple(_Member(traits[each.row].id, each.similarity, each.distance) for each in group) for group in groups
        ]
        return sorted(members, key=_order)


class _Vectors:
    """Reads vectors; those read last are kept, for what is compared next is often of the same images."""

    def __init__(self, store: ImageStore, collection: str) -> None:
        self._store = store
        self._collection = collection
        self._held: dict[UUID, Vector] = {}

    async def of(self, ids: Sequence[UUID]) -> dict[UUID, Vector]:
        """Vectors of these images and perhaps of others; without those of images that are gone."""
        missing = [each for each in ids if each not in self._held]
        if missing:
            if len(self._held) + len(missing) > _VECTORS:
                self._held = {each: self._held[each] for each in ids if each in self._held}
            self._held |= await self._store.get_vectors(self._collection, missing)
        return self._held


def _order(group: Sequence[_Member]) -> tuple[int, UUID]:
    return -len(group), group[0].id


def _traits(images: Sequence[Image]) -> list[Traits]:
    return [each for each in map(Traits.of, images) if each.hash is not None]


def _candidates(table: TraitTable, options: Options) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of images that are duplicates if their embeddings are alike, a bounded number at a time, at least one."""
    held: list[tuple[Rows, Rows]] = []
    for rows, others in candidates(table, include_bursts=options.include_bursts):
        may = table.may_be_duplicates(
            rows, others, include_bursts=options.include_bursts, include_pairs=options.include_pairs
        )
        held.append((rows[may], others[may]))
        if sum(len(each) for each, _ in held) >= _PAIRS:
            yield from _cut(held)
            held = []
    yield from _cut(held)


def _cut(held: Sequence[tuple[Rows, Rows]]) -> Iterator[tuple[Rows, Rows]]:
    if not held:
        return
    rows, others = (np.concatenate(each) for each in zip(*held, strict=True))
    for start in range(0, len(rows), _PAIRS):
        yield rows[start : start + _PAIRS], others[start : start + _PAIRS]


def _alike(table: TraitTable, rows: Rows, others: Rows, vectors: Mapping[UUID, Vector]) -> Alike:
    """Which of some pairs show the same picture; an image that is gone shows none."""
    images, places = np.unique(np.concatenate([rows, others]), return_inverse=True)
    ids = [table.traits[row].id for row in images]
    there = np.array([each in vectors for each in ids], np.bool_)
    if not there.any():
        return Alike.joined([])
    # Rows of images that are gone are never looked at.
    stacked = np.stack([vectors[each] for each in ids if each in vectors])
    row_of = np.cumsum(there) - 1
    left, right = places[: len(rows)], places[len(rows) :]
    both = there[left] & there[right]
    rows, others, left, right = rows[both], others[both], row_of[left[both]], row_of[right[both]]
    similarities = np.clip(np.einsum("ij,ij->i", stacked[left], stacked[right]), -1, 1)
    compared = table.likeness(rows, others)
    fits = alike(compared, similarities)
    return Alike(rows[fits], others[fits], similarities[fits], compared.distances[fits])

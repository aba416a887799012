"""Finding out, while images are stored, which of them are there already in another file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import numpy as np

from shoal_server.application.open_collections import OpenCollection
from shoal_server.application.ports import ImageStore
from shoal_server.domain.duplicates import LEAST_SIMILARITY, Traits, alike, likeness, may_be_duplicates
from shoal_server.domain.filters import ImageFilter, OneOf
from shoal_server.domain.image import Image, ScoredImage, Vector
from shoal_server.domain.phash import turned_texts

#: Nearest stored images that each new one is compared with.
_NEAREST = 10
#: Most stored images of the same hash as one of the new ones, or of its turned hashes, that these are compared with.
_SAME_HASH = 256
#: Questions to the store at once, of all that are storing images: it has searches to answer as well.
_QUERIES = 4


class NearDuplicates:
    """Finds the stored images that new ones are near-duplicates of.

    What it finds are duplicates by the rule that groups are made by; it may miss some that groups would have, for it
    looks only at stored images of the very same hash (turned in any way) and at the nearest ones by embedding.
    Photographs of a burst and files of one shot are not duplicates.
    """

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._queries = asyncio.Semaphore(_QUERIES)

    async def find(self, opened: OpenCollection, images: Sequence[tuple[Image, Vector]]) -> list[Image | None]:
        """Looks for originals of images that are about to be stored together.

        Whoever then tells the cluster of what was found holds the collection's gate from before this call.

        Args:
            opened: where they are to be stored.
            images: with their unit vectors, float32 (dimension,).

        Returns:
            For each the most similar image that it is a near-duplicate of: a stored one, or an earlier one of the same
            call that is no near-duplicate itself; None if there is none.
        """
        same = await self._of_same_hash(opened, [image for image, _ in images])
        nearest = await asyncio.gather(*(self._nearest(opened, *each) for each in images))
        return await asyncio.to_thread(_originals, images, same, nearest)

    async def _of_same_hash(self, opened: OpenCollection, images: Sequence[Image]) -> list[tuple[Image, Vector]]:
        hashes = {text for image in images for text in _turned(image)}
        if not hashes:
            return []
        where = ImageFilter(conditions=(OneOf("phash", tuple(sorted(hashes))),))
        stored, _ = await self._store.page_images(opened.id, where, None, _SAME_HASH)
        vectors = await self._store.get_vectors(opened.id, [image.id for image in stored])
        return [(image, vectors[image.id]) for image in stored if image.id in vectors]

    async def _nearest(self, opened: OpenCollection, image: Image, vector: Vector) -> list[ScoredImage]:
        if not _turned(image):
            return []
        async with self._queries:
            return await self._store.query_images(
                opened.id, vector, ImageFilter(), _NEAREST, score_threshold=LEAST_SIMILARITY
            )


def _turned(image: Image) -> tuple[str, ...]:
    """The image's hash turned in every way; empty if it has none that says anything."""
    meaningful = Traits.of(image).hash is not None
    return turned_texts(image.phash) if meaningful and image.phash is not None else ()


def _originals(
    images: Sequence[tuple[Image, Vector]],
    same: Sequence[tuple[Image, Vector]],
    nearest: Sequence[Sequence[ScoredImage]],
) -> list[Image | None]:
    """For each image the one that it is a near-duplicate of.

    Args:
        images: with their vectors.
        same: stored images of the same hash as some of them.
        nearest: of each the stored images nearest to it.
    """
    traits: dict[UUID, Traits] = {}
    for image in (*(each for each, _ in (*images, *same)), *(each.image for near in nearest for each in near)):
        if image.id not in traits:
            traits[image.id] = Traits.of(image)
    found: list[Image | None] = []
    earlier: list[tuple[Image, Vector]] = []
    for (image, vector), near in zip(images, nearest, strict=True):
        wanted = set(_turned(image))
        known = {scored.image.id: scored for scored in near}
        for other, others in (*(each for each in same if each[0].phash in wanted), *earlier):
            known[other.id] = ScoredImage(other, float(others @ vector))
        original = _original(image, known.values(), traits) if wanted else None
        if wanted and original is None:
            earlier.append((image, vector))
        found.append(original)
    return found


def _original(image: Image, known: Iterable[ScoredImage], traits: Mapping[UUID, Traits]) -> Image | None:
    """The most similar of some images that the image is a duplicate of; of equals the first stored."""
    mine = traits[image.id]
    others = [
        (scored, other)
        for scored in known
        if (other := traits[scored.image.id]).hash is not None
        and other.id != mine.id
        and may_be_duplicates(mine, other)
    ]
    if not others:
        return None
    compared = likeness([mine] * len(others), [other for _, other in others])
    fits = alike(compared, np.array([scored.score for scored, _ in others], np.float32))
    best = [scored for (scored, _), fit in zip(others, fits, strict=True) if fit]
    first = min(best, key=lambda each: (-each.score, each.image.ingested_at, each.image.id), default=None)
    return None if first is None else first.image

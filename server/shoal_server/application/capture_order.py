"""Pages of images in the order of their capture time, the same on every store.

A store orders by time but says nothing of images with the very same one, and an archive may have thousands of them. So
of equal times the ids decide: a page ends at an image, and the next begins after it, whatever came or went meanwhile.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from shoal_server.application.ports import CapturePosition
from shoal_server.domain.filters import During, ImageFilter
from shoal_server.domain.image import Image
from shoal_server.domain.payload import CAPTURED_LOCAL

#: As fine as times are.
_TICK = timedelta(microseconds=1)
#: No id comes after it.
_LAST_ID = UUID(int=2**128 - 1)


class CaptureReader(Protocol):
    """What a store must be able to do."""

    async def page_images(
        self, collection: str, where: ImageFilter, after: UUID | None, limit: int
    ) -> tuple[list[Image], UUID | None]:
        """As in :class:`ImageStore`; ``after`` need not be an image's id."""
        ...

    async def first_by_capture(self, collection: str, where: ImageFilter, limit: int, descending: bool) -> list[Image]:
        """The first images in the order of their capture time; equal times in any order."""
        ...


async def page_in_capture_order(
    store: CaptureReader,
    collection: str,
    where: ImageFilter,
    after: CapturePosition | None,
    limit: int,
    descending: bool,
) -> tuple[list[Image], CapturePosition | None]:
    """As :meth:`ImageStore.page_by_capture`; in at most three calls."""
    # One more than asked for, to know whether this is the last page.
    wanted = limit + 1
    page: list[Image] = []
    rest: ImageFilter | None = where
    if after is not None:
        time = datetime.fromisoformat(after.captured_local)
        page = await _at(store, collection, where, time, after.image, wanted)
        rest = _beyond(where, time, descending)
    if rest is not None and len(page) < wanted:
        missing = wanted - len(page)
        found = await store.first_by_capture(collection, rest, missing, descending)
        times = {image.id: _time_of(image) for image in found}
        if len(found) == missing:
            # Which of the images with the last time were found is up to the store.
            last = times[found[-1].id]
            found = [image for image in found if times[image.id] != last]
            found += await _at(store, collection, rest, last, None, missing - len(found))
        found.sort(key=lambda image: image.id)
        found.sort(key=_time_of, reverse=descending)
        page += found
    if len(page) < wanted:
        return page, None
    last_listed = page[limit - 1]
    return page[:limit], CapturePosition(_time_of(last_listed).isoformat(), last_listed.id)


async def _at(
    store: CaptureReader, collection: str, where: ImageFilter, time: datetime, listed: UUID | None, limit: int
) -> list[Image]:
    """Images of this very time with an id above the listed one, in the order of their ids."""
    before = None if time == datetime.max else time + _TICK
    if listed == _LAST_ID:
        return []
    following = None if listed is None else UUID(int=listed.int + 1)
    same = ImageFilter(conditions=(During(CAPTURED_LOCAL, time, before),), all_of=(where,))
    images, _ = await store.page_images(collection, same, following, limit)
    return images


def _beyond(where: ImageFilter, time: datetime, descending: bool) -> ImageFilter | None:
    """What comes after a time; None if nothing can."""
    if descending:
        condition = During(CAPTURED_LOCAL, before=time)
    elif time == datetime.max:
        return None
    else:
        condition = During(CAPTURED_LOCAL, earliest=time + _TICK)
    return ImageFilter(conditions=(condition,), all_of=(where,))


def _time_of(image: Image) -> datetime:
    """What the camera's clock showed."""
    return datetime.fromisoformat(image.metadata.captured_at or "").replace(tzinfo=None)

"""Looking at stored images, changing what people say of them, and removing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from shoal_server.application.open_collections import OpenCollection, OpenCollections, check_there
from shoal_server.application.ownership import check_own
from shoal_server.application.ports import CapturePosition, ImageFiles, ImageStore
from shoal_server.application.queries import Where
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.errors import ImageNotFound
from shoal_server.domain.filters import ImageFilter, Present
from shoal_server.domain.image import Attribute, Image, Sha256, check_source, image_id
from shoal_server.domain.payload import CAPTURED_LOCAL


@dataclass(frozen=True, slots=True)
class Position:
    """How far a listing has come.

    Attributes:
        capture: among the images with a capture time; None if the listing is not, or no longer, by it.
        after: among the others, which come in the order of their ids; None begins.
    """

    capture: CapturePosition | None = None
    after: UUID | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """New values of what people say of an image; None leaves it as it is."""

    uri: str | None = None
    tags: tuple[str, ...] | None = None
    attributes: Mapping[str, Attribute] | None = None


class Images:
    """Reads, changes and removes single images."""

    def __init__(
        self,
        collections: OpenCollections,
        store: ImageStore,
        files: ImageFiles,
        changed: Callable[[str, int], None] = lambda collection, by: None,
    ) -> None:
        """Args:
        collections: whose.
        store: of the images.
        files: kept for them.
        changed: told the collection, and by how many its number of images changed.
        """
        self._collections = collections
        self._store = store
        self._files = files
        self._changed = changed

    async def get(self, collection: str, image: UUID) -> Image:
        """Raises:
        ImageNotFound: there is none of that id.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            return await self._stored(opened, image)

    async def some(self, collection: str, images: Sequence[UUID]) -> list[Image]:
        """Those of the images that are there, in their order."""
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            found = await self._store.get_images(collection, images)
        return [found[each] for each in images if each in found]

    async def check(self, collection: str, sha256s: Sequence[Sha256]) -> list[Sha256]:
        """Those of the files that are stored, in their order."""
        await self._collections.open(collection)
        stored = await self._store.get_images(collection, [*map(image_id, sha256s)])
        return [sha256 for sha256 in sha256s if image_id(sha256) in stored]

    async def page(
        self, collection: str, where: Where, after: Position | None, limit: int
    ) -> tuple[list[Image], Position | None]:
        """Images in the order of their ids.

        Args:
            collection: whose.
            where: which.
            after: the second part of the answer before; None begins.
            limit: at most this many, at least 1.

        Returns:
            The images, and what to pass as ``after`` for the next page, or None if this is the last.

        Raises:
            ShoalError: as :meth:`Where.as_filter` and :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            return await self._by_id(opened, where.as_filter(opened), after, limit)

    async def page_by_capture(
        self, collection: str, where: Where, after: Position | None, limit: int, *, descending: bool
    ) -> tuple[list[Image], Position | None]:
        """As :meth:`page`, in the order of what the camera's clock showed; images without a time come last."""
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            among = where.as_filter(opened)
            timed: list[Image] = []
            if after is None or after.capture is not None:
                timed, position = await self._store.page_by_capture(
                    collection, among, None if after is None else after.capture, limit, descending
                )
                if position is not None:
                    return timed, Position(capture=position)
                after = None
            untimed = ImageFilter(all_of=(among,), none_of=(ImageFilter(conditions=(Present(CAPTURED_LOCAL),)),))
            if len(timed) == limit:
                more = await self._store.count_images(collection, untimed)
                return timed, Position() if more else None
            rest, following = await self._by_id(opened, untimed, after, limit - len(timed))
            return [*timed, *rest], following

    async def update(self, collection: str, image: UUID, changes: Changes) -> Image:
        """Changes what people say of an image.

        Raises:
            ImageNotFound: there is none of that id.
            InvalidField: as :func:`check_source`.
            AttachedCollection: it is somebody else's.
        """
        opened = await self._collections.open(collection)
        check_own(opened, "its images cannot be changed")
        check_source(changes.uri or "", changes.tags or (), changes.attributes or {})
        return await unbroken(self._update(opened, image, changes))

    async def delete(self, collection: str, image: UUID) -> None:
        """Removes an image with all that is kept for it.

        Raises:
            ImageNotFound: there is none of that id.
            AttachedCollection: it is somebody else's.
        """
        opened = await self._collections.open(collection)
        check_own(opened, "images cannot be removed from it")
        await unbroken(self._delete(opened, image))

    async def _update(self, opened: OpenCollection, image: UUID, changes: Changes) -> Image:
        async with opened.gate.reading(), opened.changing:
            check_there(opened)
            stored = await self._stored(opened, image)
            changed = replace(
                stored,
                uri=stored.uri if changes.uri is None else changes.uri,
                tags=stored.tags if changes.tags is None else tuple(dict.fromkeys(changes.tags)),
                attributes=stored.attributes if changes.attributes is None else changes.attributes,
            )
            if changed != stored:
                await self._store.update_image(opened.id, changed)
                opened.images_version += 1
        return changed

    async def _delete(self, opened: OpenCollection, image: UUID) -> None:
        async with opened.gate.reading(), opened.changing:
            check_there(opened)
            await self._stored(opened, image)
            # The files first: if the server ends in between, the image is still there to be deleted again.
            await self._files.delete(opened.id, [image])
            await self._store.delete_images(opened.id, [image])
            opened.images_version += 1
            self._changed(opened.id, -1)

    async def _stored(self, opened: OpenCollection, image: UUID) -> Image:
        found = await self._store.get_images(opened.id, [image])
        if image not in found:
            raise ImageNotFound(opened.id, str(image))
        return found[image]

    async def _by_id(
        self, opened: OpenCollection, among: ImageFilter, after: Position | None, limit: int
    ) -> tuple[list[Image], Position | None]:
        start = None if after is None else after.after
        images, following = await self._store.page_images(opened.id, among, start, limit)
        return images, None if following is None else Position(after=following)

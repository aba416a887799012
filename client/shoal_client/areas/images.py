"""Images: storing, reading, changing, removing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from google.protobuf import field_mask_pb2

from shoal.v1 import image_pb2, image_service_pb2
from shoal_client import conversion, names
from shoal_client.areas.area import Area
from shoal_client.bulk.messages import image_message, options_message
from shoal_client.errors import InternalError, InvalidArgument
from shoal_client.filters import Attribute, ImageFilter
from shoal_client.ingest import PATIENCE_S, IngestOptions, ingest
from shoal_client.paging import MAX_PAGE, walk
from shoal_client.queries import ImageOrder
from shoal_client.results import Image, IngestResult
from shoal_client.sources import (
    Common,
    ImageInput,
    ImageSource,
    NearDuplicates,
    NewImage,
    check_several,
    open_source,
    read_source,
)
from shoal_client.whole_file import whole_file


class Images(Area):
    """The images of a collection."""

    def ingest(
        self,
        sources: Iterable[ImageSource],
        *,
        tags: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        drop_location: bool = False,
        near_duplicates: NearDuplicates | None = None,
        by_uri: bool = False,
        journal: str | os.PathLike[str] | None = None,
        patience: float = PATIENCE_S,
    ) -> AsyncGenerator[IngestResult, None]:
        """Stores images and yields what became of each, in their order. A bad image fails alone.

        Ingesting the same bytes again stores and embeds nothing, so a broken ingest is simply repeated; with a journal,
        what is stored is not even read again. An image that the server has no room for is sent again, and a stream that
        breaks is begun anew with what was not answered.

        Args:
            sources: paths, files' bytes, tuples of either with a URI and tags, or NewImage. Iterated in a thread, a few
                dozen ahead; of what is read ahead, 64 MiB are in memory. An image larger than a message is sent in
                several.
            tags: given to every image: at most 64, of at most 256 characters.
            attributes: given to every image; its own come first.
            drop_location: do not store where the pictures were taken.
            near_duplicates: what to do with an image that looks like a stored one; None: as the server is set.
            by_uri: send only where the pictures are; the server reads them itself, if it is allowed to.
            journal: a file that remembers which files were stored, made if it is not there. Those are asked for, and
                neither read nor sent if the server has them: their outcome is KNOWN.
            patience: seconds for which the ingest goes on trying while nothing gets in, counted from the first attempt
                that failed. A server that has not answered this client before is not waited for.

        Raises:
            InvalidArgument: a single image was given instead of a list.
            ShoalError: the ingest as a whole failed; what was yielded before is stored.
        """
        check_several(sources)
        options = IngestOptions(
            Common(tuple(tags), dict(attributes or {}), by_uri),
            drop_location=drop_location,
            near_duplicates=near_duplicates,
            journal=None if journal is None else Path(journal),
            patience_s=patience,
        )
        return ingest(self._transport, self._parent, sources, options)

    async def add(
        self,
        image: ImageInput,
        *,
        uri: str = "",
        tags: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        drop_location: bool = False,
        near_duplicates: NearDuplicates | None = None,
    ) -> Image:
        """Stores one image; answers when it is safe.

        Of bytes that are stored already the answer is the stored image, with the tags and attributes added to it; so it
        is with an image that looks like a stored one, if ``near_duplicates`` is SKIP.

        Args:
            image: a path or a file's bytes.
            uri: where the picture is; a path's ``file://`` URI if empty.
            tags: at most 64, of at most 256 characters.
            attributes: at most 64.
            drop_location: do not store where the picture was taken.
            near_duplicates: what to do with an image that looks like a stored one; None: as the server is set.

        Raises:
            InvalidArgument: the bytes are no image that the server reads; ``reason`` says why.
            UnreadableFile: the file cannot be read.
            ResourceExhausted: the server has no room for it at the moment.
        """
        new = NewImage(image, uri, tags, dict(attributes or {}))
        source = await asyncio.to_thread(open_source, new)
        if source.content is not None and source.content.size > self._transport.max_file_bytes:
            return await self._add_in_parts(new, drop_location=drop_location, near_duplicates=near_duplicates)
        content = await asyncio.to_thread(read_source, source, self._transport.max_file_bytes)
        request = image_service_pb2.CreateImageRequest(
            parent=self._parent,
            image=image_message(source, content),
            options=options_message(drop_location=drop_location, near_duplicates=near_duplicates),
        )
        return conversion.image((await self._transport.call(self._transport.images.CreateImage, request)).image)

    async def _add_in_parts(
        self, new: NewImage, *, drop_location: bool, near_duplicates: NearDuplicates | None
    ) -> Image:
        options = IngestOptions(Common(), drop_location=drop_location, near_duplicates=near_duplicates)
        async with aclosing(ingest(self._transport, self._parent, [new], options)) as results:
            async for result in results:
                if result.error is not None:
                    raise result.error
                if result.image is not None:
                    return result.image
        raise InternalError("the server did not answer the image")

    async def get(self, image_id: str) -> Image:
        """One image.

        Raises:
            NotFound: there is none of that id.
        """
        request = image_service_pb2.GetImageRequest(name=names.image_name(self.id, image_id))
        return conversion.image(await self._transport.call(self._transport.images.GetImage, request))

    def images(
        self,
        *,
        clusters: Iterable[int] = (),
        unclustered: bool = False,
        themes: Iterable[int] = (),
        places: Iterable[int] = (),
        moments: Iterable[int] = (),
        filter: ImageFilter | None = None,  # noqa: A002 - what it is called everywhere
        order: ImageOrder = ImageOrder.ID,
        page_size: int = MAX_PAGE,
    ) -> AsyncGenerator[Image, None]:
        """All images, a page at a time.

        Args:
            clusters: only those in any of these, or below any of ``themes``.
            unclustered: only those in no cluster; cannot be combined with ``clusters`` or ``themes``.
            themes: only those in a cluster below any of these, or in any of ``clusters``.
            places: only those taken at any of these.
            moments: only those taken in any of these.
            filter: only those that it lets through, as well.
            order: which first.
            page_size: images fetched at once, 1 to 1000.
        """
        chosen = self._filter(
            filter, clusters=clusters, unclustered=unclustered, themes=themes, places=places, moments=moments
        )

        async def fetch(token: str) -> tuple[list[Image], str]:
            request = image_service_pb2.ListImagesRequest(
                parent=self._parent, filter=chosen, page_size=page_size, page_token=token, order_by=order.value
            )
            page = await self._transport.call(self._transport.images.ListImages, request)
            return [conversion.image(each) for each in page.images], page.next_page_token

        return walk(fetch)

    async def update(
        self,
        image_id: str,
        *,
        uri: str | None = None,
        tags: Iterable[str] | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Image:
        """Changes what people say of an image; what is None stays as it is.

        Args:
            image_id: which.
            uri: where the picture is.
            tags: all that it shall have: at most 64, of at most 256 characters.
            attributes: all that it shall have: at most 64; keys of a-z, 0-9 and _, beginning with a letter.

        Raises:
            NotFound: there is none of that id.
            InvalidArgument: nothing is to be changed, or a tag or an attribute does not have its form.
        """
        given = {"uri": uri, "tags": tags, "attributes": attributes}
        mask = field_mask_pb2.FieldMask(paths=[name for name, value in given.items() if value is not None])
        image = image_pb2.Image(
            name=names.image_name(self.id, image_id),
            uri=uri or "",
            tags=_tags(tags),
            attributes=conversion.attribute_messages(attributes or {}),
        )
        if not mask.paths:
            raise InvalidArgument("give at least one of uri, tags and attributes", reason="INVALID_FIELD")
        request = image_service_pb2.UpdateImageRequest(image=image, update_mask=mask)
        return conversion.image(await self._transport.call(self._transport.images.UpdateImage, request))

    async def delete(self, image_id: str) -> None:
        """Removes an image from the collection with its thumbnail and kept original; the picture at its URI stays.

        Raises:
            NotFound: there is none of that id.
        """
        request = image_service_pb2.DeleteImageRequest(name=names.image_name(self.id, image_id))
        await self._transport.call(self._transport.images.DeleteImage, request)

    async def thumbnail(self, image_id: str) -> bytes:
        """A small picture of an image: a WebP file, upright, at most 256 pixels wide and high.

        Raises:
            NotFound: there is no image of that id, or none of its picture.
        """
        request = image_service_pb2.GetThumbnailRequest(name=names.image_name(self.id, image_id))
        return (await self._transport.call(self._transport.images.GetThumbnail, request)).content

    async def download(self, image_id: str) -> AsyncGenerator[bytes, None]:
        """The file as it was sent, in parts, if the server keeps originals.

        Raises:
            NotFound: there is no image of that id, or the server did not keep its file.
        """
        request = image_service_pb2.DownloadImageRequest(name=names.image_name(self.id, image_id))
        async with aclosing(self._transport.stream(self._transport.images.DownloadImage, request)) as parts:
            async for part in parts:
                yield part.content

    async def download_to(self, image_id: str, file: str | os.PathLike[str], *, overwrite: bool = False) -> int:
        """Writes the file as it was sent, whole or not at all.

        Args:
            image_id: which.
            file: where to.
            overwrite: take the place of a file that is there.

        Returns:
            How many bytes it has.

        Raises:
            NotFound: there is no image of that id, or the server did not keep its file.
            AlreadyExists: a file is there, and is not to be overwritten.
            OSError: the file cannot be written.
        """
        size = 0
        with whole_file(Path(file), overwrite=overwrite) as target:
            async with aclosing(self.download(image_id)) as parts:
                async for part in parts:
                    size += await asyncio.to_thread(target.write, part)
        return size


def _tags(tags: Iterable[str] | None) -> list[str]:
    """A list of tags; a single text would be taken for a list of its characters."""
    if isinstance(tags, str):
        raise InvalidArgument(f"tags is {tags!r}; it must be a list: [{tags!r}]", reason="INVALID_FIELD")
    return list(tags or ())

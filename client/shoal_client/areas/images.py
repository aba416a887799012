"""Images: storing, reading, removing, searching."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence

from shoal.v1 import image_pb2, image_service_pb2
from shoal_client import conversion, names, queries
from shoal_client.areas.area import Area
from shoal_client.ingest import ingest
from shoal_client.paging import MAX_PAGE, first, walk
from shoal_client.results import Image, ImageMatch, IngestResult
from shoal_client.sources import ImageInput, ImageSource, check_several, open_source, read_source


class Images(Area):
    """The images of a collection."""

    def ingest(self, sources: Iterable[ImageSource], *, tags: Sequence[str] = ()) -> AsyncGenerator[IngestResult, None]:
        """Stores images and yields what became of each, in their order. A bad image fails alone.

        Ingesting the same bytes again stores and embeds nothing, so a broken ingest is simply repeated.

        Args:
            sources: paths, files' bytes, or tuples of either with a URI and tags. Iterated in a thread, a few dozen
                ahead; the files read ahead are together no larger than one message may be.
            tags: given to every image: at most 64, of at most 256 characters.

        Raises:
            InvalidArgument: a single image was given instead of a list.
            ShoalError: the stream as a whole failed; what was yielded before is stored.
        """
        check_several(sources)
        return ingest(self._transport, self._parent, sources, tags)

    async def add(self, image: ImageInput, *, uri: str = "", tags: Sequence[str] = ()) -> Image:
        """Stores one image; answers when it is safe. Bytes that are stored already are answered as they were.

        Args:
            image: a path or a file's bytes.
            uri: where the picture is; a path's ``file://`` URI if empty.
            tags: at most 64, of at most 256 characters.

        Raises:
            InvalidArgument: the bytes are no image that the server reads; ``reason`` says why.
            UnreadableFile: the file cannot be read.
            FileTooLarge: it does not fit into a message.
        """
        source = await asyncio.to_thread(open_source, (image, uri, ()), tags)
        content = await asyncio.to_thread(read_source, source, self._transport.max_file_bytes)
        new = image_service_pb2.NewImage(content=content, uri=source.uri, tags=source.tags)
        request = image_service_pb2.CreateImageRequest(parent=self._parent, image=new)
        return conversion.image((await self._transport.call(self._transport.images.CreateImage, request)).image)

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
        page_size: int = MAX_PAGE,
    ) -> AsyncGenerator[Image, None]:
        """All images in the order of their ids, a page at a time.

        Args:
            clusters: only those in any of these, or below any of ``themes``.
            unclustered: only those in no cluster; cannot be combined with ``clusters`` or ``themes``.
            themes: only those in a cluster below any of these, or in any of ``clusters``.
            places: only those taken at any of these.
            moments: only those taken in any of these.
            page_size: images fetched at once, 1 to 1000.
        """
        chosen = self._filter(clusters, unclustered, themes, places, moments)

        async def fetch(token: str) -> tuple[list[Image], str]:
            request = image_service_pb2.ListImagesRequest(
                parent=self._parent, filter=chosen, page_size=page_size, page_token=token
            )
            page = await self._transport.call(self._transport.images.ListImages, request)
            return [conversion.image(each) for each in page.images], page.next_page_token

        return walk(fetch)

    async def delete(self, image_id: str) -> None:
        """Removes an image from the collection; the picture itself stays where it is.

        Raises:
            NotFound: there is none of that id.
        """
        request = image_service_pb2.DeleteImageRequest(name=names.image_name(self.id, image_id))
        await self._transport.call(self._transport.images.DeleteImage, request)

    async def search(
        self,
        *,
        text: str | None = None,
        image: ImageInput | None = None,
        like: str | None = None,
        vector: Iterable[float] | None = None,
        clusters: Iterable[int] = (),
        unclustered: bool = False,
        themes: Iterable[int] = (),
        places: Iterable[int] = (),
        moments: Iterable[int] = (),
        score_threshold: float | None = None,
        limit: int = 10,
    ) -> list[ImageMatch]:
        """Images most like something, best first.

        Args:
            text: what they show, in words. Exactly one of the first four is given.
            image: a path or a file's bytes.
            like: id of a stored image, which is left out of the answer.
            vector: an embedding of the collection's model, of any length above 0.
            clusters: only those in any of these, or below any of ``themes``.
            unclustered: only those in no cluster; cannot be combined with ``clusters`` or ``themes``.
            themes: only those in a cluster below any of these, or in any of ``clusters``.
            places: only those taken at any of these.
            moments: only those taken in any of these.
            score_threshold: leave out what scores less: cosine similarity, -1 to 1.
            limit: at most this many, 1 to 10,000.

        Raises:
            InvalidArgument: not exactly one query, an empty text, a vector of another dimension, an unreadable image.
        """
        query = await queries.query_fields(
            self.id, self._transport.max_file_bytes, text=text, image=image, like=like, vector=vector
        )
        chosen = self._filter(clusters, unclustered, themes, places, moments)

        async def fetch(token: str) -> tuple[list[ImageMatch], str]:
            request = image_service_pb2.SearchImagesRequest(
                parent=self._parent,
                filter=chosen,
                score_threshold=score_threshold,
                page_size=min(limit, MAX_PAGE),
                page_token=token,
                **query,
            )
            page = await self._transport.call(self._transport.images.SearchImages, request)
            return [ImageMatch(conversion.image(each.image), each.score) for each in page.results], page.next_page_token

        return await first(limit, walk(fetch))

    def _filter(
        self,
        clusters: Iterable[int],
        unclustered: bool,
        themes: Iterable[int],
        places: Iterable[int],
        moments: Iterable[int],
    ) -> image_pb2.ImageFilter:
        return image_pb2.ImageFilter(
            clusters=self._cluster_names(clusters),
            unclustered=unclustered,
            themes=self._names(names.THEMES, themes),
            places=self._names(names.PLACES, places),
            moments=self._names(names.MOMENTS, moments),
        )

"""ImageService: requests to use cases and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
from google.protobuf.empty_pb2 import Empty

from shoal.v1 import image_pb2, image_service_pb2, image_service_pb2_grpc
from shoal_server.application.images import Images
from shoal_server.application.ingest import Ingest, NewImage
from shoal_server.application.search import MAX_DEPTH, Search
from shoal_server.domain.errors import InvalidField, InvalidPageToken
from shoal_server.rpc import convert
from shoal_server.rpc.errors import status_of
from shoal_server.rpc.ordered_stream import in_order
from shoal_server.rpc.paging import make_token, page_size, read_token
from shoal_server.rpc.resource_names import parse_collection, parse_image

Context = grpc.aio.ServicerContext[Any, Any]


class ImageService(image_service_pb2_grpc.ImageServiceServicer):
    """Answers for images."""

    def __init__(self, ingest: Ingest, images: Images, search: Search, stream_window: int) -> None:
        """Args:
        ingest: stores images.
        images: reads and removes them.
        search: finds them.
        stream_window: images of one stream that are worked on at once.
        """
        self._ingest = ingest
        self._images = images
        self._search = search
        self._stream_window = stream_window

    async def CreateImage(
        self, request: image_service_pb2.CreateImageRequest, context: Context
    ) -> image_service_pb2.CreateImageResponse:
        collection = parse_collection(request.parent)
        ingested = await self._ingest(collection, _new_image(request.image))
        return image_service_pb2.CreateImageResponse(
            image=convert.image(collection, ingested.image), duplicate=ingested.duplicate
        )

    async def IngestImages(
        self, request_iterator: AsyncIterator[image_service_pb2.IngestImagesRequest], context: Context
    ) -> AsyncIterator[image_service_pb2.IngestImagesResponse]:
        parent = ""

        async def requests() -> AsyncIterator[tuple[str, image_service_pb2.NewImage]]:
            nonlocal parent
            async for request in request_iterator:
                if not parent:
                    parent = request.parent
                    await self._ingest.check(parse_collection(parent))
                if request.parent not in ("", parent):
                    raise InvalidField("parent", f"{request.parent[:80]!r} differs from the stream's first, {parent!r}")
                yield parse_collection(parent), request.image

        async for response in in_order(requests(), self._ingest_one, self._stream_window):
            yield response

    async def _ingest_one(self, item: tuple[str, image_service_pb2.NewImage]) -> image_service_pb2.IngestImagesResponse:
        collection, new = item
        try:
            ingested = await self._ingest(collection, _new_image(new))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - one bad image fails alone
            return image_service_pb2.IngestImagesResponse(error=status_of(error))
        return image_service_pb2.IngestImagesResponse(
            image=convert.image(collection, ingested.image), duplicate=ingested.duplicate
        )

    async def GetImage(self, request: image_service_pb2.GetImageRequest, context: Context) -> image_pb2.Image:
        collection, image = parse_image(request.name)
        return convert.image(collection, await self._images.get(collection, image))

    async def ListImages(
        self, request: image_service_pb2.ListImagesRequest, context: Context
    ) -> image_service_pb2.ListImagesResponse:
        collection = parse_collection(request.parent)
        where = convert.image_filter(collection, request.filter)
        cursor = read_token(request, request.page_token)
        images, following = await self._images.page(
            collection, where, UUID(cursor) if cursor else None, page_size(request.page_size, 100)
        )
        return image_service_pb2.ListImagesResponse(
            images=[convert.image(collection, image) for image in images],
            next_page_token="" if following is None else make_token(request, str(following)),
        )

    async def DeleteImage(self, request: image_service_pb2.DeleteImageRequest, context: Context) -> Empty:
        await self._images.delete(*parse_image(request.name))
        return Empty()

    async def SearchImages(
        self, request: image_service_pb2.SearchImagesRequest, context: Context
    ) -> image_service_pb2.SearchImagesResponse:
        collection = parse_collection(request.parent)
        query = convert.query_of(collection, request)
        offset = int(read_token(request, request.page_token) or 0)
        size = min(page_size(request.page_size, 10), MAX_DEPTH - offset)
        if size <= 0:
            raise InvalidPageToken
        # One more than asked for tells whether there is a next page.
        found = await self._search.images(
            collection,
            query,
            convert.image_filter(collection, request.filter),
            size + 1,
            offset,
            request.score_threshold if request.HasField("score_threshold") else None,
        )
        more = len(found) > size and offset + size < MAX_DEPTH
        return image_service_pb2.SearchImagesResponse(
            results=[
                image_service_pb2.SearchImagesResponse.Result(
                    image=convert.image(collection, scored.image), score=scored.score
                )
                for scored in found[:size]
            ],
            next_page_token=make_token(request, str(offset + size)) if more else "",
        )


def _new_image(message: image_service_pb2.NewImage) -> NewImage:
    return NewImage(content=message.content, uri=message.uri, tags=tuple(message.tags))

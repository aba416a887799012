"""ImageService: requests to use cases and back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty

from shoal.v1 import image_pb2, image_service_pb2, image_service_pb2_grpc
from shoal_server.application.facets import Faceting
from shoal_server.application.images import Images
from shoal_server.application.ingest import Ingest, Ingested
from shoal_server.application.pictures import Pictures
from shoal_server.application.ports import DIVERSE_AMONG
from shoal_server.application.positions import position_of, token_of
from shoal_server.application.search import MAX_DEPTH, Search
from shoal_server.domain.errors import InvalidField, InvalidPageToken, ShoalError
from shoal_server.domain.image import ScoredImage, Sha256
from shoal_server.rpc import convert
from shoal_server.rpc.errors import status_of
from shoal_server.rpc.ordered_stream import in_order
from shoal_server.rpc.paging import MAX_PAGE_SIZE, make_token, offset_of, page_size, read_token
from shoal_server.rpc.resource_names import image_name, parse_collection, parse_image
from shoal_server.rpc.uploads import Upload, Uploads

Context = grpc.aio.ServicerContext[Any, Any]

_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Values of `order_by`, and whether they begin with the latest.
_ORDERS = {"captured_at": False, "captured_at asc": False, "captured_at desc": True}

_Ranked: TypeAlias = image_service_pb2.SearchImagesRequest | image_service_pb2.RecommendImagesRequest
_Page = TypeVar("_Page", image_service_pb2.SearchImagesResponse, image_service_pb2.RecommendImagesResponse)


class ImageService(image_service_pb2_grpc.ImageServiceServicer):
    """Answers for images."""

    def __init__(
        self,
        ingest: Ingest,
        images: Images,
        search: Search,
        faceting: Faceting,
        pictures: Pictures,
        uploads: Uploads,
        stream_window: int,
    ) -> None:
        """Args:
        ingest: stores images.
        images: reads, changes and removes them.
        search: finds them.
        faceting: counts them.
        pictures: reads their files.
        uploads: reads new images from streams.
        stream_window: images of one stream that are worked on at once.
        """
        self._ingest = ingest
        self._images = images
        self._search = search
        self._faceting = faceting
        self._pictures = pictures
        self._uploads = uploads
        self._stream_window = stream_window

    async def CreateImage(
        self, request: image_service_pb2.CreateImageRequest, context: Context
    ) -> image_service_pb2.CreateImageResponse:
        collection = parse_collection(request.parent)
        options = convert.ingest_options(request.options)
        content = request.image.content
        async with self._uploads.room(len(content)):
            ingested = await self._ingest(collection, convert.new_image(request.image, content), options)
        return image_service_pb2.CreateImageResponse(
            image=convert.image(collection, ingested.image),
            duplicate=ingested.duplicate,
            near_duplicate_of=_near_duplicate_of(collection, ingested),
        )

    async def IngestImages(
        self, request_iterator: AsyncIterator[image_service_pb2.IngestImagesRequest], context: Context
    ) -> AsyncIterator[image_service_pb2.IngestImagesResponse]:
        uploads = self._uploads.of(request_iterator, self._ingest.check)
        async for response in in_order(uploads, self._ingest_one, self._stream_window, self._uploads.done):
            yield response

    async def _ingest_one(self, upload: Upload) -> image_service_pb2.IngestImagesResponse:
        collection = upload.collection
        try:
            if isinstance(upload.image, ShoalError):
                raise upload.image
            ingested = await self._ingest(collection, upload.image, upload.options)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - one bad image fails alone
            return image_service_pb2.IngestImagesResponse(error=status_of(error))
        return image_service_pb2.IngestImagesResponse(
            image=convert.image(collection, ingested.image),
            duplicate=ingested.duplicate,
            near_duplicate_of=_near_duplicate_of(collection, ingested),
        )

    async def CheckImages(
        self, request: image_service_pb2.CheckImagesRequest, context: Context
    ) -> image_service_pb2.CheckImagesResponse:
        collection = parse_collection(request.parent)
        if len(request.sha256s) > MAX_PAGE_SIZE:
            raise InvalidField(
                "sha256s", f"{len(request.sha256s)} digests; at most {MAX_PAGE_SIZE} are checked at once"
            )
        for sha256 in request.sha256s:
            if _SHA256.fullmatch(sha256) is None:
                raise InvalidField("sha256s", f"{sha256[:80]!r} is no SHA-256 in 64 digits of 0-9 and a-f")
        stored = await self._images.check(collection, [Sha256(each) for each in request.sha256s])
        return image_service_pb2.CheckImagesResponse(stored=stored)

    async def GetImage(self, request: image_service_pb2.GetImageRequest, context: Context) -> image_pb2.Image:
        collection, image = parse_image(request.name)
        return convert.image(collection, await self._images.get(collection, image))

    async def ListImages(
        self, request: image_service_pb2.ListImagesRequest, context: Context
    ) -> image_service_pb2.ListImagesResponse:
        collection = parse_collection(request.parent)
        where = convert.image_filter(collection, request.filter)
        if request.order_by and request.order_by not in _ORDERS:
            raise InvalidField("order_by", f"{request.order_by[:40]!r} is none of {', '.join(_ORDERS)}, or empty")
        after = position_of(read_token(request, request.page_token))
        size = page_size(request.page_size, 100)
        if request.order_by:
            images, following = await self._images.page_by_capture(
                collection, where, after, size, descending=_ORDERS[request.order_by]
            )
        else:
            images, following = await self._images.page(collection, where, after, size)
        return image_service_pb2.ListImagesResponse(
            images=[convert.image(collection, image) for image in images],
            next_page_token="" if following is None else make_token(request, token_of(following)),
        )

    async def UpdateImage(self, request: image_service_pb2.UpdateImageRequest, context: Context) -> image_pb2.Image:
        collection, image = parse_image(request.image.name)
        return convert.image(collection, await self._images.update(collection, image, convert.changes(request)))

    async def DeleteImage(self, request: image_service_pb2.DeleteImageRequest, context: Context) -> Empty:
        await self._images.delete(*parse_image(request.name))
        return Empty()

    async def SearchImages(
        self, request: image_service_pb2.SearchImagesRequest, context: Context
    ) -> image_service_pb2.SearchImagesResponse:
        collection = parse_collection(request.parent)
        terms = convert.terms_of(collection, request)
        where = convert.image_filter(collection, request.filter)

        async def find(limit: int, offset: int) -> list[ScoredImage]:
            return await self._search.images(
                collection, terms, where, limit, offset, convert.threshold_of(request), request.diversity
            )

        return await _ranked_page(collection, request, find, image_service_pb2.SearchImagesResponse())

    async def RecommendImages(
        self, request: image_service_pb2.RecommendImagesRequest, context: Context
    ) -> image_service_pb2.RecommendImagesResponse:
        collection = parse_collection(request.parent)
        liked, disliked = convert.tastes_of(collection, request)
        where = convert.image_filter(collection, request.filter)

        async def find(limit: int, offset: int) -> list[ScoredImage]:
            return await self._search.recommend(
                collection, liked, disliked, where, limit, offset, convert.threshold_of(request), request.diversity
            )

        return await _ranked_page(collection, request, find, image_service_pb2.RecommendImagesResponse())

    async def FacetImages(
        self, request: image_service_pb2.FacetImagesRequest, context: Context
    ) -> image_service_pb2.FacetImagesResponse:
        collection = parse_collection(request.parent)
        where = convert.image_filter(collection, request.filter)
        fields = convert.facet_fields(request.fields)
        limit = page_size(request.limit, 20, "limit")
        return convert.facets(collection, await self._faceting(collection, where, fields, limit))

    async def GetThumbnail(
        self, request: image_service_pb2.GetThumbnailRequest, context: Context
    ) -> image_service_pb2.Thumbnail:
        content = await self._pictures.thumbnail(*parse_image(request.name))
        return image_service_pb2.Thumbnail(content=content, content_type="image/webp")

    async def DownloadImage(
        self, request: image_service_pb2.DownloadImageRequest, context: Context
    ) -> AsyncIterator[image_service_pb2.DownloadImageResponse]:
        async for part in self._pictures.original(*parse_image(request.name)):
            yield image_service_pb2.DownloadImageResponse(content=part)


async def _ranked_page(
    collection: str, request: _Ranked, find: Callable[[int, int], Awaitable[list[ScoredImage]]], response: _Page
) -> _Page:
    """Fills a response with a page of what ``find(limit, offset)`` finds, and the token of the next one."""
    depth = DIVERSE_AMONG if convert.diversity_of(request) else MAX_DEPTH
    offset = offset_of(read_token(request, request.page_token))
    size = min(page_size(request.page_size, 10), depth - offset)
    if size <= 0:
        raise InvalidPageToken
    # One more than asked for tells whether there is a next page.
    found = await find(size + 1, offset)
    more = len(found) > size and offset + size < depth
    for scored in found[:size]:
        result = response.results.add(score=scored.score)
        convert.fill_image(result.image, collection, scored.image)
    if more:
        response.next_page_token = make_token(request, str(offset + size))
    return response


def _near_duplicate_of(collection: str, ingested: Ingested) -> str:
    return "" if ingested.near_duplicate_of is None else image_name(collection, ingested.near_duplicate_of)

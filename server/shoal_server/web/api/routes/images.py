"""Images: looked at, stored, changed and removed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from shoal_server.application.ingest import NewImage, Options
from shoal_server.application.page_tokens import page_size as size_of
from shoal_server.application.positions import position_of, token_of
from shoal_server.domain.image import Sha256
from shoal_server.web.api.bodies import file_of
from shoal_server.web.api.models.filters import where_in_cluster
from shoal_server.web.api.models.images import Created, Digests, Image, ImageChanges, ImageList, Named, Stored
from shoal_server.web.api.paging import Pages
from shoal_server.web.api.routes.parameters import CollectionId, ImageId, PageSize, PageToken, WhereText
from shoal_server.web.api.routes.routers import collection_router
from shoal_server.web.api.use_cases import UseCases

#: An image's id is its content's: what is found there once is the same for ever.
_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}


def routes(use: UseCases) -> APIRouter:
    """The routes."""
    router = collection_router("images")

    @router.get("/images")
    async def list_images(
        collection: CollectionId,
        where: WhereText = "",
        cluster_id: Annotated[int | None, Query(ge=0, description="Only those of a cluster.")] = None,
        order_by: Annotated[
            Literal["", "captured_at", "captured_at asc", "captured_at desc"],
            Query(description="By capture time; without it, by id."),
        ] = "",
        page_size: PageSize = 0,
        page_token: PageToken = "",
    ) -> ImageList:
        """A page of images."""
        pages = Pages("images", collection, where, cluster_id, order_by)
        wanted = where_in_cluster(where, cluster_id)
        after = position_of(pages.cursor(page_token))
        size = size_of(page_size, 100)
        if order_by:
            images, following = await use.images.page_by_capture(
                collection, wanted, after, size, descending=order_by.endswith("desc")
            )
        else:
            images, following = await use.images.page(collection, wanted, after, size)
        return ImageList(
            images=[Image.of(image) for image in images],
            next_page_token="" if following is None else pages.token(token_of(following)),
        )

    @router.post(
        "/images",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def create_image(
        request: Request,
        collection: CollectionId,
        uri: Annotated[str, Query(description="Where the picture is, or its name.")] = "",
        tags: Annotated[list[str] | None, Query(description="Labels.")] = None,
        drop_location: Annotated[
            bool, Query(description="Do not store where it was taken, nor keep the original, which says so.")
        ] = False,
    ) -> Created:
        """Stores the image whose file is the body; one that is stored already is found."""
        image = NewImage(content=file_of(request), uri=uri, tags=tuple(tags or ()))
        return Created.of(await use.ingest(collection, image, Options(drop_location=drop_location)))

    @router.post("/images:get")
    async def get_images(collection: CollectionId, asked: Named) -> ImageList:
        """Those of some images that are there, in their order."""
        return ImageList(images=[Image.of(image) for image in await use.images.some(collection, asked.ids)])

    @router.post("/images:check")
    async def check_images(collection: CollectionId, asked: Digests) -> Stored:
        """Those of some files that are stored."""
        stored = await use.images.check(collection, [Sha256(each) for each in asked.sha256s])
        return Stored(stored=list(stored))

    @router.get("/images/{image}")
    async def get_image(collection: CollectionId, image: ImageId) -> Image:
        """One image."""
        return Image.of(await use.images.get(collection, image))

    @router.patch("/images/{image}")
    async def update_image(collection: CollectionId, image: ImageId, asked: ImageChanges) -> Image:
        """Changes what people say of an image."""
        return Image.of(await use.images.update(collection, image, asked.changes()))

    @router.delete("/images/{image}", status_code=204)
    async def delete_image(collection: CollectionId, image: ImageId) -> Response:
        """Removes an image."""
        await use.images.delete(collection, image)
        return Response(status_code=204)

    @router.get("/images/{image}/thumbnail", response_class=_WebP)
    async def thumbnail(collection: CollectionId, image: ImageId) -> Response:
        """A small picture, upright."""
        return _WebP(await use.pictures.thumbnail(collection, image), headers=_FOREVER)

    @router.get("/images/{image}/original", response_class=StreamingResponse)
    async def original(collection: CollectionId, image: ImageId) -> StreamingResponse:
        """The file as it was sent."""
        parts = use.pictures.original(collection, image)
        # Before the answer begins it must be known that there is one.
        first = await anext(parts, b"")

        async def whole() -> AsyncIterator[bytes]:
            yield first
            async for part in parts:
                yield part

        return StreamingResponse(
            whole(),
            media_type="application/octet-stream",
            # Somebody else's file is nothing to be opened as if it were of this site.
            headers={**_FOREVER, "content-disposition": f'attachment; filename="{image}"'},
        )

    return router


class _WebP(Response):
    media_type = "image/webp"

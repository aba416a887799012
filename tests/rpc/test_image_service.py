"""Images over the wire: stored once, found again, refused with a reason."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import numpy as np
import PIL.Image
import pytest
from google.rpc import error_details_pb2, status_pb2

from shoal.v1.collection_service_pb2 import GetCollectionRequest
from shoal.v1.image_pb2 import ImageFilter, Vector
from shoal.v1.image_service_pb2 import (
    CreateImageRequest,
    DeleteImageRequest,
    GetImageRequest,
    IngestImagesRequest,
    ListImagesRequest,
    NewImage,
    SearchImagesRequest,
)
from tests.fakes import picture
from tests.rpc.conftest import MAX_MESSAGE, PARENT, Served, refused

NO_IMAGE = f"{PARENT}/images/00000000-0000-0000-0000-000000000000"


def reason_of(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason)


def enormous_png() -> bytes:
    """20,000 x 20,000 pixels in a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def truncated_jpeg() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()[: file.tell() // 2]


async def test_create_and_get(served: Served) -> None:
    content = picture("red", 1)
    new = NewImage(content=content, uri="file:///red.png", tags=["a", "b"])
    made = await served.images.CreateImage(CreateImageRequest(parent=PARENT, image=new))
    assert not made.duplicate
    image = made.image
    assert image.uri == "file:///red.png"
    assert list(image.tags) == ["a", "b"]
    assert (image.metadata.width, image.metadata.height, image.metadata.format) == (48, 48, "PNG")
    assert image.metadata.byte_size == len(content)
    assert await served.images.GetImage(GetImageRequest(name=image.name)) == image


async def test_the_same_bytes_are_stored_once_and_keep_what_was_said_first(served: Served) -> None:
    content = picture("red", 1)
    first = await served.images.CreateImage(
        CreateImageRequest(parent=PARENT, image=NewImage(content=content, uri="file:///first"))
    )
    second = await served.images.CreateImage(
        CreateImageRequest(parent=PARENT, image=NewImage(content=content, uri="file:///second"))
    )
    assert second.duplicate
    assert list(second.image.also_at) == ["file:///second"]
    del second.image.also_at[:]
    assert second.image == first.image


async def test_the_same_bytes_at_the_same_time_are_stored_once(served: Served) -> None:
    responses = await served.ingest([picture("red", 1)] * 20 + [picture("green", 1)] * 20)
    assert Counter(response.duplicate for response in responses) == {False: 2, True: 38}
    listed = await served.images.ListImages(ListImagesRequest(parent=PARENT))
    assert len(listed.images) == 2


async def test_bad_images_fail_alone_and_in_their_place(served: Served) -> None:
    contents = [
        picture("red", 1),
        b"this is a text file, whatever it is called",
        picture("red", 2),
        truncated_jpeg(),
        b"",
        picture("red", 3),
        enormous_png(),
        picture("red", 4),
    ]
    responses = await served.ingest(contents)
    assert [response.WhichOneof("result") for response in responses] == [
        "image", "error", "image", "error", "error", "image", "error", "image",
    ]  # fmt: skip
    failures = [response.error for response in responses if response.HasField("error")]
    assert [reason_of(failure) for failure in failures] == [
        "UNSUPPORTED_FORMAT",
        "BROKEN_IMAGE",
        "EMPTY_IMAGE",
        "IMAGE_TOO_LARGE",
    ]
    assert {failure.code for failure in failures} == {grpc.StatusCode.INVALID_ARGUMENT.value[0]}
    assert "20000 x 20000" in failures[3].message
    assert "SHOAL_MAX_IMAGE_PIXELS" in failures[3].message
    assert len((await served.images.ListImages(ListImagesRequest(parent=PARENT))).images) == 4


async def test_a_stream_into_nowhere_is_refused_at_once(served: Served) -> None:
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND", "nowhere"):
        await served.ingest([picture("red", 1)], parent="collections/nowhere")


async def test_a_stream_cannot_change_its_collection(served: Served) -> None:
    async def requests() -> AsyncIterator[IngestImagesRequest]:
        yield IngestImagesRequest(parent=PARENT, image=NewImage(content=picture("red", 1)))
        yield IngestImagesRequest(image=NewImage(content=picture("red", 2)))
        yield IngestImagesRequest(parent="collections/other", image=NewImage(content=picture("red", 3)))

    call = served.images.IngestImages(requests())
    assert (await call.read()).HasField("image")
    assert (await call.read()).HasField("image")
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "collections/other"):
        await call.read()


async def test_a_client_that_leaves_stops_its_stream_and_harms_nobody(served: Served) -> None:
    async def endless() -> AsyncIterator[IngestImagesRequest]:
        number = 0
        while True:
            yield IngestImagesRequest(parent=PARENT, image=NewImage(content=picture("blue", number)))
            number += 1

    call = served.images.IngestImages(endless())
    acknowledged = [(await call.read()).image.name for _ in range(5)]
    call.cancel()
    for name in acknowledged:
        assert (await served.images.GetImage(GetImageRequest(name=name))).name == name
    await asyncio.sleep(0.3)
    count = len((await served.images.ListImages(ListImagesRequest(parent=PARENT, page_size=1000))).images)
    await asyncio.sleep(0.3)
    assert len((await served.images.ListImages(ListImagesRequest(parent=PARENT, page_size=1000))).images) == count


async def test_list_pages_through_everything_in_the_order_of_ids(served: Served) -> None:
    stored = await served.three_colors(each=10)
    names: list[str] = []
    token = ""
    while True:
        page = await served.images.ListImages(ListImagesRequest(parent=PARENT, page_size=7, page_token=token))
        names += [image.name for image in page.images]
        token = page.next_page_token
        if not token:
            break
    assert names == sorted(image.name for images in stored.values() for image in images)


async def test_foreign_page_tokens(served: Served) -> None:
    await served.three_colors(each=4)
    token = (await served.images.ListImages(ListImagesRequest(parent=PARENT, page_size=2))).next_page_token
    for foreign in (token + "x", "bm9uc2Vuc2U=", "?"):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", "next_page_token"):
            await served.images.ListImages(ListImagesRequest(parent=PARENT, page_token=foreign))
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN"):
        await served.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red", page_token=token))
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN"):
        await served.images.ListImages(
            ListImagesRequest(parent=PARENT, filter=ImageFilter(unclustered=True), page_token=token)
        )


async def test_delete(served: Served) -> None:
    [response] = await served.ingest([picture("red", 1)])
    await served.images.DeleteImage(DeleteImageRequest(name=response.image.name))
    async with refused(grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND"):
        await served.images.GetImage(GetImageRequest(name=response.image.name))
    async with refused(grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND"):
        await served.images.DeleteImage(DeleteImageRequest(name=response.image.name))
    [again] = await served.ingest([picture("red", 1)])
    assert not again.duplicate


async def test_search_by_text_image_name_and_vector(served: Served) -> None:
    stored = await served.three_colors(each=5)
    reds = {image.name for image in stored["red"]}

    async def names(**query: object) -> list[str]:
        found = await served.images.SearchImages(SearchImagesRequest(parent=PARENT, page_size=5, **query))  # type: ignore[arg-type]
        scores = [result.score for result in found.results]
        assert scores == sorted(scores, reverse=True)
        assert all(-1.001 <= score <= 1.001 for score in scores)
        return [result.image.name for result in found.results]

    assert set(await names(text="red")) == reds
    assert set(await names(image_content=picture("red", 99))) == reds
    like = stored["red"][0].name
    answer = await names(image_name=like)
    assert like not in answer
    assert set(answer[:4]) == reds - {like}


async def test_search_pages_do_not_overlap(served: Served) -> None:
    await served.three_colors(each=5)
    seen: list[str] = []
    token = ""
    for _ in range(4):
        page = await served.images.SearchImages(
            SearchImagesRequest(parent=PARENT, text="green", page_size=4, page_token=token)
        )
        seen += [result.image.name for result in page.results]
        token = page.next_page_token
    assert len(seen) == len(set(seen)) == 15
    assert token == ""


async def test_search_threshold_and_filter(served: Served) -> None:
    await served.three_colors(each=12)
    await served.recluster()
    everything = await served.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red", page_size=100))
    limit = everything.results[11].score - 1e-4
    best = await served.images.SearchImages(
        SearchImagesRequest(parent=PARENT, text="red", page_size=100, score_threshold=limit)
    )
    assert len(best.results) == 12
    [cluster] = {result.image.cluster for result in best.results}
    inside = await served.images.SearchImages(
        SearchImagesRequest(parent=PARENT, text="blue", page_size=100, filter=ImageFilter(clusters=[cluster]))
    )
    assert {result.image.cluster for result in inside.results} == {cluster}
    assert len(inside.results) == 12
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "exclude one another"):
        await served.images.SearchImages(
            SearchImagesRequest(parent=PARENT, text="x", filter=ImageFilter(clusters=[cluster], unclustered=True))
        )


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
async def test_empty_text(served: Served, text: str) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_TEXT", "a cat"):
        await served.images.SearchImages(SearchImagesRequest(parent=PARENT, text=text))


async def test_queries_that_cannot_be(served: Served) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "WRONG_DIMENSION", "2 dimensions"):
        await served.images.SearchImages(SearchImagesRequest(parent=PARENT, vector=Vector(values=[1, 0])))
    dimension = (await served.collections.GetCollection(GetCollectionRequest(name=PARENT))).model.dimension
    for values in ([0.0] * dimension, [float("nan")] * dimension, [float("inf")] + [0.0] * (dimension - 1)):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "finite"):
            await served.images.SearchImages(SearchImagesRequest(parent=PARENT, vector=Vector(values=values)))
    async with refused(grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND"):
        await served.images.SearchImages(SearchImagesRequest(parent=PARENT, image_name=NO_IMAGE))
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME", "another collection"):
        await served.images.SearchImages(
            SearchImagesRequest(parent=PARENT, image_name=NO_IMAGE.replace("photos", "others"))
        )
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "query"):
        await served.images.SearchImages(SearchImagesRequest(parent=PARENT))
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "EMPTY_IMAGE"):
        await served.images.SearchImages(SearchImagesRequest(parent=PARENT, image_content=b""))


async def test_unknown_things(served: Served) -> None:
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND", "nowhere"):
        await served.images.SearchImages(SearchImagesRequest(parent="collections/nowhere", text="x"))
    async with refused(grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND"):
        await served.images.GetImage(GetImageRequest(name=NO_IMAGE))
    for name in ("", "photos", f"{PARENT}/images/x", f"{PARENT}/images/"):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
            await served.images.GetImage(GetImageRequest(name=name))


async def test_a_message_over_the_limit_is_refused_and_the_server_goes_on(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.images.CreateImage(
            CreateImageRequest(parent=PARENT, image=NewImage(content=bytes(MAX_MESSAGE + 1)))
        )
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    [response] = await served.ingest([picture("red", 1)])
    assert response.HasField("image")


async def test_what_a_client_says_is_bounded(served: Served) -> None:
    for new in (
        NewImage(content=picture("red", 1), uri="x" * 5000),
        NewImage(content=picture("red", 1), tags=["t"] * 100),
        NewImage(content=picture("red", 1), tags=[""]),
    ):
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "image."):
            await served.images.CreateImage(CreateImageRequest(parent=PARENT, image=new))

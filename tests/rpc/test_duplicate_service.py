"""DuplicateService over gRPC, and near-duplicates on their way in."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import PIL.Image
import pytest
from PIL import ExifTags

from shoal.v1.duplicate_service_pb2 import DuplicateGroup, ListDuplicateGroupsRequest
from shoal.v1.duplicate_service_pb2_grpc import DuplicateServiceStub
from shoal.v1.image_pb2 import Image, ImageFilter
from shoal.v1.image_service_pb2 import (
    NEAR_DUPLICATES_SKIP,
    NEAR_DUPLICATES_TAG,
    CreateImageRequest,
    CreateImageResponse,
    DeleteImageRequest,
    IngestOptions,
    NewImage,
)
from tests.rpc.conftest import PARENT, Served, refused

TRANSPOSE = PIL.Image.Transpose


def scene(number: int, width: int = 240, height: int = 160) -> PIL.Image.Image:
    """A picture of soft blobs; every number is another one."""
    small = np.random.default_rng(number).integers(0, 256, (5, 7, 3), np.uint8)
    return PIL.Image.fromarray(small).resize((width, height), PIL.Image.Resampling.BICUBIC)


def file(picture: PIL.Image.Image, kind: str = "JPEG", taken: str = "", camera: str = "D70", **options: Any) -> bytes:
    exif = PIL.Image.Exif()
    if taken:
        exif[ExifTags.Base.Model] = camera
        exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: taken}
    written = io.BytesIO()
    picture.save(written, kind, **({"exif": exif} if taken else {}), **options)
    return written.getvalue()


async def create(
    served: Served, content: bytes, uri: str = "", tags: Sequence[str] = (), options: IngestOptions | None = None
) -> CreateImageResponse:
    new = NewImage(content=content, uri=uri, tags=tags)
    response: CreateImageResponse = await served.images.CreateImage(
        CreateImageRequest(parent=PARENT, image=new, options=options)
    )
    return response


async def store(served: Served, content: bytes, uri: str = "", tags: Sequence[str] = ()) -> Image:
    return (await create(served, content, uri, tags)).image


async def groups(served: Served, **fields: Any) -> list[DuplicateGroup]:
    stub: Any = DuplicateServiceStub(served.channel)
    listed = await stub.ListDuplicateGroups(ListDuplicateGroupsRequest(parent=PARENT, **fields))
    assert listed.total == len(listed.groups)
    assert not listed.next_page_token
    return list(listed.groups)


def names(group: DuplicateGroup) -> list[str]:
    return [member.image.name for member in group.members]


async def test_copies_of_a_picture_are_a_group(served: Served) -> None:
    picture = scene(1)
    original = await store(served, file(picture, quality=95), "file:///original.jpg")
    copies = [
        await store(served, content)
        for content in (
            file(picture.resize((120, 80)), quality=85),
            file(picture, quality=30),
            file(picture, "WEBP"),
            file(picture.transpose(TRANSPOSE.FLIP_LEFT_RIGHT), "BMP"),
            file(picture.point(lambda value: min(255, round(value * 1.05)))),
        )
    ]
    for number in range(2, 8):
        await store(served, file(scene(number)))
    [group] = await groups(served)
    assert group.keeper == group.members[0].image.name
    assert group.keeper in {original.name, copies[3].name}  # as many pixels; the one of more bytes
    assert set(names(group)) == {original.name, *(copy.name for copy in copies)}
    assert (group.members[0].similarity, group.members[0].distance) == (1.0, 0)
    similarities = [member.similarity for member in group.members]
    assert similarities == sorted(similarities, reverse=True)
    assert all(0 <= member.distance <= 10 for member in group.members)
    [kept] = [member.image for member in group.members if member.image.name == original.name]
    assert kept == original, "the whole image is there"


async def test_no_duplicates(served: Served) -> None:
    assert await groups(served) == []
    for number in range(5):
        await store(served, file(scene(number)))
    await store(served, file(PIL.Image.new("RGB", (60, 40), "white")))
    await store(served, file(PIL.Image.new("RGB", (60, 40), "black")))
    assert await groups(served) == []


async def test_bursts_and_pairs_only_when_asked_for(served: Served) -> None:
    first = await store(served, file(scene(1), taken="2019:05:01 12:00:00"))
    second = await store(served, file(scene(1), taken="2019:05:01 12:00:01"))
    shot = await store(served, file(scene(2)), "file:///a/IMG_0001.JPG")
    beside = await store(served, file(scene(2), "TIFF"), "file:///a/IMG_0001.tif")
    assert await groups(served) == []
    [burst] = await groups(served, include_bursts=True)
    assert set(names(burst)) == {first.name, second.name}
    [pair] = await groups(served, include_pairs=True)
    assert set(names(pair)) == {shot.name, beside.name}
    assert len(await groups(served, include_bursts=True, include_pairs=True)) == 2


async def test_filter(served: Served) -> None:
    for number in (1, 2):
        await store(served, file(scene(number)), tags=[f"scene-{number}"])
        await store(served, file(scene(number), quality=50), tags=[f"scene-{number}"])
    assert len(await groups(served)) == 2
    [group] = await groups(served, filter=ImageFilter(tags=["scene-2"]))
    assert {tuple(member.image.tags) for member in group.members} == {("scene-2",)}


async def test_pages(served: Served) -> None:
    stub: Any = DuplicateServiceStub(served.channel)
    for number in range(4):
        for quality in (90, 60, *([40] if number == 2 else [])):
            await store(served, file(scene(number), quality=quality))
    whole = await groups(served)
    assert [len(group.members) for group in whole] == [3, 2, 2, 2]
    request = ListDuplicateGroupsRequest(parent=PARENT, page_size=3)
    first = await stub.ListDuplicateGroups(request)
    assert list(first.groups) == whole[:3]
    assert first.total == 4
    request.page_token = first.next_page_token
    # What the next page has is not changed by a change elsewhere.
    await served.images.DeleteImage(DeleteImageRequest(name=whole[0].members[2].image.name))
    second = await stub.ListDuplicateGroups(request)
    assert whole[3] in second.groups
    assert not second.next_page_token
    request.include_bursts = True
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN"):
        await stub.ListDuplicateGroups(request)


async def test_what_came_and_went_counts_at_once(served: Served) -> None:
    await store(served, file(scene(1)))
    assert await groups(served) == []
    copy = await store(served, file(scene(1), quality=50))
    assert len(await groups(served)) == 1
    await served.images.DeleteImage(DeleteImageRequest(name=copy.name))
    assert await groups(served) == []


async def test_no_such_collection(served: Served) -> None:
    stub: Any = DuplicateServiceStub(served.channel)
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"):
        await stub.ListDuplicateGroups(ListDuplicateGroupsRequest(parent="collections/none"))


async def test_one_picture_in_eight_orientations(served: Served, shared_data: Any) -> None:
    files = sorted((shared_data / "exif" / "jpg" / "orientation").glob("portrait_*.jpg"))
    assert len(files) == 8
    stored = [await store(served, path.read_bytes(), path.as_uri()) for path in files]
    for path in sorted((shared_data / "exif" / "jpg" / "gps").glob("*.jpg")):
        await store(served, path.read_bytes(), path.as_uri())
    [group] = await groups(served)
    assert set(names(group)) == {image.name for image in stored}


@pytest.mark.parametrize("way", ["same way up", "mirrored", "on its side"])
async def test_near_duplicates_at_ingest(served: Served, way: str) -> None:
    picture = scene(1)
    original = await store(served, file(picture))
    for number in range(2, 30):
        await store(served, file(scene(number)))
    turned = {
        "same way up": picture.resize((180, 120)),
        "mirrored": picture.transpose(TRANSPOSE.FLIP_LEFT_RIGHT),
        "on its side": picture.transpose(TRANSPOSE.TRANSPOSE),
    }[way]
    tagged = await create(served, file(turned), options=IngestOptions(near_duplicates=NEAR_DUPLICATES_TAG))
    assert tagged.near_duplicate_of == original.name
    assert list(tagged.image.tags) == ["near-duplicate"]
    skipped = await create(served, file(turned, "PNG"), options=IngestOptions(near_duplicates=NEAR_DUPLICATES_SKIP))
    assert skipped.image.name == skipped.near_duplicate_of
    assert skipped.image.name in {original.name, tagged.image.name}
    other = await create(served, file(scene(99)), options=IngestOptions(near_duplicates=NEAR_DUPLICATES_SKIP))
    assert not other.near_duplicate_of


async def test_bursts_and_pairs_are_taken_in(served: Served) -> None:
    skip = IngestOptions(near_duplicates=NEAR_DUPLICATES_SKIP)
    await create(served, file(scene(1), taken="2019:05:01 12:00:00"), options=skip)
    burst = await create(served, file(scene(1), taken="2019:05:01 12:00:01"), options=skip)
    await create(served, file(scene(2)), "file:///a/IMG_0001.JPG", options=skip)
    pair = await create(served, file(scene(2), "TIFF"), "file:///a/IMG_0001.tif", options=skip)
    assert not burst.near_duplicate_of
    assert not pair.near_duplicate_of

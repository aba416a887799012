"""What is kept beside an image: what people say of it, its thumbnail, its original."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import PIL.Image
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from shoal.v1.collection_service_pb2 import CreateCollectionRequest, DeleteCollectionRequest
from shoal.v1.image_pb2 import AttributeValue, Image
from shoal.v1.image_service_pb2 import (
    NEAR_DUPLICATES_SKIP,
    NEAR_DUPLICATES_TAG,
    CheckImagesRequest,
    CreateImageRequest,
    DeleteImageRequest,
    DownloadImageRequest,
    GetImageRequest,
    GetThumbnailRequest,
    IngestImagesRequest,
    IngestImagesResponse,
    IngestOptions,
    ListImagesRequest,
    NewImage,
    UpdateImageRequest,
)
from tests.fakes import picture
from tests.rpc.conftest import PARENT, Served, refused, serving

NO_IMAGE = f"{PARENT}/images/00000000-0000-0000-0000-000000000000"


async def create(served: Served, content: bytes, **said: object) -> Image:
    new = NewImage(content=content, **said)  # type: ignore[arg-type]
    image: Image = (await served.images.CreateImage(CreateImageRequest(parent=PARENT, image=new))).image
    return image


def drawn(size: int = 240, quality: int | None = None) -> bytes:
    """A picture with something in it, as PNG or as JPEG of a quality."""
    image = PIL.Image.new("RGB", (240, 240), "white")
    for place in range(0, 200, 40):
        image.paste((place, 255 - place, 90), (place, place // 2, place + 60, place // 2 + 90))
    file = io.BytesIO()
    scaled = image.resize((size, size), PIL.Image.Resampling.LANCZOS)
    if quality is None:
        scaled.save(file, "PNG")
    else:
        scaled.save(file, "JPEG", quality=quality)
    return file.getvalue()


def kept_files(data: Path) -> list[Path]:
    """The files that a server keeps for its images."""
    return [path for path in (data / "files").rglob("*") if path.is_file() and not path.name.startswith(".")]


async def test_what_is_said_again_of_the_same_bytes_is_added(served: Served) -> None:
    content = picture("red", 1)
    first = await create(served, content, uri="file:///a", tags=["x"], attributes={"n": AttributeValue(integer=1)})
    more = {"n": AttributeValue(integer=2), "m": AttributeValue(text="new")}
    again = await create(served, content, uri="file:///b", tags=["y", "x"], attributes=more)
    assert again.name == first.name
    assert (again.uri, list(again.also_at), list(again.tags)) == ("file:///a", ["file:///b"], ["x", "y"])
    assert dict(again.attributes) == {"n": AttributeValue(integer=1), "m": AttributeValue(text="new")}
    assert await served.images.GetImage(GetImageRequest(name=first.name)) == again
    assert await create(served, content, uri="file:///a") == again, "nothing new was said"
    assert await create(served, content) == again


async def test_update_replaces_what_the_mask_names(served: Served) -> None:
    image = await create(served, picture("red", 1), uri="file:///a", tags=["x"])
    image.tags[:] = ["y", "z", "y"]
    image.uri = "file:///c"
    image.attributes["stars"].number = 4.0
    request = UpdateImageRequest(image=image, update_mask=FieldMask(paths=["tags", "attributes"]))
    changed = await served.images.UpdateImage(request)
    assert (list(changed.tags), changed.uri) == (["y", "z"], "file:///a")
    assert changed.attributes["stars"] == AttributeValue(number=4.0)
    assert await served.images.GetImage(GetImageRequest(name=image.name)) == changed
    emptied = UpdateImageRequest(image=Image(name=image.name), update_mask=FieldMask(paths=["tags", "attributes"]))
    changed = await served.images.UpdateImage(emptied)
    assert (list(changed.tags), dict(changed.attributes), changed.uri) == ([], {}, "file:///a")
    assert await served.images.GetImage(GetImageRequest(name=image.name)) == changed


async def test_update_without_a_mask_changes_what_is_set(served: Served) -> None:
    image = await create(served, picture("red", 1), uri="file:///a", tags=["x"])
    changed = await served.images.UpdateImage(UpdateImageRequest(image=Image(name=image.name, uri="file:///b")))
    assert (changed.uri, list(changed.tags)) == ("file:///b", ["x"])


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        (Image(), ["sha256"], ("sha256", "tags")),
        (Image(), [], ("nothing",)),
        (Image(tags=[""]), ["tags"], ("tag",)),
        (Image(attributes={"Bad Key": AttributeValue(text="x")}), [], ("Bad Key", "a-z")),
        (Image(attributes={"n": AttributeValue(number=float("inf"))}), [], ("finite",)),
        (Image(attributes={"n": AttributeValue()}), [], ("empty",)),
        (Image(attributes={f"k{number}": AttributeValue(flag=True) for number in range(65)}), [], ("65", "64")),
    ],
)
async def test_an_update_that_makes_no_sense_is_refused(
    served: Served, image: Image, mask: list[str], words: tuple[str, ...]
) -> None:
    image.name = (await create(served, picture("red", 1))).name
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", *words):
        await served.images.UpdateImage(UpdateImageRequest(image=image, update_mask=FieldMask(paths=mask)))


async def test_an_image_that_is_not_there_cannot_be_updated(served: Served) -> None:
    async with refused(grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND"):
        await served.images.UpdateImage(UpdateImageRequest(image=Image(name=NO_IMAGE, uri="file:///x")))


async def test_which_files_are_stored(served: Served) -> None:
    contents = [picture("red", number) for number in range(4)]
    for content in contents[:2]:
        await create(served, content)
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    asked = CheckImagesRequest(parent=PARENT, sha256s=[digests[3], digests[1], digests[0]])
    assert list((await served.images.CheckImages(asked)).stored) == [digests[1], digests[0]]
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "SHA-256"):
        await served.images.CheckImages(CheckImagesRequest(parent=PARENT, sha256s=["abc"]))
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "1001"):
        await served.images.CheckImages(CheckImagesRequest(parent=PARENT, sha256s=digests[:1] * 1001))


async def test_the_thumbnail_is_a_small_upright_webp(served: Served) -> None:
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (1200, 600), (10, 200, 30)).save(file, "JPEG", exif=exif)
    image = await create(served, file.getvalue())
    assert (image.metadata.width, image.metadata.height) == (600, 1200)
    thumbnail = await served.images.GetThumbnail(GetThumbnailRequest(name=image.name))
    assert thumbnail.content_type == "image/webp"
    with PIL.Image.open(io.BytesIO(thumbnail.content)) as small:
        assert (small.format, small.size) == ("WEBP", (128, 256))
        red, green, blue = small.convert("RGB").getpixel((60, 120))  # type: ignore[misc]
    assert abs(red - 10) < 12
    assert abs(green - 200) < 12
    assert abs(blue - 30) < 12


async def test_deleting_removes_the_thumbnail_and_the_original(tmp_path: Path) -> None:
    async with serving(tmp_path, keep_originals=True) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        content = picture("red", 1, size=500)
        image = await create(served, content)
        parts = [part.content async for part in served.images.DownloadImage(DownloadImageRequest(name=image.name))]
        assert b"".join(parts) == content
        assert len(kept_files(tmp_path)) == 2
        await served.images.DeleteImage(DeleteImageRequest(name=image.name))
        assert kept_files(tmp_path) == []
        async with refused(grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND"):
            await served.images.GetThumbnail(GetThumbnailRequest(name=image.name))
        await create(served, content)
        await served.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
        assert kept_files(tmp_path) == []


async def test_originals_are_not_kept_unless_asked_for(served: Served) -> None:
    image = await create(served, picture("red", 1))
    async with refused(grpc.StatusCode.NOT_FOUND, "FILE_NOT_KEPT", "SHOAL_KEEP_ORIGINALS"):
        async for _ in served.images.DownloadImage(DownloadImageRequest(name=image.name)):
            pytest.fail("a part came")


async def test_an_image_without_a_thumbnail_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        image = await create(served, picture("red", 1))
        for path in (tmp_path / "files").rglob("*.webp"):
            path.unlink()
        async with refused(grpc.StatusCode.NOT_FOUND, "FILE_NOT_KEPT", "thumbnail"):
            await served.images.GetThumbnail(GetThumbnailRequest(name=image.name))


async def test_the_place_can_be_left_out(served: Served) -> None:
    content = picture("red", 1, at=(48.0, 11.0))
    request = CreateImageRequest(
        parent=PARENT, image=NewImage(content=content), options=IngestOptions(drop_location=True)
    )
    image = (await served.images.CreateImage(request)).image
    assert not image.metadata.HasField("location")
    stored = await served.images.GetImage(GetImageRequest(name=image.name))
    assert not stored.metadata.HasField("location")


async def test_near_duplicates_are_kept_tagged_or_skipped(served: Served) -> None:
    first = await create(served, drawn())

    async def again(content: bytes, mode: int) -> IngestImagesResponse:
        async def requests() -> AsyncIterator[IngestImagesRequest]:
            options = IngestOptions(near_duplicates=mode)  # type: ignore[arg-type]
            yield IngestImagesRequest(parent=PARENT, image=NewImage(content=content), options=options)

        answers: list[IngestImagesResponse] = [each async for each in served.images.IngestImages(requests())]
        [answer] = answers
        return answer

    skipped = await again(drawn(quality=90), NEAR_DUPLICATES_SKIP)
    assert (skipped.image.name, skipped.near_duplicate_of, skipped.duplicate) == (first.name, first.name, False)
    tagged = await again(drawn(quality=80), NEAR_DUPLICATES_TAG)
    assert tagged.near_duplicate_of == first.name
    assert tagged.image.name != first.name
    assert list(tagged.image.tags) == ["near-duplicate"]
    other = await again(picture("blue", 1), NEAR_DUPLICATES_SKIP)
    assert not other.near_duplicate_of
    kept = await create(served, drawn(size=200))
    assert list(kept.tags) == []
    listed = await served.images.ListImages(ListImagesRequest(parent=PARENT))
    assert {image.name for image in listed.images} == {each.name for each in (first, tagged.image, other.image, kept)}
    thumbnail = await served.images.GetThumbnail(GetThumbnailRequest(name=tagged.image.name))
    assert thumbnail.content


async def test_near_duplicates_sent_at_the_same_time_are_found_too(tmp_path: Path) -> None:
    async with serving(tmp_path, near_duplicates="skip") as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        contents = [drawn(quality=quality) for quality in range(70, 90, 2)]
        images = await asyncio.gather(*(create(served, content) for content in contents))
        assert len({image.name for image in images}) == 1
        listed = await served.images.ListImages(ListImagesRequest(parent=PARENT))
        assert len(listed.images) == 1


async def test_a_large_image_comes_in_parts(served: Served) -> None:
    content = picture("red", 1, size=900)

    async def requests() -> AsyncIterator[IngestImagesRequest]:
        yield IngestImagesRequest(parent=PARENT, image=NewImage(content=content[:1000], uri="file:///large"), more=True)
        for start in range(1000, len(content), 500_000):
            rest = content[start : start + 500_000]
            yield IngestImagesRequest(image=NewImage(content=rest), more=start + 500_000 < len(content))
        yield IngestImagesRequest(image=NewImage(content=picture("blue", 1), uri="file:///small"))

    large, small = [answer.image async for answer in served.images.IngestImages(requests())]
    assert (large.uri, large.sha256) == ("file:///large", hashlib.sha256(content).hexdigest())
    assert small.uri == "file:///small"


async def test_the_server_reads_files_only_below_its_roots(tmp_path: Path) -> None:
    roots = tmp_path / "photos"
    roots.mkdir()
    (roots / "a.png").write_bytes(picture("red", 1))
    (tmp_path / "secret.png").write_bytes(picture("blue", 1))
    async with serving(tmp_path / "data", ingest_roots=(roots,)) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        image = await create(served, b"", uri=(roots / "a.png").as_uri(), fetch=True)
        assert image.metadata.width == 48
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "FETCH_NOT_ALLOWED", "secret.png"):
            await create(served, b"", uri=(tmp_path / "secret.png").as_uri(), fetch=True)
        async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "content as well"):
            await create(served, b"x", uri=(roots / "a.png").as_uri(), fetch=True)


async def test_the_server_reads_no_files_by_itself_unless_told_where(served: Served, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture("red", 1))
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "FETCH_NOT_ALLOWED", "SHOAL_INGEST_ROOTS"):
        await create(served, b"", uri=(tmp_path / "a.png").as_uri(), fetch=True)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "FETCH_NOT_ALLOWED", "SHOAL_INGEST_HTTP"):
        await create(served, b"", uri="https://example.com/a.png", fetch=True)


async def test_sent_again_an_image_gets_the_files_that_it_was_stored_without(tmp_path: Path) -> None:
    content = picture("red", 1)
    async with serving(tmp_path) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        image = await create(served, content)
    for path in kept_files(tmp_path):
        path.unlink()
    async with serving(tmp_path, keep_originals=True) as served:
        assert (await create(served, content)).name == image.name
        assert (await served.images.GetThumbnail(GetThumbnailRequest(name=image.name))).content
        parts = [part.content async for part in served.images.DownloadImage(DownloadImageRequest(name=image.name))]
        assert b"".join(parts) == content

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from shoal_server.adapters.files import PART, Folder, NamedImageFiles, image_files, object_storage
from shoal_server.application.ports import FileKind
from shoal_server.domain.errors import FileNotKept, FolderInUse, FolderNotWritable, StoreFull, StoreUnavailable
from shoal_server.domain.image import digest_of, image_id
from tests.contract.places import KINDS, Spot, spot_of

BOTH = pytest.mark.parametrize("kind", list(FileKind))


def some_id(number: int) -> UUID:
    return image_id(digest_of(str(number).encode()))


def in_folder(folder: Path) -> NamedImageFiles:
    return NamedImageFiles(Folder(folder))


@pytest.fixture(params=KINDS)
def spot(request: pytest.FixtureRequest, tmp_path: Path) -> Spot:
    return spot_of(request.param, tmp_path / "images", request)


@pytest.fixture
def files(spot: Spot) -> Iterator[NamedImageFiles]:
    """In every kind of place."""
    opened = NamedImageFiles(spot.open())
    yield opened
    opened.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[NamedImageFiles]:
    """In a folder of the server's own."""
    opened = in_folder(tmp_path / "images")
    yield opened
    opened.close()


async def content_of(files: NamedImageFiles, image: UUID, kind: FileKind, collection: str = "photos") -> bytes:
    return b"".join([part async for part in files.read(collection, image, kind)])


@BOTH
async def test_what_is_put_is_read_by_another(spot: Spot, kind: FileKind) -> None:
    first = NamedImageFiles(spot.open())
    await first.put("photos", some_id(1), kind, b"one")
    await first.put("photos", some_id(2), kind, b"two")
    await first.put("other", some_id(1), kind, b"elsewhere")
    first.close()
    second = NamedImageFiles(spot.open())
    assert await content_of(second, some_id(1), kind) == b"one"
    assert await content_of(second, some_id(2), kind) == b"two"
    assert await content_of(second, some_id(1), kind, "other") == b"elsewhere"
    assert await second.size("photos", some_id(1), kind) == 3
    second.close()


async def test_the_two_kinds_of_an_image_are_two_files_with_names_to_be_found_by(
    files: NamedImageFiles, spot: Spot
) -> None:
    image = UUID("6f1d7a52-5f0e-5d5c-9f63-2d5f4b1c8aef")
    await files.put("photos", image, FileKind.THUMBNAIL, b"small")
    await files.put("photos", image, FileKind.ORIGINAL, b"large")
    assert spot.names() == [f"photos/originals/ef/{image}", f"photos/thumbnails/ef/{image}.webp"]
    assert spot.content(f"photos/thumbnails/ef/{image}.webp") == b"small"
    assert await content_of(files, image, FileKind.THUMBNAIL) == b"small"
    assert await content_of(files, image, FileKind.ORIGINAL) == b"large"


async def test_ids_are_spread_over_the_folders(local: NamedImageFiles, tmp_path: Path) -> None:
    for number in range(512):
        await local.put("photos", some_id(number), FileKind.THUMBNAIL, b"x")
    sizes = [len(list(folder.iterdir())) for folder in (tmp_path / "images" / "photos" / "thumbnails").iterdir()]
    assert sum(sizes) == 512
    assert len(sizes) > 180
    assert max(sizes) < 12


@BOTH
async def test_one_that_is_there_is_replaced(files: NamedImageFiles, kind: FileKind) -> None:
    await files.put("photos", some_id(1), kind, b"a longer one")
    await files.put("photos", some_id(1), kind, b"short")
    assert await content_of(files, some_id(1), kind) == b"short"
    assert await files.size("photos", some_id(1), kind) == 5


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 3 * PART - 7])
async def test_parts_are_at_most_a_mebibyte_and_make_the_whole(files: NamedImageFiles, size: int) -> None:
    content = os.urandom(size)
    await files.put("photos", some_id(1), FileKind.ORIGINAL, content)
    parts = [part async for part in files.read("photos", some_id(1), FileKind.ORIGINAL)]
    assert b"".join(parts) == content
    assert all(0 < len(part) <= PART for part in parts)


async def test_who_reads_has_the_file_to_its_end_though_it_is_deleted(files: NamedImageFiles) -> None:
    content = os.urandom(3 * PART)
    await files.put("photos", some_id(1), FileKind.ORIGINAL, content)
    reading = files.read("photos", some_id(1), FileKind.ORIGINAL)
    parts = [await anext(reading)]
    await files.delete_collection("photos")
    parts += [part async for part in reading]
    assert b"".join(parts) == content


async def test_a_large_file_is_read_piece_by_piece(files: NamedImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "PIECE", 1_500_000)
    content = os.urandom(4_000_001)
    await files.put("photos", some_id(1), FileKind.ORIGINAL, content)
    parts = [part async for part in files.read("photos", some_id(1), FileKind.ORIGINAL)]
    assert b"".join(parts) == content
    assert all(0 < len(part) <= PART for part in parts)


@pytest.mark.parametrize(("kind", "words"), [(FileKind.THUMBNAIL, "thumbnail"), (FileKind.ORIGINAL, "KEEP_ORIGINALS")])
async def test_what_is_not_kept_is_said_with_what_to_do(files: NamedImageFiles, kind: FileKind, words: str) -> None:
    await files.put("photos", some_id(1), kind, b"x")
    for collection, image in (("photos", some_id(2)), ("other", some_id(1))):
        assert await files.size(collection, image, kind) is None
        with pytest.raises(FileNotKept, match=words) as raised:
            await content_of(files, image, kind, collection)
        assert raised.value.metadata["image"] == str(image)


async def test_deleted_images_lose_both_files_and_others_none(files: NamedImageFiles, spot: Spot) -> None:
    for number in range(4):
        await files.put("photos", some_id(number), FileKind.THUMBNAIL, b"t")
    await files.put("photos", some_id(1), FileKind.ORIGINAL, b"o")
    await files.delete("photos", [some_id(1), some_id(2), some_id(77)])
    await files.delete("nowhere", [some_id(0)])
    names = {name.rpartition("/")[2] for name in spot.names()}
    assert names == {f"{some_id(0)}.webp", f"{some_id(3)}.webp"}


async def test_a_deleted_collection_leaves_nothing_and_others_stay(files: NamedImageFiles, spot: Spot) -> None:
    for collection in ("photos", "other"):
        for kind in FileKind:
            await files.put(collection, some_id(1), kind, b"x")
    await files.delete_collection("photos")
    await files.delete_collection("photos")
    assert len(spot.names()) == 2
    assert all(name.startswith("other/") for name in spot.names())


async def test_a_deleted_collection_leaves_no_folders(local: NamedImageFiles, tmp_path: Path) -> None:
    await local.put("photos", some_id(1), FileKind.THUMBNAIL, b"x")
    await local.delete_collection("photos")
    assert not (tmp_path / "images" / "photos").exists()
    assert list((tmp_path / "images" / ".scratch").iterdir()) == []


async def test_a_collection_can_be_deleted_while_files_are_put(files: NamedImageFiles) -> None:
    async def putting(number: int) -> None:
        kind = FileKind.ORIGINAL if number % 2 else FileKind.THUMBNAIL
        await files.put("photos", some_id(number), kind, b"x" * 100)

    async def deleting() -> None:
        for _ in range(25):
            await files.delete_collection("photos")

    await asyncio.gather(deleting(), *(putting(number) for number in range(200)), deleting())
    await files.delete_collection("photos")
    assert [await files.size("photos", some_id(number), FileKind.THUMBNAIL) for number in range(200)] == [None] * 200


@pytest.mark.skipif(sys.platform != "linux", reason="what was made durable is seen in /proc")
async def test_only_originals_are_waited_for_to_be_durable(
    local: NamedImageFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    await local.put("photos", some_id(1), FileKind.THUMBNAIL, b"x")
    assert synced == []
    await local.put("photos", some_id(1), FileKind.ORIGINAL, b"x")
    folder = tmp_path / "images"
    assert synced[0].parent == folder / ".scratch", "the file, before it has its name"
    digits = some_id(1).hex[-2:]
    made = folder / "photos" / "originals" / digits
    assert synced[1:] == [made, made.parent, folder / "photos", folder]


@BOTH
async def test_a_write_that_fails_leaves_what_was_there(
    local: NamedImageFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: FileKind
) -> None:
    await local.put("photos", some_id(1), kind, b"before")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(StoreFull, match="no space left"):
            await local.put("photos", some_id(1), kind, b"after")
    assert await content_of(local, some_id(1), kind) == b"before"
    assert list((tmp_path / "images" / ".scratch").iterdir()) == []


async def test_a_disk_that_fails_is_said_to_be_unavailable(local: NamedImageFiles, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "photos").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable, match="photos"):
        await local.put("photos", some_id(1), FileKind.ORIGINAL, b"x")
    with pytest.raises(StoreUnavailable):
        await content_of(local, some_id(1), FileKind.ORIGINAL)
    with pytest.raises(StoreUnavailable):
        await local.size("photos", some_id(1), FileKind.ORIGINAL)
    with pytest.raises(StoreUnavailable):
        await local.delete("photos", [some_id(1)])
    (folder / ".scratch").rmdir()
    with pytest.raises(StoreUnavailable, match=r"\.scratch"):
        await local.put("other", some_id(1), FileKind.ORIGINAL, b"x")


async def test_a_folder_that_is_removed_again_and_again_ends_the_attempts(
    local: NamedImageFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def gone(self: Path, target: Path) -> Path:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "replace", gone)
    with pytest.raises(StoreUnavailable, match="again and again"):
        await local.put("photos", some_id(1), FileKind.ORIGINAL, b"x")


def test_a_folder_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    first = Folder(tmp_path)
    with pytest.raises(FolderInUse):
        Folder(tmp_path)
    first.close()
    Folder(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderNotWritable, match="file"):
        Folder(tmp_path / "file" / "images")
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / ".scratch").write_text("a file where the folder should be")
    with pytest.raises(FolderNotWritable):
        Folder(folder)


_KILLED = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from shoal_server.adapters.files import Folder, NamedImageFiles
from shoal_server.application.ports import FileKind

async def main() -> None:
    files = NamedImageFiles(Folder(Path(sys.argv[1])))
    number = 0
    while True:
        image = UUID(int=number % 40)
        await asyncio.gather(*(files.put("photos", image, kind, bytes([number % 251]) * 300_000) for kind in FileKind))
        number += 1
        print(number, flush=True)

asyncio.run(main())
"""


def killed_while_writing(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _KILLED, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(50):
            assert process.stdout.readline()
        process.kill()


async def test_what_was_killed_leaves_whole_files_and_nothing_else(tmp_path: Path) -> None:
    killed_while_writing(tmp_path)
    (tmp_path / ".scratch" / "left").write_bytes(b"x")
    files = in_folder(tmp_path)
    assert list((tmp_path / ".scratch").iterdir()) == []
    for kind in FileKind:
        for number in range(40):
            content = await content_of(files, UUID(int=number), kind)
            assert len(content) == 300_000
            assert len(set(content)) == 1
    files.close()


def test_every_kind_has_a_name_and_a_hint() -> None:
    assert set(image_files._NOT_KEPT) == set(image_files._SUFFIXES) == set(FileKind)

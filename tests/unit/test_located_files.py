"""Files by where they are: on a disk, and in a storage that fsspec knows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from shoal_server.adapters.located_files import LocatedFiles, find_files
from shoal_server.domain.errors import FetchFailed, FetchUnavailable, FileTooLarge

JPEG = frozenset({".jpg"})


@pytest.fixture
async def files() -> AsyncIterator[LocatedFiles]:
    located = LocatedFiles(max_bytes=10, threads=2)
    yield located
    await located.aclose()


@pytest.fixture
def folder() -> str:
    """A folder of an object storage, in memory."""
    root = f"memory://{uuid4().hex}"
    storage = fsspec.filesystem("memory")
    for name in ("b.jpg", "a.JPG", "notes.txt", "in/c.jpg", ".hidden/d.jpg", "in/.e.jpg"):
        storage.pipe(f"{root}/{name}", name.encode())
    return root


def found(url: str) -> list[tuple[str, bool]]:
    root = url.split("/")[2]
    return [(name.partition(root)[2], taken) for name, taken in find_files(url, JPEG)]


def test_a_folder_of_a_storage(folder: str) -> None:
    assert found(folder) == [("/a.JPG", True), ("/b.jpg", True), ("/in/c.jpg", True), ("/notes.txt", False)]


def test_a_pattern(folder: str) -> None:
    assert found(f"{folder}/*.jpg") == [("/b.jpg", True)]
    assert [name for name, _ in found(f"{folder}/**/*.jpg")] == ["/b.jpg", "/in/c.jpg"]
    assert found(f"{folder}/.hidden/*") == [("/.hidden/d.jpg", True)]
    with pytest.raises(FetchFailed, match="nothing is there of this pattern"):
        found(f"{folder}/*.png")


def test_a_file_is_taken_whatever_its_suffix(folder: str) -> None:
    url = f"{folder}/notes.txt"
    assert list(find_files(url, JPEG)) == [(url, True)]


def test_a_question_mark_of_an_address_is_no_pattern() -> None:
    url = "https://photos.example/one.jpg?size=large"
    pytest.importorskip("aiohttp")
    # Nobody is asked: there is nothing to list in it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsspec.implementations.http.HTTPFileSystem.isdir", lambda *_: False)
        assert list(find_files(url, JPEG)) == [(url, True)]


async def test_an_object(files: LocatedFiles, folder: str) -> None:
    storage = fsspec.filesystem("memory")
    storage.pipe(f"{folder}/large.jpg", bytes(11))
    storage.pipe(f"{folder}/empty.jpg", b"")
    assert await files.read(f"{folder}/b.jpg") == b"b.jpg"
    assert await files.read(f"{folder}/empty.jpg") == b""
    with pytest.raises(FileTooLarge):
        await files.read(f"{folder}/large.jpg")
    with pytest.raises(FetchFailed, match=r"gone\.jpg' cannot be read: there is no such file"):
        await files.read(f"{folder}/gone.jpg")
    with pytest.raises(FetchFailed, match=r"nfs.*write a path, s3://"):
        await files.read("nfs://server/a.jpg")


async def test_a_storage_that_does_not_answer(
    files: LocatedFiles, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise TimeoutError("no answer")

    for method in ("cat_file", "size"):
        monkeypatch.setattr(f"fsspec.implementations.memory.MemoryFileSystem.{method}", refuse)
    with pytest.raises(FetchUnavailable, match="TimeoutError: no answer"):
        await files.read(f"{folder}/b.jpg")


async def test_a_file_of_this_machine(files: LocatedFiles, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"0123456789")
    (tmp_path / "large.jpg").write_bytes(bytes(11))
    os.mkfifo(tmp_path / "pipe")
    assert await files.read(str(tmp_path / "a.jpg")) == b"0123456789"
    with pytest.raises(FileTooLarge):
        await files.read(str(tmp_path / "large.jpg"))
    for name, said in (("pipe", "no regular file"), ("gone.jpg", "No such file"), (".", "no regular file|directory")):
        with pytest.raises(FetchFailed, match=said):
            await files.read(str(tmp_path / name))

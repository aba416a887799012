"""What an object storage says when it cannot be used, and a folder that several servers share."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from shoal_server.adapters.files import Folder, ObjectStorage, object_storage
from shoal_server.domain.errors import FilesUnavailable, InvalidField, MissingExtra, StoreUnavailable


def in_memory() -> ObjectStorage:
    return ObjectStorage(f"memory://{uuid4().hex}")


def test_a_bucket_that_does_not_exist(s3_bucket: str) -> None:
    with pytest.raises(FilesUnavailable, match=r"s3://nowhere/shoal.*make it first"):
        ObjectStorage("s3://nowhere/shoal")


def test_a_storage_that_does_not_answer(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(FilesUnavailable, match=r"s3://shoal/there cannot be reached: Could not connect") as raised:
        ObjectStorage("s3://shoal/there")
    # What waits for the store to answer waits for this too.
    assert isinstance(raised.value, StoreUnavailable)


def test_nothing_is_left_of_the_trial(s3_bucket: str) -> None:
    url = f"{s3_bucket}/{uuid4().hex}"
    ObjectStorage(url)
    assert fsspec.filesystem("s3", use_listings_cache=False).find(url) == []


@pytest.mark.parametrize("call", ["pipe_file", "cat_file", "rm_file"])
def test_whoever_may_not_do_all_is_told_at_the_start(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(MemoryFileSystem, call, denied)
    with pytest.raises(FilesUnavailable, match=r"access is denied \(Access Denied\).*list, read, write and delete"):
        in_memory()


def test_what_a_storage_passes_over_in_silence_is_no_deletion(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = in_memory()
    storage.write("photos/a", b"a")
    storage.write("photos-2/a", b"b")
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "rm", lambda *_: None)
        with pytest.raises(FilesUnavailable, match="still there"):
            storage.delete_all("photos")
    storage.delete_all("photos")
    assert storage.read("photos/a") is None
    assert storage.read("photos-2/a") == b"b"


def test_a_large_object_that_goes_while_it_is_read_is_not_taken_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_storage, "PIECE", 100)
    storage = in_memory()
    content = os.urandom(250)
    storage.write("photos/a", content)
    gone, shorter = storage.open("photos/a"), storage.open("photos/a")
    assert gone is not None
    assert shorter is not None
    assert shorter.read(60) == content[:60]
    storage.write("photos/a", content[:150])
    with pytest.raises(FilesUnavailable, match="replaced while it was read"):
        while shorter.read(60):
            pass
    storage.delete(["photos/a"])
    with pytest.raises(FilesUnavailable):
        gone.read(60)


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str, **_: object) -> None:
        raise ImportError("Please install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(MissingExtra, match=r"gs://photos.*shoal\[gcs\]"):
        ObjectStorage("gs://photos")
    with pytest.raises(InvalidField, match="gcsfs"):
        ObjectStorage("abfs://photos")


def test_a_url_of_no_known_kind() -> None:
    with pytest.raises(InvalidField, match=r"SHOAL_FILES_URL.*nosuch"):
        ObjectStorage("nosuch://photos")


def test_a_shared_folder_may_be_open_several_times(tmp_path: Path) -> None:
    first = Folder(tmp_path, shared=True)
    (tmp_path / ".scratch" / "being-written").write_bytes(b"x")
    left = tmp_path / ".scratch" / "left-long-ago"
    left.mkdir()
    os.utime(left, (0, 0))
    second = Folder(tmp_path, shared=True)
    assert [path.name for path in (tmp_path / ".scratch").iterdir()] == ["being-written"]
    first.write("photos/a", b"a", durably=True)
    assert second.read("photos/a") == b"a"
    second.delete_all("photos")
    assert first.read("photos/a") is None
    for folder in (first, second):
        folder.close()

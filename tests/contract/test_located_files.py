"""Files in an object storage, listed and read."""

from __future__ import annotations

from uuid import uuid4

import fsspec
import pytest

from shoal_server.adapters.located_files import LocatedFiles, find_files
from shoal_server.domain.errors import FetchFailed, FileTooLarge


async def test_s3(s3_bucket: str) -> None:
    folder = f"{s3_bucket}/{uuid4().hex}"
    storage = fsspec.filesystem("s3")
    # What stands in a key is no pattern and needs no escapes.
    contents = {"a b+ü%20.jpg": b"a", "in/b.jpg": b"bb", "in/empty.jpg": b"", "notes.txt": b"c"}
    for name, content in contents.items():
        storage.pipe_file(f"{folder}/{name}", content)
    found = dict(find_files(folder, frozenset({".jpg"})))
    assert found == {f"{folder}/{name}": name.endswith(".jpg") for name in contents}
    files = LocatedFiles(max_bytes=2, threads=2)
    for name in ("a b+ü%20.jpg", "in/b.jpg", "in/empty.jpg"):
        assert await files.read(f"{folder}/{name}") == contents[name]
    storage.pipe_file(f"{folder}/large.jpg", b"ccc")
    with pytest.raises(FileTooLarge):
        await files.read(f"{folder}/large.jpg")
    with pytest.raises(FetchFailed, match="there is no such file"):
        await files.read(f"{folder}/gone.jpg")
    with pytest.raises(FetchFailed, match=r"nowhere.* cannot be read"):
        await files.read("s3://nowhere/gone.jpg")
    await files.aclose()

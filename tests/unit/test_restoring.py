"""Backups are unpacked whole and checked, or not at all; nothing that was there is lost."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal_server.adapters.edge_store import files, restoring
from shoal_server.adapters.edge_store.backing_up import closed_folder
from shoal_server.adapters.edge_store.folder_format import read_format
from shoal_server.adapters.edge_store.restoring import restore
from shoal_server.domain.errors import FolderInUse, StoreFull, StoreIncompatible

LONG = "a" * 120


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with files of every kind: small, empty, with holes, with a long name; and others' things."""
    folder = tmp_path / "data"
    place = folder / "collections" / "photos"
    (place / "images" / LONG).mkdir(parents=True)
    (folder / "format.json").write_text('{"format": 1}')
    (place / "collection.json").write_text("{}")
    (place / "images" / "empty").touch()
    with (place / "images" / LONG / "sparse").open("wb") as file:
        file.write(b"begin")
        file.seek(3_000_000)
        file.write(b"middle")
        file.truncate(40_000_000)
    with (place / "images" / "hole").open("wb") as file:
        file.truncate(2_000_000)
    (place / "images" / "random").write_bytes(os.urandom(1_500_000))
    for name in ("runs/embedded/photos/r.parquet", "files/embedded/photos/thumbnails/00/a.webp"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(name.encode())
    # Not of this store, or not to be copied.
    for name in (
        "runs/0123/photos/r.parquet",
        "keys.json",
        "audit.log",
        "collections/half/images/x",
        "collections/half/disposable",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("other")
    return folder


@pytest.fixture
def archive(data: Path, tmp_path: Path) -> Path:
    """A backup of it."""
    path = tmp_path / "backup.tar"
    blocks = closed_folder(data, data / "runs" / "embedded", data / "files" / "embedded")
    path.write_bytes(b"".join(block for block, _ in blocks))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the lock."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def expected(data: Path) -> dict[str, bytes]:
    others = ("runs/0123", "keys.json", "audit.log", "collections/half")
    found = {name: content for name, content in contents(data).items() if not name.startswith(others)}
    found["format.json"] = json.dumps({"format": 1}, indent=1).encode() + b"\n"
    return found


@pytest.mark.parametrize("compressed", [False, True])
def test_what_was_backed_up_comes_back(data: Path, archive: Path, tmp_path: Path, compressed: bool) -> None:
    if compressed:
        archive.write_bytes(gzip.compress(archive.read_bytes()))
    read: list[int] = []
    done = restore(archive, tmp_path / "new" / "folder", progress=read.append)
    assert contents(tmp_path / "new" / "folder") == expected(data)
    assert (done.before, done.unpacked.collections, done.unpacked.files) == (None, {"photos": None}, 8)
    assert read[-1] == archive.stat().st_size
    # Holes stay holes, in the archive and on the disk.
    sparse = tmp_path / "new/folder/collections/photos/images" / LONG / "sparse"
    assert sparse.stat().st_blocks * 512 < 1_000_000
    assert archive.stat().st_size < 2_000_000


def test_other_programs_can_unpack_and_check_it(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "by-hand", filter="data")
    for line in (tmp_path / "by-hand" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "by-hand" / name).read_bytes()).hexdigest() == digest


def flipped(content: bytes) -> bytes:
    middle = content.index(b"middle")
    return content[:middle] + b"M" + content[middle + 1 :]


def rewritten(change: Callable[[tarfile.TarInfo, bytes], tuple[str, bytes] | None]) -> Callable[[bytes], bytes]:
    """The same archive with members changed, or left out."""

    def rewrite(content: bytes) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=out, mode="w") as new:
            for member in old:
                file = old.extractfile(member)
                assert file is not None
                changed = change(member, file.read())
                if changed is not None:
                    info = tarfile.TarInfo(changed[0])
                    info.size = len(changed[1])
                    new.addfile(info, io.BytesIO(changed[1]))
        return out.getvalue()

    return rewrite


def newer(key: str) -> Callable[[bytes], bytes]:
    def change(member: tarfile.TarInfo, content: bytes) -> tuple[str, bytes]:
        if member.name != "backup.json":
            return member.name, content
        return member.name, json.dumps({**json.loads(content), key: 99}).encode()

    return rewritten(change)


BAD = {
    "flipped": (flipped, r"damaged: .*sparse is not what it was"),
    "short": (lambda content: content[: len(content) // 2], "damaged: it is no archive, or cannot be read to its end"),
    "no archive": (lambda _: b"hello" * 1000, "damaged: it is no archive"),
    "empty": (lambda _: b"", "damaged: it is no archive"),
    "other archive": (
        rewritten(lambda member, content: None if member.name == "backup.json" else (member.name, content)),
        "no backup of Shoal",
    ),
    "without end": (
        rewritten(lambda member, content: None if member.name == "manifest.json" else (member.name, content)),
        "it ends too early",
    ),
    "without a file": (
        rewritten(lambda member, content: None if member.name.endswith("random") else (member.name, content)),
        "random is missing",
    ),
    "with a file of no one": (
        rewritten(lambda member, content: (member.name.replace("r.parquet", "../../../../x"), content)),
        "nothing that a backup holds",
    ),
    "newer folder": (newer("format"), r"folder 99\), but this version reads archives up to 1 of folders up to 1"),
    "newer archive": (newer("shoal_backup"), r"archive 99, .*restore it with the version that wrote it"),
    "senseless": (
        rewritten(lambda member, content: (member.name, b"{}" if member.name == "backup.json" else content)),
        "cannot be understood",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_damaged_or_newer_leaves_the_folder_as_it_was(archive: Path, tmp_path: Path, kind: str) -> None:
    change, problem = BAD[kind]
    archive.write_bytes(change(archive.read_bytes()))
    (tmp_path / "target").mkdir()
    with pytest.raises(StoreIncompatible, match=problem):
        restore(archive, tmp_path / "target")
    assert contents(tmp_path / "target") == {}


def test_a_folder_that_is_not_empty_needs_force_and_loses_nothing(data: Path, archive: Path, tmp_path: Path) -> None:
    before = contents(data)
    with pytest.raises(StoreIncompatible, match=r"not empty.*--force"):
        restore(archive, data)
    assert contents(data) == before
    done = restore(archive, data, force=True)
    assert done.before is not None
    assert done.before.parent == data
    assert contents(done.before) == {name: content for name, content in before.items() if name not in KEPT}
    aside = str(done.before.relative_to(data))
    there = {name: content for name, content in contents(data).items() if not name.startswith((aside, *KEPT))}
    assert there == {name: content for name, content in before.items() if name in there} | {
        "format.json": there["format.json"]
    }


KEPT = ("keys.json", "audit.log")


def test_a_folder_that_a_server_works_with_is_refused(data: Path, archive: Path) -> None:
    with files.lock_folder(data), pytest.raises(FolderInUse):
        restore(archive, data, force=True)
    with files.lock_folder(data), pytest.raises(FolderInUse):
        list(closed_folder(data, None, None))


def test_what_is_no_data_folder_is_not_backed_up(data: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreIncompatible, match="no data folder with a store in it"):
        list(closed_folder(tmp_path / "nothing", None, None))
    (data / "format.json").write_text('{"format": 9}')
    with pytest.raises(StoreIncompatible, match="format 9"):
        list(closed_folder(data, None, None))
    (data / "format.json").unlink()
    with pytest.raises(StoreIncompatible, match="did not make it"):
        list(closed_folder(data, None, None))


@pytest.mark.parametrize("at", ["collections", "files", "format.json"])
def test_a_restore_that_is_cut_short_can_be_done_again(
    data: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    target = tmp_path / "target"
    rename = Path.rename

    class Killed(BaseException):
        pass

    def cut(self: Path, to: Path) -> Path:
        if self.name == at:
            raise Killed
        return rename(self, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", cut)
        # A killed process clears nothing away.
        patched.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            restore(archive, target)
    with pytest.raises(FileNotFoundError):
        read_format(target)
    restore(archive, target)
    assert contents(target) == expected(data)


def test_a_full_disk_leaves_nothing(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restoring, "unpack", full)
    with pytest.raises(StoreFull):
        restore(archive, tmp_path / "target")
    assert contents(tmp_path / "target") == {}


def test_a_folder_with_a_collection_that_lost_its_record_is_not_copied(data: Path) -> None:
    (data / "collections" / "half" / "disposable").unlink()
    with pytest.raises(StoreIncompatible, match=r"'half' cannot be copied: .*collection\.json is gone"):
        list(closed_folder(data, None, None))

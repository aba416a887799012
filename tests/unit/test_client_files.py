"""Finding and reading files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shoal_client.errors import FileTooLarge, UnreadableFile
from shoal_client.files import IMAGE_SUFFIXES, find_images
from shoal_client.sources import Common, open_source, read_image, read_source


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a.jpg", "z/1.webp", "c/2.heic", "c/1.gif", "notes.txt", ".h.jpg", ".hidden/x.jpg", "jpg")
    found = find_images([tmp_path])
    names = [path.relative_to(tmp_path).as_posix() for path in found.files]
    assert names == ["a.jpg", "b.PNG", "c/1.gif", "c/2.heic", "z/1.webp"]
    assert found.problems == []


def test_every_suffix_of_an_image_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, *(f"x{suffix}" for suffix in IMAGE_SUFFIXES))
    assert len(find_images([tmp_path]).files) == len(IMAGE_SUFFIXES) == 12


def test_a_file_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt", ".hidden.jpg")
    files = [tmp_path / "notes.txt", tmp_path / ".hidden.jpg"]
    assert find_images(files).files == files


def test_what_does_not_exist_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    found = find_images([tmp_path / "missing", tmp_path])
    assert found.files == [tmp_path / "a.jpg"]
    assert [str(tmp_path / "missing") in problem.message for problem in found.problems] == [True]


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.CR2", "c/d.cr2", "c/e.mp4", "f", ".hidden", ".h/x.cr2")
    (tmp_path / "c" / "link").symlink_to(tmp_path, target_is_directory=True)
    found = find_images([tmp_path])
    assert found.files == [tmp_path / "a.jpg"]
    assert found.left_out.passed_over == {".cr2": 2, ".mp4": 1, "": 1}
    assert found.left_out.linked_folders == [tmp_path / "c" / "link"]


def test_a_path_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "secret.jpg")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    secret, long, loop = tmp_path / "secret.jpg", tmp_path / ("x" * 300), tmp_path / "loop"
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != secret and allowed(path, mode))
    found = find_images([secret, tmp_path / "a.jpg", long, loop])
    assert found.files == [tmp_path / "a.jpg"]
    assert [problem.metadata["path"] for problem in found.problems] == [str(secret), str(long), str(loop)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "secret/b.jpg")
    (tmp_path / "secret").chmod(0)
    found = find_images([tmp_path])
    (tmp_path / "secret").chmod(0o700)
    assert len(found.files) == len(found.problems) == 1


def test_a_paths_uri_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "ein Bild.jpg")
    monkeypatch.chdir(tmp_path)
    source = open_source("ein Bild.jpg", Common(("a",)))
    assert (source.uri, source.tags) == (f"{tmp_path.resolve().as_uri()}/ein%20Bild.jpg", ("a",))
    assert read_source(source, 100) == b"ein Bild.jpg"
    assert open_source((Path("ein Bild.jpg"), "s3://x", ["b"]), Common(("a",))).uri == "s3://x"


def test_limits_and_unreadable_files(tmp_path: Path) -> None:
    touch(tmp_path, "12345")
    file = tmp_path / "12345"
    assert read_image(file, 5) == b"12345"
    with pytest.raises(FileTooLarge):
        read_image(file, 4)
    with pytest.raises(FileTooLarge):
        read_image(b"12345", 4)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe", "null\0byte"):
        with pytest.raises(UnreadableFile):
            read_image(path, 4)


def test_a_file_that_grows_or_vanishes_meanwhile(tmp_path: Path) -> None:
    touch(tmp_path, "12345")
    source = open_source(tmp_path / "12345")
    (tmp_path / "12345").write_bytes(bytes(20))
    with pytest.raises(FileTooLarge):
        read_source(source, 10)
    (tmp_path / "12345").unlink()
    with pytest.raises(UnreadableFile):
        read_source(source, 10)

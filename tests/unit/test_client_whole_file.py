"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shoal_client import AlreadyExists, InvalidArgument
from shoal_client.whole_file import whole_file


def contents(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@pytest.fixture(params=["links", "no links"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if request.param == "no links":
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    return tmp_path


def test_a_file_gets_its_name_at_the_end(folder: Path) -> None:
    with whole_file(folder / "a", overwrite=False) as file:
        file.write(b"one")
        assert "a" not in contents(folder)
    assert contents(folder) == {"a": b"one"}
    with whole_file(folder / "a", overwrite=True) as file:
        file.write(b"two")
    assert contents(folder) == {"a": b"two"}


def test_nothing_stays_of_what_failed(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(folder / "a", overwrite=False) as file:
        file.write(b"one")
        raise KeyboardInterrupt
    assert contents(folder) == {}


def test_nobody_elses_file_is_lost(folder: Path) -> None:
    (folder / "a").write_bytes(b"mine")
    with pytest.raises(AlreadyExists), whole_file(folder / "a", overwrite=False):
        pytest.fail("it is there already")
    with pytest.raises(AlreadyExists), whole_file(folder / "b", overwrite=False) as file:
        file.write(b"one")
        (folder / "b").write_bytes(b"came meanwhile")
    assert contents(folder) == {"a": b"mine", "b": b"came meanwhile"}
    with (
        pytest.raises(FileNotFoundError, match="there is no such folder"),
        whole_file(folder / "x" / "a", overwrite=True),
    ):
        pytest.fail("there is no folder")


def test_only_files_are_replaced(folder: Path) -> None:
    pipe, link = folder / "pipe", folder / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path, kind in ((pipe, "a device or a pipe"), (link, "a device or a pipe"), (folder, "a folder")):
        for overwrite in (True, False):
            with (
                pytest.raises(InvalidArgument, match=f"{path} is {kind}; name a file"),
                whole_file(path, overwrite=overwrite),
            ):
                pytest.fail("it is no file")
    assert pipe.is_fifo()
    assert sorted(each.name for each in folder.iterdir()) == ["link", "pipe"]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="streams have no names here")
def test_a_file_that_somebody_writes_to_is_not_replaced(folder: Path) -> None:
    with (
        (folder / "log").open("wb") as log,
        pytest.raises(InvalidArgument, match="name a file"),
        whole_file(Path(f"/dev/fd/{log.fileno()}"), overwrite=True),
    ):
        pytest.fail("it is a stream")
    assert [each.name for each in folder.iterdir()] == ["log"]


def test_a_link_stays_and_what_it_leads_to_is_written(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a").write_bytes(b"old")
    for name in ("a", "new"):
        (folder / name).symlink_to(elsewhere / name)
        with pytest.raises(AlreadyExists), whole_file(folder / name, overwrite=False):
            pytest.fail("the link is there")
        with whole_file(folder / name, overwrite=True) as file:
            file.write(b"one")
        assert (folder / name).is_symlink()
    assert contents(elsewhere) == {"a": b"one", "new": b"one"}


def test_errors_name_what_was_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: object) -> None:
        raise OSError(errno.EROFS, "read-only", str(path))

    (folder / "a").symlink_to(folder / "b")
    with pytest.raises(OSError, match="No space left on device") as caught, whole_file(folder / "a", overwrite=True):
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.filename == str(folder / "a")
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="Read-only") as caught, whole_file(folder / "a", overwrite=True):
        pass
    assert caught.value.filename == str(folder / "a")
    assert not (folder / "b").exists()

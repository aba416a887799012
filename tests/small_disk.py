"""A disk that is small enough to be filled: a file system in a file, mounted for one test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Somebody else's file, which takes the room.
_BALLAST = "ballast"


class SmallDisk:
    """What is mounted at a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def free(self) -> int:
        """Bytes that are left."""
        return shutil.disk_usage(self.folder).free

    def fill(self, leave: int) -> None:
        """Somebody else's file takes all but so many bytes."""
        with (self.folder / _BALLAST).open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, file.tell() + self.free - leave)

    def make_room(self) -> None:
        """That file is removed."""
        (self.folder / _BALLAST).unlink()


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[SmallDisk]:
    """A disk of so many bytes at a folder; the test is skipped where nobody may mount one.

    Not a file system in memory: there, files that are mapped take room even where they are only read.
    """
    folder.mkdir()
    file = folder.with_suffix(".img")
    with file.open("wb") as image:
        image.truncate(size)
    _run("mkfs.ext4", "-q", "-m", "0", str(file))
    _run("mount", "-o", "loop", str(file), str(folder))
    try:
        yield SmallDisk(folder)
    finally:
        # Lazily: whoever still has a file open on it must not keep it mounted.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - wherever it is


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"a small disk cannot be made here: there is no {command[0]}")
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be made here, which root may do: {done.stderr.strip()}")

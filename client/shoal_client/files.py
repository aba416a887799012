"""Finds the image files that somebody means by a list of files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shoal_client.errors import UnreadableFile

#: Files taken from a folder; one that is named itself is taken whatever its suffix.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif"}
)


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What was found.

    Attributes:
        files: in the order of the paths given; those of a folder sorted.
        problems: paths that do not exist and folders that may not be read.
    """

    files: list[Path] = field(default_factory=list)
    problems: list[UnreadableFile] = field(default_factory=list)


def find_images(paths: Iterable[Path]) -> FoundFiles:
    """Finds files; walks folders and their subfolders.

    Hidden files and folders inside of a folder, and folders that are symbolic links, are left out.

    Args:
        paths: files and folders.
    """
    found = FoundFiles()
    for path in paths:
        if path.is_dir():
            found.files.extend(_walk(path, found.problems))
        elif path.exists():
            found.files.append(path)
        else:
            found.problems.append(UnreadableFile(str(path), f"{path}: there is no such file or folder"))
    return found


def _walk(folder: Path, problems: list[UnreadableFile]) -> Iterator[Path]:
    def note(error: OSError) -> None:
        name = str(error.filename)
        problems.append(UnreadableFile(name, f"{name}: {error.strerror}"))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(parent, name)

"""Finds the image files that somebody means by a list of files and folders."""

from __future__ import annotations

import os
import stat
from collections import Counter
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
        problems: paths that do not exist, and files and folders that may not be read.
        passed_over: files in folders that are not hidden and do not have an image's suffix: their number by suffix in
            lower case, empty for none.
        linked_folders: in folders, and not followed.
    """

    files: list[Path] = field(default_factory=list)
    problems: list[UnreadableFile] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    linked_folders: list[Path] = field(default_factory=list)


def find_images(paths: Iterable[Path]) -> FoundFiles:
    """Finds files; walks folders and their subfolders.

    Hidden files and folders inside of a folder, and folders that are symbolic links, are left out.

    Args:
        paths: files and folders.
    """
    found = FoundFiles()
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            found.problems.append(UnreadableFile(str(path), f"{path}: there is no such file or folder"))
        except OSError as error:  # a folder above may not be read, the name is too long, a loop of links
            found.problems.append(UnreadableFile(str(path), f"{path}: {error.strerror}"))
        else:
            if is_folder:
                found.files.extend(_walk(path, found))
            elif os.access(path, os.R_OK):
                found.files.append(path)
            else:
                found.problems.append(UnreadableFile(str(path), f"{path}: it may not be read"))
    return found


def _walk(folder: Path, found: FoundFiles) -> Iterator[Path]:
    def note(error: OSError) -> None:
        name = str(error.filename)
        found.problems.append(UnreadableFile(name, f"{name}: {error.strerror}"))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found.linked_folders.extend(path for name in folders if (path := Path(parent, name)).is_symlink())
        for name in sorted(files):
            if name.startswith("."):
                continue
            suffix = Path(name).suffix.lower()
            if suffix in IMAGE_SUFFIXES:
                yield Path(parent, name)
            else:
                found.passed_over[suffix] += 1

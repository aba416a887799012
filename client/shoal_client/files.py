"""Finds the image files that somebody means by a list of files, folders, patterns and archives."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shoal_client.bulk.archives import is_archive, members
from shoal_client.bulk.patterns import expand, is_pattern
from shoal_client.errors import ShoalError, UnreadableFile
from shoal_client.sources import BadSource, NewImage, unreadable

#: Files taken from a folder or an archive; a file that is named itself is taken whatever its suffix.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif"}
)


@dataclass(slots=True)
class LeftOut:
    """What was not taken from folders, patterns and archives.

    Attributes:
        passed_over: files that are not hidden and do not have an image's suffix: their number by suffix in lower case,
            empty for none, ``link`` for links within archives.
        linked_folders: not followed.
    """

    passed_over: Counter[str] = field(default_factory=Counter)
    linked_folders: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What was found.

    Attributes:
        files: in the order of the paths given; those of a folder sorted.
        problems: paths that do not exist, and files and folders that may not be read.
        left_out: what was not taken.
    """

    files: list[Path] = field(default_factory=list)
    problems: list[ShoalError] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def find_images(paths: Iterable[Path]) -> FoundFiles:
    """Finds files; walks folders and their subfolders.

    Hidden files and folders inside of a folder, and folders that are symbolic links, are left out.

    Args:
        paths: files, folders and patterns; archives are not opened.
    """
    found = FoundFiles()
    for each in _find(paths, found.left_out):
        if isinstance(each, BadSource):
            found.problems.append(each.error)
        else:
            found.files.append(each)
    return found


def scan(paths: Iterable[Path], left_out: LeftOut, *, patterns: bool = True) -> Iterator[NewImage | BadSource]:
    """Finds images one after the other, as somebody asks for them; opens archives that are named.

    Args:
        paths: files, folders, patterns and archives; an archive in a folder is passed over.
        left_out: counts what was not taken.
        patterns: a path that does not exist may be a pattern. Not in a list of another program: it means names.
    """
    for each in _find(paths, left_out, patterns=patterns):
        if isinstance(each, BadSource):
            yield each
        elif is_archive(each.name):
            for member in members(each, IMAGE_SUFFIXES, left_out.passed_over):
                yield member if isinstance(member, BadSource) else NewImage(member)
        else:
            yield NewImage(each)


def _find(paths: Iterable[Path], left_out: LeftOut, *, patterns: bool = True) -> Iterator[Path | BadSource]:
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            if patterns and is_pattern(str(path)):
                yield from _matching(path, left_out)
            else:
                yield BadSource(str(path), UnreadableFile(str(path), f"{path}: there is no such file or folder"))
        except (OSError, ValueError) as error:  # a folder above may not be read, the name is too long, a loop of links
            yield BadSource(str(path), unreadable(str(path), error))
        else:
            if is_folder:
                yield from _walk(path, left_out)
            elif os.access(path, os.R_OK):
                yield path
            else:
                yield BadSource(str(path), UnreadableFile(str(path), f"{path}: it may not be read"))


def _matching(pattern: Path, left_out: LeftOut) -> Iterator[Path | BadSource]:
    found = False
    for each in expand(str(pattern)):
        found = True
        if isinstance(each, BadSource):
            yield each
        elif not each.is_dir():
            if is_archive(pattern.name) or _is_image(each.name, left_out):
                yield each
        elif "**" not in pattern.parts:  # which has matched what is in the folder too
            yield from _walk(each, left_out)
    if not found:
        yield BadSource(str(pattern), UnreadableFile(str(pattern), f"{pattern}: nothing is there of this pattern"))


def _walk(folder: Path, left_out: LeftOut) -> Iterator[Path | BadSource]:
    problems: list[BadSource] = []

    def note(error: OSError) -> None:
        name = str(error.filename)
        problems.append(BadSource(name, unreadable(name, error)))

    for parent, folders, files in os.walk(folder, onerror=note):
        yield from problems
        problems.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        left_out.linked_folders.extend(path for name in folders if (path := Path(parent, name)).is_symlink())
        for name in sorted(files):
            if not name.startswith(".") and _is_image(name, left_out):
                yield Path(parent, name)
    yield from problems


def _is_image(name: str, left_out: LeftOut) -> bool:
    suffix = Path(name).suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        left_out.passed_over[suffix] += 1
    return suffix in IMAGE_SUFFIXES

"""Expands patterns like ``photos/**/*.jpg`` for shells that do not, and where somebody quoted them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path

from shoal_client.bulk.contents import READING_ERRORS
from shoal_client.sources import BadSource, unreadable

_MAGIC = re.compile(r"[*?\[]")
#: Any number of folders within one another.
_ANY_DEPTH = "**"


def is_pattern(text: str) -> bool:
    """Whether there is something to expand."""
    return _MAGIC.search(text) is not None


def expand(pattern: str) -> Iterator[Path | BadSource]:
    """What is there of a pattern, sorted within each folder, and the folders that may not be read.

    ``*``, ``?`` and ``[...]`` match within a name, ``**`` any number of folders. Hidden names are matched only by a
    part that begins with a dot; ``**`` enters no linked folders.
    """
    parts = Path(pattern).parts
    # `a/**/**` is `a/**`, and that is all files below `a`.
    short = [part for part, _ in groupby(parts, lambda part: part)] if _ANY_DEPTH in parts else list(parts)
    if short[-1] == _ANY_DEPTH:
        short.append("*")
    plain = next(index for index, part in enumerate(short) if is_pattern(part))
    yield from _matches(Path(*short[:plain]), short[plain:])


def _matches(folder: Path, parts: Sequence[str]) -> Iterator[Path | BadSource]:
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if not is_pattern(part):
        child = folder / part
        if child.exists():
            yield from _matches(child, rest)
        return
    try:
        children = sorted(folder.iterdir())
    except READING_ERRORS as error:
        yield BadSource(str(folder), unreadable(str(folder), error))
        return
    if part == _ANY_DEPTH:
        yield from _matches(folder, rest)
        for child in children:
            if not child.name.startswith(".") and child.is_dir() and not child.is_symlink():
                yield from _matches(child, parts)
        return
    for child in children:
        if child.name.startswith(".") and not part.startswith("."):
            continue
        if fnmatchcase(child.name, part) and (not rest or child.is_dir()):
            yield from _matches(child, rest)

"""Names that every file system takes: Linux's, Windows's (NTFS, exFAT) and macOS's."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

#: Bytes of a name; file systems take 255, and a number may have to fit in.
MOST_BYTES = 180

_FORBIDDEN = frozenset('<>:"/\\|?*')
#: Devices of Windows, with any suffix.
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
)


def safe_name(name: str) -> str:
    """The name with every character replaced that some file system refuses or that hides or reverses text.

    The answer may be empty, and is in Unicode's composed form (NFC).
    """
    text = "".join(map(_safe_character, unicodedata.normalize("NFC", name)))
    text = _cut(" ".join(text.split()), MOST_BYTES).rstrip(" .")
    return f"_{text}" if text.split(".")[0].strip().lower() in _RESERVED else text


def folder_name(cluster_id: int, cluster_name: str | None) -> str:
    """``<id> <name>``; just the id if nothing of the name is left."""
    return f"{cluster_id} {safe_name(cluster_name or '')}".rstrip()


def file_names(wanted: Mapping[str, str]) -> dict[str, str]:
    """A safe name for every image of one folder; names that differ in case only are the same on some file systems.

    Those that would collide all get the beginning of their image's id, so that a name does not depend on the order, or
    on what was there before.

    Args:
        wanted: names by image id.

    Returns:
        Names by image id; no two of them are the same.
    """
    safe = {image: _file_name(name) for image, name in wanted.items()}
    for length in (8, 36):
        taken = Counter(_key(name) for name in safe.values())
        safe = {
            image: _marked(_file_name(wanted[image]), image[:length]) if taken[_key(name)] > 1 else name
            for image, name in safe.items()
        }
    return safe


def _safe_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cf":  # joins, and turns the direction of writing: nothing to see
        return ""
    return "_" if character in _FORBIDDEN or category[0] == "C" else character


def _file_name(name: str) -> str:
    suffix = PurePosixPath(safe_name(name)).suffix
    stem = safe_name(name).removesuffix(suffix)
    if len(suffix) > 16:  # no suffix, but a dot in the text
        stem, suffix = stem + suffix, ""
    safe = safe_name(stem) + suffix
    return "image" if not safe.strip(". ") else safe


def _marked(name: str, mark: str) -> str:
    suffix = PurePosixPath(name).suffix
    return f"{name.removesuffix(suffix)} ({mark}){suffix}"


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore") if len(text.encode()) > limit else text

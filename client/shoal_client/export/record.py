"""The record that an export keeps in its folder of what it put there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from shoal_client.errors import FailedPrecondition

RECORD = ".shoal-export.json"
#: What a copy is called until it is whole.
PARTIAL = ".shoal-part"

_VERSION = 1
#: What file browsers leave behind; nobody would miss it.
_LITTER = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
#: The coarsest clock of a file system (FAT's), in nanoseconds.
_CLOCK_NS = 2_000_000_000
#: Foreign files named in a refusal.
_NAMED = 3


class Manner(Enum):
    """How a picture gets into a folder."""

    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that an export made, or was about to make.

    Attributes:
        path: below the folder, with ``/``.
        image_id: whose picture it is.
        source: the picture.
        size: of the picture then, in bytes.
        mtime_ns: when the picture was last changed then.
        inode: of the picture then.
        settled: whether it was made. While an export is at work, what it is about to change is not; a copy at such a
            path is the export's own, but which picture it shows is open.
    """

    path: str
    image_id: str
    manner: Manner
    source: str
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0
    settled: bool = True

    @property
    def certain(self) -> bool:
        """Whether the file's looks tell which picture it is: a link says so, a copy only by what was recorded."""
        return self.settled or self.manner is not Manner.COPY

    def stands(self, folder: Path) -> bool:
        """Whether the file is there, as the export made it or was about to."""
        file = folder / self.path
        try:
            match self.manner:
                case Manner.SYMLINK:
                    return file.is_symlink() and os.readlink(file) == self.source  # noqa: PTH115 - as it is written
                case Manner.HARDLINK:
                    return not file.is_symlink() and file.stat().st_ino == self.inode
            found = file.lstat()
        except OSError:
            return False
        same_time = abs(found.st_mtime_ns - self.mtime_ns) <= _CLOCK_NS
        return not file.is_symlink() and found.st_size == self.size and same_time


def read_record(folder: Path) -> list[Entry]:
    """What an export put into a folder; nothing if there was none.

    Raises:
        FailedPrecondition: the record cannot be read.
    """
    file = folder / RECORD
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise ValueError(f"its version is {content['version']}")
        return [_entry(each) for each in content["files"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise FailedPrecondition(
            f"{file} is not the record of an export ({error}); export into another folder",
            reason="BROKEN_RECORD",
            metadata={"path": str(file)},
        ) from error


def write_record(folder: Path, entries: Iterable[Entry]) -> None:
    """Replaces the record in one step.

    Raises:
        OSError: it cannot be written.
    """
    files = [asdict(each) | {"manner": each.manner.value} for each in entries]
    partial = folder / f"{RECORD}{PARTIAL}"
    # A file name that is no text has halves of characters, which JSON can only escape.
    partial.write_text(json.dumps({"version": _VERSION, "files": files}, indent=0), encoding="utf-8")
    partial.replace(folder / RECORD)


def check_own(folder: Path, entries: Iterable[Entry]) -> None:
    """Makes sure that a folder holds nothing but what exports put there.

    Raises:
        FailedPrecondition: it holds something else, or something that was changed since.
        OSError: it cannot be read.
    """
    by_path: dict[str, list[Entry]] = {}
    for entry in entries:
        by_path.setdefault(entry.path, []).append(entry)
    foreign = []
    for parent, folders, files in os.walk(folder, onerror=_fail):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(parent, name).relative_to(folder).as_posix()
            own = path == RECORD or name.endswith(PARTIAL) or name.lower() in _LITTER
            if not own and not any(entry.stands(folder) for entry in by_path.get(path, [])):
                foreign.append(path)
    if foreign:
        more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
        raise FailedPrecondition(
            f"{folder} holds what no export put there, or what was changed since: {', '.join(foreign[:_NAMED])}{more}; "
            "move that away, or export into a new folder",
            reason="FOREIGN_FILES",
            metadata={"folder": str(folder), "count": str(len(foreign))},
        )


def _fail(error: OSError) -> None:
    raise error


def _entry(fields: dict[str, Any]) -> Entry:
    return Entry(**{**fields, "manner": Manner(fields["manner"])})

"""Sorts pictures into a folder for each cluster, by links or copies; done again, it only changes what differs."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from shoal_client.export.placement import NotPlaced, Placed
from shoal_client.export.record import PARTIAL, Entry, Manner, check_own, read_record, write_record


@dataclass(slots=True)
class Sorted:
    """What became of the files of an export.

    Attributes:
        made: links or copies that are new.
        renamed: copies that only changed their place.
        removed: links or copies that are gone, because their image or cluster is.
        unchanged: links or copies that were right already.
        failed: pictures that could not be put into a folder, and why.
        orphans: paths of copies that belong nowhere any more, but whose picture is gone: they are left.
    """

    made: int = 0
    renamed: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: list[NotPlaced] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


def sort_into(
    folder: Path, placed: Sequence[Placed], manner: Manner, on_progress: Callable[[], None] = lambda: None
) -> Sorted:
    """Makes a folder hold the pictures at their places, and nothing that earlier exports put elsewhere.

    The record of what is ours is written before anything changes, and again at the end: an export that was broken off
    is simply repeated.

    Args:
        folder: made if it is not there.
        placed: the pictures; no two at the same path.
        manner: how they get there.
        on_progress: called after each picture.

    Raises:
        FailedPrecondition: the folder holds what no export put there, or is no folder.
        OSError: the folder or its record cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = read_record(folder)
    check_own(folder, before)
    outcome = Sorted()
    wanted = _wanted(folder, placed, manner, before, outcome)
    settled = set(before)
    right = {
        entry for entry in wanted if entry.stands(folder) and (entry.manner is not Manner.COPY or entry in settled)
    }
    aside = _to_set_aside(folder, before, wanted, right)
    ours = {*before, *wanted, *aside.values()}
    write_record(folder, {entry if entry in right else replace(entry, settled=False) for entry in ours})
    there = _clear(folder, before, right, aside, outcome)
    spare = {entry.image_id: entry for entry in aside.values()}
    for entry in wanted:
        if entry in right:
            outcome.unchanged += 1
            there.append(entry)
        elif _make(folder, entry, spare, outcome):
            there.append(entry)
        on_progress()
    there += [old for old in spare.values() if not _remove(folder, old, outcome)]
    write_record(folder, there)
    _tidy(folder, ours, there)
    return outcome


def _wanted(
    folder: Path, placed: Iterable[Placed], manner: Manner, before: Sequence[Entry], outcome: Sorted
) -> list[Entry]:
    """What is to be there. A copy whose picture is gone is as good as the picture."""
    copies = {each.image_id: each for each in before if each.manner is not Manner.SYMLINK and each.stands(folder)}
    wanted = []
    for each in placed:
        try:
            if not each.source.is_file():
                raise FileNotFoundError(errno.ENOENT, "there is no such file")
            found = each.source.stat()
        except OSError as error:
            copy = copies.get(each.image_id)
            if copy is not None:
                wanted.append(replace(copy, path=each.path))
            else:
                problem = f"{each.source}: {error.strerror or error}"
                outcome.failed.append(NotPlaced(each.image_id, each.source.as_uri(), problem))
            continue
        wanted.append(
            Entry(
                each.path,
                each.image_id,
                manner,
                str(each.source),
                *((found.st_size, found.st_mtime_ns, found.st_ino) if manner is not Manner.SYMLINK else ()),
            )
        )
    return wanted


def _to_set_aside(
    folder: Path, before: Iterable[Entry], wanted: Iterable[Entry], right: set[Entry]
) -> dict[Entry, Entry]:
    """Copies that only have to change their place, and what they are called until their new place is free."""
    moving = {entry.image_id: entry for entry in wanted if entry not in right}
    right_paths = {entry.path for entry in right}
    aside: dict[str, tuple[Entry, Entry]] = {}
    for old in before:
        new = moving.get(old.image_id)
        if old.manner is Manner.SYMLINK or new is None or old.path in right_paths:
            continue
        if old.certain and replace(new, path=old.path, settled=old.settled) == old and old.stands(folder):
            parent = old.path.rpartition("/")[0]
            aside[old.image_id] = (old, replace(old, settled=True, path=f"{parent}/{old.image_id}{PARTIAL}"))
    return dict(aside.values())


def _clear(
    folder: Path, before: Iterable[Entry], right: set[Entry], aside: dict[Entry, Entry], outcome: Sorted
) -> list[Entry]:
    """Takes away what is wrong, and sets aside what only has to move; answers what stays although nobody wants it."""
    right_paths = {entry.path for entry in right}
    kept = []
    for old in before:
        if old.path in right_paths or not old.stands(folder):
            continue
        if old in aside:
            (folder / old.path).rename(folder / aside[old].path)
        elif not _remove(folder, old, outcome):
            kept.append(old)
    return kept


def _remove(folder: Path, entry: Entry, outcome: Sorted) -> bool:
    """Removes a link or copy, unless it may be the last copy of its picture."""
    if entry.manner is not Manner.SYMLINK and not Path(entry.source).exists():
        outcome.orphans.append(entry.path)
        return False
    (folder / entry.path).unlink(missing_ok=True)
    outcome.removed += 1
    return True


def _make(folder: Path, entry: Entry, spare: dict[str, Entry], outcome: Sorted) -> bool:
    file = folder / entry.path
    aside = spare.get(entry.image_id)
    try:
        file.parent.mkdir(exist_ok=True)
        if os.path.lexists(file):
            raise FileExistsError(errno.EEXIST, "another file stands there; move it away")
        if aside is None:
            _put(Path(entry.source), file, entry.manner)
            outcome.made += 1
        else:
            (folder / aside.path).rename(file)
            del spare[entry.image_id]
            outcome.renamed += 1
    except OSError as error:
        outcome.failed.append(NotPlaced(entry.image_id, Path(entry.source).as_uri(), _problem(error, file)))
        return False
    return True


def _put(source: Path, file: Path, manner: Manner) -> None:
    match manner:
        case Manner.SYMLINK:
            file.symlink_to(source)
        case Manner.HARDLINK:
            os.link(source, file, follow_symlinks=True)
        case Manner.COPY:
            partial = file.with_name(f"{file.name}{PARTIAL}")
            try:
                shutil.copy2(source, partial)
                partial.rename(file)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise


def _problem(error: OSError, file: Path) -> str:
    text = f"{file}: {error.strerror or error}"
    if error.errno == errno.EXDEV:
        return f"{text}; a hard link can't leave its disk: use --symlink or --copy"
    return text


def _tidy(folder: Path, ours: Iterable[Entry], there: Iterable[Entry]) -> None:
    """Removes what an export that was broken off left half done, and those of our folders that hold nothing now."""
    paths = {entry.path for entry in there}
    for name in {entry.path.rpartition("/")[0] for entry in ours}:
        parent = folder / name
        for partial in parent.glob(f"*{PARTIAL}"):
            if f"{name}/{partial.name}" not in paths:
                partial.unlink(missing_ok=True)
        with suppress(OSError):  # it holds something, or is gone
            parent.rmdir()

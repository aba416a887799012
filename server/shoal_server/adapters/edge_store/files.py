"""The data folder: its lock and its JSON records, each written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import portalocker

from shoal_server.domain.errors import FolderInUse, StoreIncompatible

T = TypeVar("T")

_TEMPORARY = ".tmp"
_REMEDY = "restore the file from a backup, or move it away if what it describes can be given up"


def sync_folder(folder: Path) -> None:
    """Makes creations, renames and removals in a folder durable."""
    # Windows cannot open a folder; its file system journals names by itself.
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Makes all that is in a folder durable, whoever wrote it. Blocks."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            # Windows makes durable only what is open for writing.
            with path.open("r+b", buffering=0) as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Replaces a JSON file atomically and durably; a crash leaves the old one or the new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_TEMPORARY)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_record(path: Path, decode: Callable[[Mapping[str, Any]], T], remedy: str = _REMEDY) -> T:
    """Reads a JSON file into what it stands for.

    Args:
        path: the file.
        decode: makes something of what is in it.
        remedy: what to do if that cannot be done.

    Raises:
        FileNotFoundError: there is no such file.
        StoreIncompatible: it cannot be read or understood; the message names it.
    """
    try:
        return decode(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreIncompatible(
            f"the record {path} cannot be read ({type(error).__name__}: {error}); {remedy}",
            file=str(path),
        ) from error


def remove_temporaries(folder: Path) -> None:
    """Removes what writes that a crash cut short have left."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        path.unlink()


def lock_folder(folder: Path) -> IO[str]:
    """Locks a folder for this process; closing the file lets go, and so does the end of the process.

    Raises:
        FolderInUse: somebody else has it; the message has the process id if it can be read.
    """
    path = folder / ".lock"
    file = path.open("a+", encoding="ascii")
    try:
        portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.LockException as error:
        file.close()
        raise FolderInUse(str(folder), _holder(path)) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _holder(path: Path) -> str:
    try:
        holder = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        # Where locks are mandatory the file cannot be read; the pid is a courtesy.
        return ""
    return f" (process {holder})" if holder.isdecimal() else ""

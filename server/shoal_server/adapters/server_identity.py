"""Which server this is, among several on one store: an id that stays with its data folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import IO

import portalocker

from shoal_server.domain.errors import FolderInUse

_ID = "server-id"


class ServerIdentity:
    """The id of a data folder that belongs to this process alone while it is open.

    A server that is started again with its folder is the same to the others, and takes its own leases up at once.

    Attributes:
        id: 16 hexadecimal digits.
    """

    def __init__(self, identity: str, lock: IO[str]) -> None:
        self.id = identity
        self._lock = lock

    @classmethod
    def open(cls, folder: Path) -> ServerIdentity:
        """Locks a folder and reads its id, which is made if there is none.

        Raises:
            FolderInUse: another server has it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+", encoding="ascii")
        try:
            portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        except portalocker.LockException as error:
            file.close()
            raise FolderInUse(str(folder), "") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return cls(_identity(folder / _ID), file)

    def close(self) -> None:
        """Lets go of the folder."""
        self._lock.close()


def _identity(path: Path) -> str:
    try:
        known = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        known = ""
    if known:
        return known
    made = secrets.token_hex(8)
    part = path.with_name(f"{path.name}.part")
    part.write_text(made, encoding="ascii")
    part.replace(path)
    return made

"""How much room there is on the disk that a folder is on."""

from __future__ import annotations

import shutil
from pathlib import Path

from shoal_server.application.ports import FreeSpace, Purpose
from shoal_server.domain.errors import StoreFull

#: Share of the reserve that must be left.
_RESERVED = {Purpose.GROW: 1.0, Purpose.FINISH: 1 / 2, Purpose.OPEN: 1 / 8}


class DiskSpace(FreeSpace):
    """Refuses writes before the disk is full.

    The vector engine maps files with holes into memory: to write where the disk has no room is no error that could be
    caught, but ends the process (SIGBUS). So the last of the room is never used.
    """

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        """Args:
        folder: that is written to; it exists.
        min_free_bytes: the reserve; 0: nothing is checked.
        """
        self._folder = folder
        self._min_free = min_free_bytes

    def check(self, purpose: Purpose, needed: int = 0) -> None:
        """See :meth:`FreeSpace.check`."""
        if not self._min_free:
            return
        least = int(self._min_free * _RESERVED[purpose]) + needed
        if shutil.disk_usage(self._folder).free < least:
            raise StoreFull(str(self._folder), to_start=least if purpose is Purpose.OPEN else None)

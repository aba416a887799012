"""The log that what was acknowledged is found in again."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LENGTH = struct.Struct(">Q")

#: An operation's name, its collection, its arguments.
Operation = tuple[str, str, dict[str, Any]]


class OperationLog:
    """Operations in a file, each behind its length.

    What the kernel has, survives the death of the process; nothing is promised for the machine's.
    """

    def __init__(self, folder: Path) -> None:
        """Args:
        folder: is made if it is not there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "operations.log").open("a+b", buffering=0)

    def replay(self) -> Iterator[Operation]:
        """All operations, in their order; what a killed process left half written at the end is cut off."""
        self._file.seek(0)
        whole = 0
        while len(header := self._file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(header)
            content = self._file.read(length)
            if len(content) < length:
                break
            whole += _LENGTH.size + length
            operation: Operation = pickle.loads(content)  # noqa: S301 - its own file
            yield operation
        self._file.truncate(whole)

    def append(self, operation: Operation) -> None:
        """Writes one at the end."""
        content = pickle.dumps(operation, protocol=pickle.HIGHEST_PROTOCOL)
        self._file.write(_LENGTH.pack(len(content)) + content)

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()

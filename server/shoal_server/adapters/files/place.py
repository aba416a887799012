"""Where files are: what a folder and a bucket have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Reading(Protocol):
    """A file that is being read."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""
        ...

    def close(self) -> None:
        """Lets go of the file."""
        ...


class Place(Protocol):
    """Files by their names; a name has parts, with a ``/`` between them. All calls block and may come from any thread.

    Every method raises StoreUnavailable where the place does not answer or refuses, and StoreFull where it is full.
    """

    @property
    def threads(self) -> int:
        """How many calls at once are worth making."""
        ...

    def full_name(self, name: str) -> str:
        """A file's name as people can find it; without credentials."""
        ...

    def write(self, name: str, content: bytes, *, durably: bool) -> None:
        """Writes a file, whole or not at all; one that is there is replaced.

        Args:
            name: of the file.
            content: all of it.
            durably: it survives a power failure right after the return, or it is not there.
        """
        ...

    def read(self, name: str) -> bytes | None:
        """A whole file; None if there is none."""
        ...

    def open(self, name: str) -> Reading | None:
        """A file to be read in parts; None if there is none."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Removes files, durably; what is not there is passed over."""
        ...

    def delete_all(self, start: str) -> None:
        """Removes all files whose names begin with ``start/``; one that is written meanwhile may stay."""
        ...

    def close(self) -> None:
        """Lets go of the place."""
        ...

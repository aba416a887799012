"""Files below allow-listed folders, and nothing else whatever links there are."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from shoal_server.domain.errors import FetchFailed, FetchNotAllowed, FetchUnavailable, FileTooLarge

_PART = 1024 * 1024
#: What is wrong with the machine, or with a network file system, for the moment; nothing with the file.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT})
_NO_ROOTS = (
    "it reads no files by URI; set SHOAL_INGEST_ROOTS on the server to the folders that it may read from, or send the "
    "file's bytes"
)
_OUTSIDE = "it reads files only below the folders of SHOAL_INGEST_ROOTS; move the file there, or send its bytes"


class RootedFiles:
    """Reads files below some folders.

    What lies outside is refused by its name alone: nobody learns what exists there. Below a folder, symbolic links may
    lead to another place below one; the place is worked out first, and then opened from the folder downwards without
    following any link, so that one put there in between leads nowhere.
    """

    def __init__(self, roots: Sequence[Path], max_bytes: int) -> None:
        """Args:
        roots: the folders; links in their own paths are followed, now.
        max_bytes: of one file.
        """
        self._max_bytes = max_bytes
        self._resolved = tuple(Path(os.path.realpath(root)) for root in roots)
        #: A client may write a folder as it is set, or as what that leads to.
        self._named = tuple(Path(os.path.normpath(root.absolute())) for root in roots) + self._resolved

    def read(self, uri: str) -> bytes:
        """The bytes of a file; blocks.

        Args:
            uri: ``file:///path``, percent-encoded.

        Raises:
            FetchNotAllowed: there are no folders, or it is not below one.
            FetchFailed: it is not well-formed, or the file is not there, not a regular one, or cannot be read.
            FetchUnavailable: the system cannot read it just now.
            FileTooLarge: it has more than ``max_bytes``.
        """
        if not self._resolved:
            raise FetchNotAllowed(uri, _NO_ROOTS)
        path = _path_of(uri)
        # Before the file system is asked: an answer, or the time it takes, would tell what exists.
        if not _is_below(Path(os.path.normpath(path)), self._named):
            raise FetchNotAllowed(uri, _OUTSIDE)
        try:
            real = Path(os.path.realpath(path))
            root = next((root for root in self._resolved if real.is_relative_to(root)), None)
            if root is None:
                raise FetchNotAllowed(uri, _OUTSIDE)
            descriptor = _open_below(root, real.relative_to(root).parts)
            try:
                return self._content(uri, descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in _PASSING:
                raise FetchUnavailable(uri, f"{error.strerror or error}; try again") from error
            raise FetchFailed(uri, f"{error.strerror or error}; check the path and its permissions") from error

    def _content(self, uri: str, descriptor: int) -> bytes:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FetchFailed(uri, "it is not a regular file; name a single image file")
        if found.st_size > self._max_bytes:
            raise FileTooLarge(self._max_bytes)
        parts = []
        # Counted all the same: it may grow meanwhile.
        left = self._max_bytes + 1
        while left and (part := os.read(descriptor, min(_PART, left))):
            parts.append(part)
            left -= len(part)
        if not left:
            raise FileTooLarge(self._max_bytes)
        return b"".join(parts)


def _path_of(uri: str) -> str:
    """The absolute path in a file URI (RFC 8089).

    Raises:
        FetchFailed: it is not one of a file on this machine.
    """
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise FetchFailed(uri, f"it is not a URI ({error}); write file:///path/to/file") from error
    if parts.netloc:
        raise FetchFailed(uri, "it names a host; write file:///path/to/file, with three slashes")
    if parts.query or parts.fragment:
        raise FetchFailed(uri, "a ? or # in a file's name is written %3F or %23")
    path = os.fsdecode(unquote_to_bytes(parts.path))
    if not path.startswith("/") or "\0" in path:
        raise FetchFailed(uri, "it has no absolute path; write file:///path/to/file")
    return path


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _open_below(root: Path, parts: Sequence[str]) -> int:
    """A descriptor of a file, opened from a folder downwards; a link anywhere in between is an OSError."""
    # O_PATH, where there is one, needs no permission to list a folder.
    folder_flags = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
    folder = os.open(root, folder_flags)
    try:
        for part in parts[:-1]:
            inner = os.open(part, folder_flags | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Non-blocking: opening a FIFO would wait for somebody to write into it.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(parts[-1] if parts else ".", flags, dir_fd=folder)
    finally:
        os.close(folder)

"""Files by where they are: on this machine's disks, or at a URL that fsspec knows (https://filesystem-spec.readthedocs.io).

For commands that somebody runs as themselves: nothing is refused that the file system lets them read.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from glob import has_magic
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

import fsspec

from shoal_server.domain.errors import FetchFailed, FetchUnavailable, FileTooLarge, MissingExtra, ShoalError

#: The extra with the package for a scheme.
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
#: In these, ? belongs to the address and * to nothing.
_WITHOUT_PATTERNS = frozenset({"http", "https"})


class LocatedFiles:
    """Reads files, several at once."""

    def __init__(self, max_bytes: int, threads: int) -> None:
        """Args:
        max_bytes: of one file.
        threads: how many are read at once.
        """
        self._max_bytes = max_bytes
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="files")

    async def aclose(self) -> None:
        """Waits for the files that are being read."""
        await asyncio.to_thread(self._pool.shutdown)

    async def read(self, location: str) -> bytes:
        """The bytes of a file.

        Args:
            location: an absolute path, or a URL.

        Raises:
            FetchFailed: it is not there, no file, may not be read, or nobody knows such URLs.
            FetchUnavailable: the storage does not answer, or its answer is none.
            FileTooLarge: it has more than ``max_bytes``.
            MissingExtra: the storage's package is not installed.
        """
        read = _read_path if location.startswith("/") else _read_url
        content = await asyncio.get_running_loop().run_in_executor(self._pool, read, location, self._max_bytes + 1)
        if len(content) > self._max_bytes:
            raise FileTooLarge(self._max_bytes)
        return content


def find_files(url: str, suffixes: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """The files below a folder of a storage, or those that a pattern matches, sorted; blocks.

    What is hidden (its name, or that of a folder on the way, begins with a dot) is left out.

    Args:
        url: of a file, a folder, or with a pattern in it.
        suffixes: of the files to take, in lower case; a file that is named itself is taken whatever its suffix.

    Yields:
        The URL of each, and whether it has such a suffix.

    Raises:
        FetchFailed: nothing is there, or nobody knows such URLs.
        FetchUnavailable: the storage does not answer.
        MissingExtra: the storage's package is not installed.
    """
    system, path = _opened(url)
    is_pattern = url.partition("://")[0] not in _WITHOUT_PATTERNS and has_magic(path)
    try:
        if is_pattern:
            found = {name: info for name, info in system.glob(path, detail=True).items() if info["type"] != "directory"}
            root = "/".join(takewhile(lambda part: not has_magic(part), path.split("/")))
        elif system.isdir(path):
            found = system.find(path, detail=True)
            root = path
        else:
            yield url, True
            return
    except Exception as error:
        raise _problem(url, error) from error
    if not found:
        raise FetchFailed(url, "nothing is there of this pattern" if is_pattern else "there are no files in it")
    for name in sorted(found):
        inside = PurePosixPath(name.removeprefix(root).lstrip("/"))
        if not any(part.startswith(".") for part in inside.parts):
            yield str(system.unstrip_protocol(name)), inside.suffix.lower() in suffixes


def _read_path(path: str, most: int) -> bytes:
    """At most so many bytes of a file."""
    try:
        # Non-blocking: opening a FIFO would wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FetchFailed(path, "it is no regular file")
            return file.read(most)
    except OSError as error:
        raise FetchFailed(path, f"{error.strerror or error}; check the path and its permissions") from error


def _read_url(url: str, most: int) -> bytes:
    """At most so many bytes of an object, where the storage can give a part of it."""
    system, path = _opened(url)
    try:
        try:
            return bytes(system.cat_file(path, start=0, end=most))
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except Exception:
            # Of an empty object there is no first byte to ask for.
            if system.size(path) == 0:
                return b""
            raise
    except Exception as error:
        raise _problem(url, error) from error


def _opened(url: str) -> tuple[Any, str]:
    scheme = url.partition("://")[0]
    try:
        # fsspec keeps one for each storage: its connections are shared.
        system, path = fsspec.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        if scheme in _EXTRAS:
            raise MissingExtra(f"reading {url[:200]!r}", _EXTRAS[scheme]) from error
        raise FetchFailed(url, f"no package for {scheme}:// is installed ({error})") from error
    except ValueError as error:
        raise FetchFailed(url, f"{error}; write a path, s3://BUCKET/KEY or gs://BUCKET/KEY") from error
    return system, str(path)


def _problem(url: str, error: Exception) -> ShoalError:
    if isinstance(error, FileNotFoundError):
        return FetchFailed(url, "there is no such file or folder")
    if isinstance(error, PermissionError):
        return FetchFailed(url, f"it may not be read: {error}")
    if isinstance(error, IsADirectoryError):
        return FetchFailed(url, "it is a folder")
    return FetchUnavailable(url, f"{type(error).__name__}: {error}")

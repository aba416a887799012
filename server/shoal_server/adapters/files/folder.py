"""A place in the file system."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from io import FileIO
from pathlib import Path
from uuid import uuid4

import portalocker

from shoal_server.adapters.files.place import Place, Reading
from shoal_server.application.ports import FreeSpace, Purpose
from shoal_server.domain.errors import FolderInUse, FolderNotWritable
from shoal_server.domain.full_disk import store_failure

#: What lies in a shared folder's ``.scratch`` for so many seconds was left there by a server that crashed.
_ABANDONED_S = 24 * 3600


class Folder(Place):
    """Files in a folder of this machine, or of several that mount it.

    What is being written, or removed with all that is below it, is in ``.scratch``. Every file is there whole or not at
    all after ``kill -9``; after a power failure too, if it was written durably.
    """

    threads = 4

    def __init__(self, folder: Path, *, shared: bool = False, space: FreeSpace | None = None) -> None:
        """Opens or makes the folder and removes what a crash left in ``.scratch``; blocks.

        Args:
            folder: belongs to this object alone until it is closed, if it is not shared.
            shared: other servers may have it open too.
            space: asked before a file is written; None: nobody is.

        Raises:
            FolderInUse: another server has it.
            FolderNotWritable: it cannot be made or written to.
        """
        self._folder = folder
        self._space = space
        self.shared = shared
        #: For temporary files; below the folder, so that they can be moved into it.
        self.scratch = folder / ".scratch"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = None if shared else (folder / ".lock").open("a+b")
        except OSError as error:
            raise FolderNotWritable(str(folder), error.strerror or str(error)) from error
        try:
            if self._lock is not None:
                portalocker.lock(self._lock, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
                _empty(self.scratch, older_than_s=0)
            else:
                _empty(self.scratch, older_than_s=_ABANDONED_S)
        except portalocker.LockException as error:
            self.close()
            raise FolderInUse(str(folder), "") from error
        except OSError as error:
            self.close()
            raise FolderNotWritable(str(folder), error.strerror or str(error)) from error

    def close(self) -> None:
        """See :meth:`Place.close`."""
        if self._lock is not None:
            self._lock.close()

    def full_name(self, name: str) -> str:
        """See :meth:`Place.full_name`."""
        return str(self._folder / name)

    def write(self, name: str, content: bytes, *, durably: bool) -> None:
        """See :meth:`Place.write`."""
        if self._space is not None:
            self._space.check(Purpose.GROW, len(content))
        path = self._folder / name
        # A new name each time, for a file may be written again while it is being written. Not mkstemp: what that makes
        # can be read by nobody else, and these files are for other programs too.
        partial = self.scratch / uuid4().hex
        with self._failures():
            try:
                with partial.open("wb") as file:
                    file.write(content)
                    if durably:
                        file.flush()
                        os.fsync(file.fileno())
                _move(partial, path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            if durably:
                # The folders too: each may be new, and one whose name is lost takes the file with it.
                for folder in path.parents[: len(Path(name).parts)]:
                    _sync(folder)

    def read(self, name: str) -> bytes | None:
        """See :meth:`Place.read`."""
        with self._failures():
            try:
                return (self._folder / name).read_bytes()
            except FileNotFoundError:
                return None

    def open(self, name: str) -> Reading | None:
        """See :meth:`Place.open`. The file stays readable though it is replaced or removed meanwhile."""
        with self._failures():
            try:
                return _OpenFile((self._folder / name).open("rb", buffering=0), self._failures)
            except FileNotFoundError:
                return None

    def size(self, name: str) -> int | None:
        """See :meth:`Place.size`."""
        with self._failures():
            try:
                return (self._folder / name).stat().st_size
            except FileNotFoundError:
                return None

    def delete(self, names: Sequence[str]) -> None:
        """See :meth:`Place.delete`."""
        changed = set()
        with self._failures():
            for path in (self._folder / name for name in names):
                try:
                    path.unlink()
                except FileNotFoundError:
                    continue
                changed.add(path.parent)
            for folder in changed:
                _sync(folder)

    def delete_all(self, start: str) -> None:
        """See :meth:`Place.delete_all`."""
        # Moved away first: nobody puts a file into a folder that is being emptied.
        going = self.scratch / uuid4().hex
        with self._failures():
            try:
                (self._folder / start).rename(going)
            except FileNotFoundError:
                return
            _sync(self._folder)
            shutil.rmtree(going)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise store_failure(str(self._folder), error) from error


class _OpenFile:
    """A file whose failures are told as the folder's."""

    def __init__(self, file: FileIO, failures: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._failures = failures

    def read(self, size: int, /) -> bytes:
        with self._failures():
            return self._file.read(size)

    def close(self) -> None:
        self._file.close()


def _empty(scratch: Path, older_than_s: float) -> None:
    scratch.mkdir(exist_ok=True)
    before = time.time() - older_than_s
    for path in scratch.iterdir():
        if older_than_s and path.lstat().st_mtime > before:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _move(partial: Path, path: Path) -> None:
    for _ in range(10):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(path)
        except (FileNotFoundError, FileExistsError):
            # The collection was deleted between the two, or while a folder was looked at that another call made,
            # perhaps to be made again under the same name.
            continue
        return
    raise OSError(f"the folder {path.parent} is removed again and again")


def _sync(folder: Path) -> None:
    """Makes what was put into a folder, or taken out of it, durable."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        # It was deleted with its collection: there is nothing left to lose.
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

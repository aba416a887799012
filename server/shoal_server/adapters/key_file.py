"""API keys in a JSON file, which several processes may change and a server follows."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import portalocker

from shoal_server.domain.access import ApiKey
from shoal_server.domain.errors import FolderNotWritable, StoreIncompatible
from shoal_server.domain.records.keys import keys_from_record, keys_to_record

Keys = tuple[ApiKey, ...]
#: What tells one version of a file from another: time of change in nanoseconds, bytes, inode.
_Version = tuple[int, int, int]


class KeyFile:
    """A ``KeySource`` that can be changed. The file holds digests, and is readable for its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: Other than any version, and than that of a file that is not there.
        self._seen: _Version | str | None = "unread"

    @property
    def path(self) -> Path:
        """Where the keys are."""
        return self._path

    async def changed_keys(self) -> Keys | None:
        """As :class:`KeySource` has it."""
        return await asyncio.to_thread(self._changed)

    def read(self) -> Keys:
        """All keys; none if there is no file.

        Raises:
            StoreIncompatible: it cannot be read or understood.
        """
        try:
            return keys_from_record(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreIncompatible(
                f"the API keys in {self._path} cannot be read ({type(error).__name__}: {error}); put the file right, "
                "or make new keys in another with SHOAL_KEYS_FILE",
                file=str(self._path),
            ) from error

    def change(self, change: Callable[[Keys], Keys]) -> None:
        """Replaces the keys, whole or not at all; nobody else changes them meanwhile.

        Args:
            change: from the keys that there are to those that there will be.

        Raises:
            FolderNotWritable: its folder cannot be written to.
            StoreIncompatible: the file cannot be read or understood.
        """
        folder = self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f".{self._path.name}.lock").open("a") as lock:
                portalocker.lock(lock, portalocker.LockFlags.EXCLUSIVE)
                self._write(change(self.read()))
        except OSError as error:
            raise FolderNotWritable(str(folder), error.strerror or str(error)) from error

    def _write(self, keys: Keys) -> None:
        # Made with mode 0600, and put in its place only when it is whole.
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(keys_to_record(keys), file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _changed(self) -> Keys | None:
        version: _Version | str | None
        try:
            stat = self._path.stat()
            version = stat.st_mtime_ns, stat.st_size, stat.st_ino
        except FileNotFoundError:
            version = None
        except OSError as error:
            version = str(error)
        if version == self._seen:
            return None
        # Before reading: what is written meanwhile has another version, and is read the next time.
        self._seen = version
        try:
            return self.read()
        except StoreIncompatible as error:
            if isinstance(error.__cause__, OSError):
                # It may be readable the next time though nothing in it has changed.
                self._seen = "unread"
            raise

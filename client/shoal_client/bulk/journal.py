"""Remembers which files were stored, so that nobody reads them again.

The journal is never the last word: what it knows is only left out if the server says that it still has it. A journal
that is lost, or cannot be written, costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from shoal_client.sources import NearDuplicates, Origin, Source

_log = logging.getLogger(__name__)

#: Written to the file; one of a newer layout is left alone.
LAYOUT = 1
#: SQLite's mark of whose file it is: "Shoa". Journals of before it have none.
APPLICATION_ID = 0x53686F61
#: What was recorded is written to the disk after so many images or seconds.
BATCH = 256
BATCH_S = 1.0
#: How long another ingest that writes to the same journal is waited for.
BUSY_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sent (
    key BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 BLOB NOT NULL
) WITHOUT ROWID
"""


def default_journal() -> Path:
    """``$XDG_STATE_HOME/shoal/ingest.sqlite``, or ``~/.local/state/shoal/ingest.sqlite``."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "shoal" / "ingest.sqlite"


class Sayings:
    """Tells apart what was said of a file: with other tags, or for another collection, it is sent again.

    Args:
        target: the server's address. It counts only where something was said that nobody can ask a server for: tags and
            attributes. Whether it has the image is asked anyway.
        parent: the collection's name.
        drop_location: as sent.
        near_duplicates: as sent.
    """

    def __init__(
        self, target: str, parent: str, *, drop_location: bool, near_duplicates: NearDuplicates | None
    ) -> None:
        self._target = target
        self._common = [parent, drop_location, None if near_duplicates is None else near_duplicates.value]

    def key(self, source: Source) -> bytes | None:
        """The journal's key for a file and what is said of it; None if nobody can say which file it is."""
        if source.origin is None:
            return None
        said: list[object] = [*self._common, source.uri]
        if source.tags or source.attributes:
            said += [
                self._target,
                sorted(set(source.tags)),
                sorted(source.attributes.items(), key=lambda item: item[0]),
            ]
        key = hashlib.blake2b(json.dumps(said, default=repr).encode(), digest_size=16)
        key.update(source.origin.location)
        return key.digest()


class Journal:
    """A file of what was stored; used by several threads. It warns once if it cannot be used, and then knows nothing.

    Args:
        path: the file; made with its folder if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._recorded: list[tuple[bytes, int, int, bytes]] = []
        self._written = time.monotonic()
        self._database: sqlite3.Connection | None = None
        with self._trying():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
            _refuse_foreign(self._database)
            (layout,) = self._database.execute("PRAGMA user_version").fetchone()
            if layout > LAYOUT:
                raise sqlite3.DatabaseError(f"it was written by a newer version of Shoal (layout {layout})")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(_SCHEMA)
            self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._database.execute(f"PRAGMA user_version = {LAYOUT}")

    def lookup(self, wanted: Mapping[bytes, Origin]) -> dict[bytes, str]:
        """The hexadecimal SHA-256 of the files that were stored and have not changed since, by key."""
        found: dict[bytes, str] = {}
        with self._lock, self._trying():
            if self._database is not None:
                for key, origin in wanted.items():
                    row = self._database.execute(
                        "SELECT sha256 FROM sent WHERE key = ? AND size = ? AND mtime_ns = ?",
                        (key, origin.size, origin.mtime_ns),
                    ).fetchone()
                    if row is not None:
                        found[key] = bytes(row[0]).hex()
        return found

    def record(self, key: bytes, origin: Origin, sha256: str) -> None:
        """Remembers that a file was stored, or a stored image in its place."""
        with self._lock:
            self._recorded.append((key, origin.size, origin.mtime_ns, bytes.fromhex(sha256)))
            if len(self._recorded) >= BATCH or time.monotonic() - self._written > BATCH_S:
                self._write()

    def close(self) -> None:
        """Writes what was recorded. Closing twice does nothing."""
        with self._lock:
            self._write()
            if self._database is not None:
                self._database.close()
                self._database = None

    def _write(self) -> None:
        recorded: Sequence[tuple[bytes, int, int, bytes]] = self._recorded
        self._recorded = []
        self._written = time.monotonic()
        with self._trying():
            if self._database is not None and recorded:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)", recorded)
                self._database.execute("COMMIT")

    @contextmanager
    def _trying(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            _log.warning(
                "the journal %s cannot be used: %s; nothing is lost, but a second ingest reads all files again; choose "
                "another with --journal FILE",
                self._path,
                error,
            )
            if self._database is not None:
                self._database.close()
                self._database = None


def _refuse_foreign(database: sqlite3.Connection) -> None:
    """Refuses a database with anything else in it than a journal.

    Raises:
        DatabaseError: it is another program's.
    """
    (application,) = database.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application not in (0, APPLICATION_ID) or (tables and "sent" not in tables):
        raise sqlite3.DatabaseError("it is the database of another program, and is left as it is")

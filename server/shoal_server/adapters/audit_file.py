"""The record of changes as JSON lines in a file that is renamed when it is full."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path

from shoal_server.application.audit import AuditEntry
from shoal_server.domain.errors import FolderNotWritable

_log = logging.getLogger(__name__)

#: Of one file; there are ``.1`` to ``.9`` beside it.
MAX_BYTES = 16 * 2**20
KEPT = 9
#: Lines that wait for the disk; those that come then are lost until half of them are written, and the log says so.
MAX_WAITING = 10_000


class AuditFile:
    """An ``AuditTrail`` that writes in a thread of its own, so that a slow disk holds up no call."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        """Args:
        path: of the file.
        max_bytes: of one file.

        Raises:
            FolderNotWritable: it cannot be written to.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _PrivateFile(path, maxBytes=max_bytes, backupCount=KEPT, encoding="utf-8")
        except OSError as error:
            raise FolderNotWritable(
                str(path), error.strerror or str(error), what="the record of changes", setting="SHOAL_AUDIT_LOG"
            ) from error
        self._lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._listener = QueueListener(self._lines, self._file)
        self._listener.start()
        self._handler = QueueHandler(self._lines)
        self._losing = False

    def record(self, entry: AuditEntry) -> None:
        """As :class:`AuditTrail` has it."""
        losing = self._losing
        # Not at every line that the disk takes: it has to have caught up.
        self._losing = self._lines.qsize() >= (MAX_WAITING // 2 if losing else MAX_WAITING)
        if self._losing:
            if not losing:
                _log.error("the disk does not keep up with the record of changes, and lines of it are lost")
            return
        line = {
            "time": entry.time.isoformat(timespec="milliseconds"),
            "caller": entry.caller,
            "name": entry.name,
            "address": entry.address,
            "method": entry.method,
            "collections": list(entry.collections),
            "outcome": entry.outcome,
            "request": entry.request,
            "seconds": round(entry.seconds, 3),
        }
        text = json.dumps(line)
        self._handler.handle(logging.LogRecord("shoal.audit", logging.INFO, "", 0, text, None, None))

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._listener.stop()
        try:
            self._file.close()
        except OSError as error:
            self._file.tell_of(error)


class _PrivateFile(RotatingFileHandler):
    """Readable for its owner alone. What cannot be written is told in the log, once until it can be again."""

    _failed, _told = False, False

    def _open(self):  # type: ignore[no-untyped-def]  # the stream's type is the base class's business
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, self.mode, encoding=self.encoding, errors=self.errors)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line."""
        self._failed = False
        super().emit(record)
        if self._told and not self._failed:
            self._told = False
            _log.warning("the record of changes is written again")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Instead of a traceback among the lines of the log."""
        self._failed = True
        self.tell_of(sys.exception())

    def tell_of(self, error: BaseException | None) -> None:
        """Says that lines may be missing."""
        if not self._told:
            self._told = True
            _log.error(
                "the record of changes cannot be written to %s, and lines may be missing: %s", self.baseFilename, error
            )

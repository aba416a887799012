"""Watches folders for files that come or change, and waits until they are complete."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from watchfiles import Change, watch

from shoal_client.bulk.archives import is_archive
from shoal_client.errors import FailedPrecondition
from shoal_client.files import IMAGE_SUFFIXES, find_images
from shoal_client.sources import NewImage

_log = logging.getLogger(__name__)

#: A file is complete when its size and its time of change have been the same for so many seconds.
SETTLED_S = 1.0
#: How often it is looked at.
LOOK_EVERY_S = 0.25


class FolderWatch:
    """Watches folders from its making to its closing; a context manager.

    Args:
        folders: to watch, with their subfolders.

    Raises:
        FailedPrecondition: the system cannot watch them.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        #: Whether it came new, by path.
        self._changed: dict[str, bool] = {}
        self._waiting: dict[Path, tuple[int, int, float]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._begun = threading.Event()
        self._problem: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="shoal-watch", daemon=True)
        self._thread.start()
        # What comes from now on is seen; what was there before is somebody else's to find.
        self._begun.wait()
        self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def complete(self, stop: threading.Event) -> Iterator[list[NewImage]]:
        """New and changed images, some at a time, once they are complete; until ``stop`` is set.

        Raises:
            FailedPrecondition: the system cannot watch the folders any more.
        """
        while not stop.wait(LOOK_EVERY_S):
            self._check()
            self._look_at_changed()
            if settled := list(self._settled()):
                yield settled

    def _watch(self) -> None:
        try:
            for changes in watch(
                *self._folders,
                watch_filter=None,
                debounce=200,
                rust_timeout=200,
                yield_on_timeout=True,
                stop_event=self._stop,
                raise_interrupt=False,
                ignore_permission_denied=True,
            ):
                with self._lock:
                    for change, path in changes:
                        if change is not Change.deleted:
                            self._changed[path] = self._changed.get(path, False) or change is Change.added
                self._begun.set()
        except Exception as error:  # noqa: BLE001 - whatever the system's watching raises; told where it is asked for
            self._problem = error
        finally:
            self._begun.set()

    def _check(self) -> None:
        if self._problem is not None:
            raise FailedPrecondition(
                f"{', '.join(map(str, self._folders))} cannot be watched: {self._problem}; is there a limit of the "
                "system, such as fs.inotify.max_user_watches?",
                reason="CANNOT_WATCH",
            )

    def _look_at_changed(self) -> None:
        with self._lock:
            changed, self._changed = self._changed, {}
        for name, is_new in sorted(changed.items()):
            path = Path(name)
            if self._is_hidden(path):
                continue
            files = [path] if path.suffix.lower() in IMAGE_SUFFIXES else []
            if is_new and is_archive(path.name):
                _log.warning("%s is passed over: archives in a folder are not opened; ingest it by its name", path)
            # A folder that was moved here is one change, whatever is in it.
            if is_new and path.is_dir():
                files = find_images([path]).files
            for file in files:
                self._waiting.setdefault(file, (-1, -1, 0.0))

    def _settled(self) -> Iterator[NewImage]:
        now = time.monotonic()
        for path, (size, mtime_ns, since) in list(self._waiting.items()):
            try:
                status = path.stat()
            except OSError:  # it is gone again
                del self._waiting[path]
                continue
            if (status.st_size, status.st_mtime_ns) != (size, mtime_ns):
                self._waiting[path] = (status.st_size, status.st_mtime_ns, now)
            elif now - since >= SETTLED_S:
                del self._waiting[path]
                yield NewImage(path)

    def _is_hidden(self, path: Path) -> bool:
        """Whether it, or a folder between it and the one that is watched, is hidden."""
        for folder in self._folders:
            for root in (folder.absolute(), folder.resolve()):
                if path.is_relative_to(root):
                    return any(part.startswith(".") for part in path.relative_to(root).parts)
        return path.name.startswith(".")

"""Leaves out what the journal knows and the server still has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from shoal_client.bulk.contents import InMemory
from shoal_client.bulk.journal import Journal, Sayings
from shoal_client.sources import Source

#: Files that the server is asked about at once.
ASK_AT_ONCE = 1000
#: New files that are held back meanwhile.
NEW_AT_ONCE = 64

#: Of some hexadecimal SHA-256 those that are stored.
Check = Callable[[Sequence[str]], set[str]]


class Known:
    """What was stored before.

    Args:
        journal: knows what was stored.
        sayings: gives the journal's keys.
        check: asks the server.
    """

    def __init__(self, journal: Journal, sayings: Sayings, check: Check) -> None:
        self._journal = journal
        self._sayings = sayings
        self._check = check

    def sort_out(self, sources: Iterator[Source]) -> Iterator[tuple[Source, bool]]:
        """The sources in their order, each with whether it is known; a few are held back to be asked about at once.

        Raises:
            ShoalError: the server could not be asked.
        """
        waiting: list[tuple[Source, str | None]] = []
        new = 0
        problem: Exception | None = None
        while True:
            try:
                source = next(sources)
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 - the caller's; what came before it is answered first
                problem = error
                break
            sha256 = self._recorded(source)
            if sha256 is None and not waiting:
                yield source, False
                continue
            waiting.append((source, sha256))
            new += sha256 is None
            # Bytes in memory are not held back: nobody knows how many more there are.
            if len(waiting) == ASK_AT_ONCE or new == NEW_AT_ONCE or isinstance(source.content, InMemory):
                yield from self._answered(waiting)
                waiting, new = [], 0
        yield from self._answered(waiting)
        if problem is not None:
            raise problem

    def remember(self, source: Source, sha256: str) -> None:
        """Notes that a source is stored, or a stored image in its place."""
        key = self._sayings.key(source)
        if key is not None and source.origin is not None:
            self._journal.record(key, source.origin, sha256)

    def close(self) -> None:
        """Writes what was noted."""
        self._journal.close()

    def _recorded(self, source: Source) -> str | None:
        key = None if source.problem else self._sayings.key(source)
        if key is None or source.origin is None:
            return None
        return self._journal.lookup({key: source.origin}).get(key)

    def _answered(self, waiting: Sequence[tuple[Source, str | None]]) -> Iterator[tuple[Source, bool]]:
        asked = list(dict.fromkeys(sha256 for _, sha256 in waiting if sha256 is not None))
        stored = self._check(asked) if asked else set()
        for source, sha256 in waiting:
            yield source, sha256 in stored

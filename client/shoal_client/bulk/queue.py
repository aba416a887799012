"""The images that are on their way: being read, waiting, sent, refused for the moment, answered.

Three threads work on them: one that takes them from the caller, one that sends them and one that takes the answers. The
caller gets the results in the order of what it gave.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import replace

from shoal_client.bulk.messages import READ_WHOLE, Prepared
from shoal_client.errors import ShoalError
from shoal_client.results import IngestResult, Outcome
from shoal_client.sources import Source

#: Images sent and not yet answered: enough for the server to fill its batches.
IN_FLIGHT = 128
#: Images being read or waiting to be sent.
READ_AHEAD = 32
#: Bytes of images that are kept in memory.
HELD_BYTES = 64 * 2**20


class Entry:
    """An image on its way.

    Attributes:
        index: its place in what the caller gave.
        source: what it is.
        reading: its bytes to come; None after they were sent.
        held: bytes of it that are in memory now.
        refusals: how often the server had no room for it.
        result: what became of it.
    """

    __slots__ = ("held", "index", "reading", "refusals", "result", "source")

    def __init__(self, index: int, source: Source, result: IngestResult | None = None) -> None:
        self.index = index
        self.source = source
        self.reading: Future[Prepared] | None = None
        self.held = 0
        self.refusals = 0
        self.result = result

    @property
    def read_whole(self) -> int:
        """Bytes of a file that are in memory from its reading to its sending."""
        content = self.source.content
        return 0 if content is None or content.held or content.size > READ_WHOLE else content.size


class Attempt:
    """One stream.

    Attributes:
        sent: what was sent and is not answered, in order; the last may be on its way.
        over: nothing more is to be sent.
        broken_off: it was ended on purpose, to go on in another one.
    """

    def __init__(self) -> None:
        self.sent: deque[Entry] = deque()
        self.over = False
        self.broken_off = False


class Queue:
    """All images on their way; every method may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._all: deque[Entry] = deque()
        self._fresh: deque[Entry] = deque()
        self._again: list[tuple[float, Entry]] = []
        self._in_flight = 0
        self._held = 0
        self._unsettled = 0
        self._paused_until = 0.0
        self._ended = False
        self._problem: Exception | None = None
        self._problem_of_caller: Exception | None = None
        self._closed = False

    def wait_for_room(self, entry: Entry) -> bool:
        """Waits until there is room for an image; False if no more are wanted."""
        content = entry.source.content
        entry.held = 0 if content is None or entry.result is not None else content.held + entry.read_whole
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room(entry.held))
            return not self._stopped

    def put(self, entry: Entry) -> None:
        """Takes an image that there is room for; there is nothing to do for one that has its result already."""
        with self._changed:
            self._held += entry.held
            self._all.append(entry)
            if entry.result is None:
                self._unsettled += 1
                self._fresh.append(entry)
            self._changed.notify_all()

    def end(self, problem_of_caller: Exception | None = None) -> None:
        """Nothing more comes; what the caller's iterable raised is raised after the results of what it gave."""
        with self._changed:
            self._ended = True
            self._problem_of_caller = problem_of_caller
            self._changed.notify_all()

    def wait_for_work(self) -> bool:
        """Waits for something to send; False if nothing ever comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._done or self._has_work)
            return not self._done

    @property
    def has_work(self) -> bool:
        """Whether there is something to send."""
        with self._changed:
            return self._has_work

    def next_to_send(self, attempt: Attempt) -> Entry | None:
        """Waits for the next image of a stream and counts it as sent; None if there is none, or the stream is over."""
        with self._changed:
            while not (attempt.over or self._done):
                now = time.monotonic()
                due = min(self._again, key=lambda each: each[0], default=None)
                if self._in_flight < IN_FLIGHT and now >= self._paused_until:
                    if due is not None and due[0] <= now:
                        self._again.remove(due)
                        return self._sent(due[1], attempt)
                    if self._fresh:
                        return self._sent(self._fresh.popleft(), attempt)
                until = min(
                    (time_ for time_ in (self._paused_until, due[0] if due else 0.0) if time_ > now), default=None
                )
                self._changed.wait(None if until is None else until - now)
        return None

    def forget_reading(self, entry: Entry) -> None:
        """An image's bytes were sent; those of a file can be read again."""
        with self._changed:
            entry.reading = None
            kept = entry.source.content.held if entry.source.content is not None else 0
            self._release(entry, max(entry.held - kept, 0))

    def take_back(self, entry: Entry, attempt: Attempt) -> bool:
        """An image that was about to be sent is not; False if its stream is over, and it is another one's."""
        with self._changed:
            if attempt.over:
                return False
            attempt.sent.remove(entry)
            self._in_flight -= 1
            return True

    def is_unanswered(self, entry: Entry, attempt: Attempt) -> bool:
        """Whether the image that is being sent is still waited for."""
        with self._changed:
            return bool(attempt.sent) and attempt.sent[-1] is entry

    def wait_for_answers(self, attempt: Attempt, seconds: float) -> None:
        """Waits until all that was sent in a stream is answered, or it is over."""
        with self._changed:
            self._changed.wait_for(lambda: attempt.over or self._stopped or not attempt.sent, seconds)

    def give_up_last(self, attempt: Attempt) -> Entry | None:
        """The image that was sent last, which is not to be sent again."""
        with self._changed:
            if not attempt.sent:
                return None
            self._in_flight -= 1
            return attempt.sent.pop()

    def answered(self, attempt: Attempt) -> Entry | None:
        """The image whose answer has come; None if none was sent."""
        with self._changed:
            if not attempt.sent:
                return None
            self._in_flight -= 1
            return attempt.sent.popleft()

    def settle(self, entry: Entry, result: IngestResult) -> None:
        """This has become of an image."""
        with self._changed:
            entry.result = result
            entry.reading = None
            # Nothing of it stays in memory while a slow caller takes its time.
            entry.source = replace(entry.source, content=None)
            self._unsettled -= 1
            self._release(entry, entry.held)
            self._changed.notify_all()

    def send_again(self, entry: Entry, delay_s: float) -> None:
        """The server has no room for an image: until later, nothing is sent."""
        with self._changed:
            entry.refusals += 1
            due = time.monotonic() + delay_s
            self._again.append((due, entry))
            self._paused_until = max(self._paused_until, due)
            self._changed.notify_all()

    def break_off(self, attempt: Attempt) -> None:
        """A stream is over: what it left unanswered is sent in the next one, before everything else."""
        with self._changed:
            attempt.over = True
            self._in_flight -= len(attempt.sent)
            self._again[:0] = [(0.0, entry) for entry in attempt.sent]
            attempt.sent.clear()
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Lets time pass; less if nothing more is wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)

    def fail(self, problem: Exception) -> None:
        """Nothing can be done any more: raised after the results so far."""
        with self._changed:
            self._problem = self._problem or problem
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody wants the results any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        with self._changed:
            return self._done

    def next_results(self) -> list[IngestResult]:
        """Waits for results, in the order of the images; empty after the last.

        Raises:
            Exception: what ended the ingest.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._stopped or (self._ended and not self._all))
            results = []
            while self._all and (result := self._all[0].result) is not None:
                results.append(result)
                self._all.popleft()
            self._changed.notify_all()
            if results or self._closed:
                return results
            problem = self._problem or self._problem_of_caller
            if problem is not None:
                raise problem
            return []

    @property
    def _ready(self) -> bool:
        return bool(self._all) and self._all[0].result is not None

    @property
    def _stopped(self) -> bool:
        return self._closed or self._problem is not None

    @property
    def _has_work(self) -> bool:
        return bool(self._fresh or self._again)

    @property
    def _done(self) -> bool:
        return self._stopped or (self._ended and not self._unsettled)

    def _has_room(self, held: int) -> bool:
        return len(self._all) < IN_FLIGHT + READ_AHEAD and (not self._held or self._held + held <= HELD_BYTES)

    def _sent(self, entry: Entry, attempt: Attempt) -> Entry:
        attempt.sent.append(entry)
        self._in_flight += 1
        return entry

    def _release(self, entry: Entry, held: int) -> None:
        entry.held -= held
        self._held -= held
        self._changed.notify_all()


def failed(entry: Entry, error: ShoalError) -> IngestResult:
    """The result of an image that could not be stored."""
    return IngestResult(entry.index, entry.source.uri, Outcome.FAILED, error=error)

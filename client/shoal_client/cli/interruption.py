"""What Ctrl-C and SIGTERM do to work whose items are already on their way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

import typer

#: How long the answers to what is under way are waited for.
GRACE_S = 3.0
#: How long an interrupted program may take to end, its last words included.
LAST_WORDS_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Item = TypeVar("Item")


class Interruption:
    """Takes interrupts while it is open; a context manager.

    The first interrupt ends what :meth:`until` gives out, and nothing else. The second one, or the end of the grace
    period, raises KeyboardInterrupt in the main thread. Elsewhere than in the main thread no signal arrives, and it
    only gives items.

    Args:
        grace_s: seconds from the first interrupt to the KeyboardInterrupt.
        ends_program: after an interrupt, the program is ended by force if it does not end by itself within LAST_WORDS_S
            after this: nobody may read its output any more, and a drive may never answer the thread that reads it.

    Attributes:
        came: set when an interrupt came.
    """

    def __init__(self, grace_s: float = GRACE_S, *, ends_program: bool = False) -> None:
        self.came = threading.Event()
        self._grace_s = grace_s
        self._ends_program = ends_program
        self._number: int | None = None
        self._terminated = False
        # Takes no lock, unlike an event: a signal may interrupt this very thread while it holds that.
        self._arrived: SimpleQueue[int | None] = SimpleQueue()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            threading.Thread(target=self._attend, name="shoal-interrupts", daemon=True).start()
            self._before = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._arrived.put(None)
        ending = self._ends_program and self._number is not None
        for number, handler in self._before.items():
            # The program is ending: one more interrupt would only cut its last words off.
            signal.signal(number, signal.SIG_IGN if ending else handler)
        if self._terminated and kind is KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGTERM)

    def until(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items until an interrupt comes."""
        for item in items:
            if self.came.is_set():
                return
            yield item

    def check(self) -> None:
        """Ends what was interrupted.

        Raises:
            KeyboardInterrupt: an interrupt came.
        """
        if self.came.is_set():
            raise KeyboardInterrupt

    def _interrupt(self, number: int, _frame: object) -> None:
        again = self._number is not None
        self._number = self._number or number
        self._terminated |= number == signal.SIGTERM
        self._arrived.put(number)
        if again:
            raise KeyboardInterrupt

    def _attend(self) -> None:
        """Does what an interrupt asks for, in a thread of its own."""
        number = self._arrived.get()
        if number is None:
            return
        self.came.set()
        try:
            self._arrived.get(timeout=self._grace_s)
        except Empty:
            _interrupt_main()
        if self._ends_program:
            time.sleep(LAST_WORDS_S)
            os._exit(128 + number)


def _interrupt_main() -> None:
    """Wakes the main thread: a signal raised in another one leaves it waiting for its lock."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

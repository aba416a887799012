"""What a Ctrl-C does to work whose items are already on their way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

#: How long the answers to what is under way are waited for.
GRACE_S = 3.0

Item = TypeVar("Item")


class Interruptible(Generic[Item]):
    """Gives out items until an interrupt; a context manager, which takes interrupts while it is open.

    The first interrupt ends the items, and nothing else. The second one, or the end of the grace period, raises
    KeyboardInterrupt in the main thread. Elsewhere than in the main thread no signal arrives, and it only gives items.

    Attributes:
        interrupted: whether an interrupt came.
    """

    def __init__(self, items: Sequence[Item], grace_s: float = GRACE_S) -> None:
        self.interrupted = False
        self._items = items
        self._timer = threading.Timer(grace_s, _interrupt_main)
        self._timer.daemon = True
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            if self.interrupted:
                return
            yield item

    def _interrupt(self, _number: int, _frame: object) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        self._timer.start()


def _interrupt_main() -> None:
    """Wakes the main thread: a signal raised in another one leaves it waiting for its lock."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

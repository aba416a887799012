"""What the work is told to while it is under way: a meter for numbers and a tracer for spans.

Neither may fail, and neither may wait: they are called within every request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

#: How something ended, where there is no better word for it.
OK = "ok"
FAILED = "failed"
#: It was the caller's fault, or nobody waits for the answer any more.
REFUSED = "refused"
CANCELLED = "cancelled"

#: Of a span: short, and few different names.
Attributes = Mapping[str, str | int | float]


class Meter(Protocol):
    """Counts, and measures durations in seconds. Every text it is given is one of few, or a collection's id."""

    def call_began(self, service: str, method: str) -> None:
        """An RPC has come in."""
        ...

    def call_ended(self, service: str, method: str, code: str, seconds: float) -> None:
        """It has ended, with the name of a status code."""
        ...

    def store_called(self, operation: str, outcome: str, seconds: float) -> None:
        """The store has answered."""
        ...

    def decoded(self, outcome: str, seconds: float) -> None:
        """A file was decoded, waiting for a thread included."""
        ...

    def embedded(self, kind: str, outcome: str, seconds: float) -> None:
        """An ``image``, a ``text`` or many ``texts`` went through the model, waiting included."""
        ...

    def passed(self, kind: str, size: int, outcome: str, seconds: float) -> None:
        """A pass of the model has ended that had so many images or texts in it."""
        ...

    def ingested(self, collection: str, outcome: str) -> None:
        """An image was dealt with."""
        ...

    def stage_ended(self, stage: str, seconds: float) -> None:
        """A clustering run is through with one of its stages."""
        ...

    def run_ended(self, collection: str, outcome: str, seconds: float) -> None:
        """A clustering run has ended."""
        ...


class NoMeter(Meter):
    """Nobody counts."""

    def call_began(self, service: str, method: str) -> None:
        """Nothing."""

    def call_ended(self, service: str, method: str, code: str, seconds: float) -> None:
        """Nothing."""

    def store_called(self, operation: str, outcome: str, seconds: float) -> None:
        """Nothing."""

    def decoded(self, outcome: str, seconds: float) -> None:
        """Nothing."""

    def embedded(self, kind: str, outcome: str, seconds: float) -> None:
        """Nothing."""

    def passed(self, kind: str, size: int, outcome: str, seconds: float) -> None:
        """Nothing."""

    def ingested(self, collection: str, outcome: str) -> None:
        """Nothing."""

    def stage_ended(self, stage: str, seconds: float) -> None:
        """Nothing."""

    def run_ended(self, collection: str, outcome: str, seconds: float) -> None:
        """Nothing."""


class Span(Protocol):
    """A stretch of work that is not a block of code: it is ended by whoever began it."""

    def child(self, name: str, attributes: Attributes) -> Span:
        """Begins a part of it."""
        ...

    def end(self, problem: str = "") -> None:
        """Ends it; with a problem, it has failed."""
        ...


class Tracer(Protocol):
    """Says what happened within what, and when."""

    def call(
        self, service: str, method: str, headers: Mapping[str, str]
    ) -> AbstractContextManager[Callable[[str], None]]:
        """A span around an RPC, below the caller's if the headers say which that is.

        What is entered is called with the name of the status code, once that is known.
        """
        ...

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[None]:
        """A span around a block, below the one that the block stands in; an error that leaves the block is noted."""
        ...

    def begin(self, name: str, attributes: Attributes) -> Span:
        """Begins a span below the one where this is called; whatever the task begins afterwards is below it."""
        ...


class _NoSpan(Span):
    def child(self, name: str, attributes: Attributes) -> Span:
        return self

    def end(self, problem: str = "") -> None:
        pass


class _Nothing:
    """A context that costs nothing to make, for there is only one."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class _Untold:
    """Likewise, with nobody to tell a code."""

    def __enter__(self) -> Callable[[str], None]:
        return _ignore

    def __exit__(self, *_: object) -> None:
        return None


def _ignore(code: str) -> None:
    pass


class NoTracer(Tracer):
    """Nobody follows."""

    def __init__(self) -> None:
        self._span = _NoSpan()
        self._block = _Nothing()
        self._call = _Untold()

    def call(
        self, service: str, method: str, headers: Mapping[str, str]
    ) -> AbstractContextManager[Callable[[str], None]]:
        """Nothing."""
        return self._call

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[None]:
        """Nothing."""
        return self._block

    def begin(self, name: str, attributes: Attributes) -> Span:
        """Nothing."""
        return self._span

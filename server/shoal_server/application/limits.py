"""How much one caller may ask for, so that one cannot take the server from all others."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shoal_server.application.byte_budget import ByteBudget
from shoal_server.domain.errors import Overloaded
from shoal_server.domain.rate import TokenBucket

#: Callers that are remembered; of more, those that were quiet for longest are forgotten, and begin anew.
MAX_REMEMBERED = 10_000
#: Messages of one caller that are read at once: how long one is, nobody knows before it is read.
READING = 16
#: Seconds after which to try again when calls or streams are what is used up.
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """For each caller.

    Attributes:
        rate_per_s: calls a second in the long run; None: no limit.
        burst: calls at once after a while of quiet, at least 1.
        max_streams: streams open at once, at least 1.
        max_calls: calls under way at once, streams among them, at least 1.
        message_bytes: of the messages that were read and are being answered, at least 1; a longer one is alone.
    """

    rate_per_s: float | None = None
    burst: int = 100
    max_streams: int = 100
    max_calls: int = 500
    message_bytes: int = 128 * 1024 * 1024


class Share:
    """What one caller has of the server just now.

    A message is read while one of the places of ``reading`` is held, which is given back when the message has got its
    ``room``: more than ``READING`` messages and ``room`` are never in memory. Who waits for a place has sent nothing
    yet that takes any.

    Attributes:
        calls: that are under way, those that wait included.
        reading: places of messages that are being read.
        room: of messages that are being answered.
    """

    __slots__ = ("calls", "reading", "room")

    def __init__(self, message_bytes: int) -> None:
        self.calls = 0
        self.reading = asyncio.Semaphore(READING)
        self.room = ByteBudget(message_bytes)


class Buckets:
    """A token bucket for each of many keys, in bounded memory."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, key: str) -> float:
        """As :meth:`TokenBucket.take`, of the key's own bucket."""
        now = self._clock()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst, now)
            if len(self._buckets) > MAX_REMEMBERED:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now)

    def __len__(self) -> int:
        return len(self._buckets)


class CallerLimits:
    """Counts what each caller asks for."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._calls = None if limits.rate_per_s is None else Buckets(limits.rate_per_s, limits.burst, clock)
        self._streams: dict[str, int] = {}
        self._shares: dict[str, Share] = {}

    def admit(self, caller: str) -> None:
        """Counts a call.

        Raises:
            Overloaded: the caller has had as many as may be.
        """
        if self._calls is not None and (wait := self._calls.take(caller)):
            raise Overloaded(f"your share of this server ({self._limits.rate_per_s:g} calls a second)", _rounded(wait))

    @contextmanager
    def call(self, caller: str) -> Iterator[Share]:
        """Counts a call for as long as it is under way.

        Raises:
            Overloaded: the caller has as many under way as may be.
        """
        share = self._shares.get(caller)
        if share is None:
            share = self._shares[caller] = Share(self._limits.message_bytes)
        if share.calls >= self._limits.max_calls:
            raise Overloaded(f"your share of this server ({share.calls} calls at once)", _RETRY_S)
        share.calls += 1
        try:
            yield share
        finally:
            share.calls -= 1
            if not share.calls:
                del self._shares[caller]

    @contextmanager
    def stream(self, caller: str) -> Iterator[None]:
        """Counts a stream for as long as it is open.

        Raises:
            Overloaded: the caller has as many open as may be.
        """
        there = self._streams.get(caller, 0)
        if there >= self._limits.max_streams:
            raise Overloaded(f"your share of this server ({there} open streams)", _RETRY_S)
        self._streams[caller] = there + 1
        try:
            yield
        finally:
            left = self._streams.pop(caller) - 1
            if left:
                self._streams[caller] = left


def _rounded(seconds: float) -> float:
    """Up to the next millisecond, which is what a status carries."""
    return int(seconds * 1000 + 1) / 1000

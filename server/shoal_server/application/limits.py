"""How much one caller may ask for, so that one cannot take the server from all others."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shoal_server.domain.errors import Overloaded
from shoal_server.domain.rate import TokenBucket

#: Callers that are remembered; of more, those that were quiet for longest are forgotten, and begin anew.
MAX_REMEMBERED = 10_000
#: Seconds after which to try again when streams are what is used up.
_STREAM_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """For each caller.

    Attributes:
        rate_per_s: calls a second in the long run; None: no limit.
        burst: calls at once after a while of quiet, at least 1.
        max_streams: streams open at once, at least 1.
    """

    rate_per_s: float | None = None
    burst: int = 100
    max_streams: int = 100


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

    def admit(self, caller: str) -> None:
        """Counts a call.

        Raises:
            Overloaded: the caller has had as many as may be.
        """
        if self._calls is not None and (wait := self._calls.take(caller)):
            raise Overloaded(f"your share of this server ({self._limits.rate_per_s:g} calls a second)", _rounded(wait))

    @contextmanager
    def stream(self, caller: str) -> Iterator[None]:
        """Counts a stream for as long as it is open.

        Raises:
            Overloaded: the caller has as many open as may be.
        """
        there = self._streams.get(caller, 0)
        if there >= self._limits.max_streams:
            raise Overloaded(f"your share of this server ({there} open streams)", _STREAM_RETRY_S)
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

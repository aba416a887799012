"""A token bucket: so many at once, and so many a second in the long run."""

from __future__ import annotations

import math


class TokenBucket:
    """Holds at most ``burst`` tokens, and gets ``rate`` of them each second."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Args:
        rate: tokens a second, above 0.
        burst: most tokens it holds, at least 1; it begins full.
        now: seconds on a clock that only goes forward.
        """
        self._rate, self._burst = rate, burst
        self._tokens, self._updated = burst, now

    def take(self, now: float) -> float:
        """Takes a token, if there is one.

        Returns:
            0, or the seconds until there is one.
        """
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._updated) * self._rate)
        self._updated = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return max((1 - self._tokens) / self._rate, math.ulp(0.0))

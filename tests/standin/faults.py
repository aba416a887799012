"""Faults that tests order, and the calls that came."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.standin.refusals import Refused

#: Calls that change something.
WRITES = frozenset(
    {
        "Points.Upsert",
        "Points.Delete",
        "Points.UpdateVectors",
        "Points.DeleteVectors",
        "Points.SetPayload",
        "Points.OverwritePayload",
        "Points.DeletePayload",
        "Points.ClearPayload",
        "Points.UpdateBatch",
        "Points.CreateFieldIndex",
        "Points.DeleteFieldIndex",
        "Collections.Create",
        "Collections.Update",
        "Collections.Delete",
        "Collections.UpdateAliases",
    }
)


@dataclass
class Fault:
    """What is wrong with some calls.

    Attributes:
        methods: of gRPC, for instance ``["Points.Upsert"]``; ``"writes"`` or ``"reads"`` for all of these; None for
            every call.
        delay_ms: they are answered so much later.
        status: of the answer, for instance ``UNAVAILABLE``; None answers as it should.
        message: of that answer.
        applied: what was called for is done before it is answered with the status, as if the answer had been lost.
        times: so many calls have the fault; None is all.
        for_s: for so many seconds; None is until it is taken back.
        retry_after_s: told with the status.
    """

    methods: list[str] | str | None = None
    delay_ms: float = 0
    status: str | None = None
    message: str = "a fault that a test ordered"
    applied: bool = False
    times: int | None = None
    for_s: float | None = None
    retry_after_s: int | None = None
    began: float = field(default_factory=time.monotonic)

    def concerns(self, method: str) -> bool:
        """Whether a call of this method has it."""
        if self.times == 0 or (self.for_s is not None and time.monotonic() > self.began + self.for_s):
            return False
        match self.methods:
            case None:
                return True
            case "writes":
                return method in WRITES
            case "reads":
                return method not in WRITES
            case str() as one:
                return method == one
            case several:
                return method in several

    def refusal(self) -> Refused | None:
        """What its calls are refused with."""
        if self.status is None:
            return None
        return Refused(grpc.StatusCode[self.status], self.message, self.retry_after_s)


class Calls:
    """Counts calls, and makes faults."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._counts: Counter[str] = Counter()
        self._last: dict[str, Any] = {}
        self._under_way = 0
        self._most = 0

    def order(self, faults: list[dict[str, Any]]) -> None:
        """Faults from here on, in place of those before."""
        with self._lock:
            self._faults = [Fault(**each) for each in faults]

    def forget(self) -> None:
        """Counts begin again."""
        with self._lock:
            self._counts.clear()
            self._last.clear()
            self._most = self._under_way

    def report(self) -> dict[str, Any]:
        """Calls by method (``of``), the most at once, and the last request of each method."""
        with self._lock:
            return {"of": dict(self._counts), "most_at_once": self._most, "last": dict(self._last)}

    def begin(self, method: str, request: Any) -> Refused | None:
        """Counts a call, and waits if it is to be slow.

        Returns:
            What to answer when it has been done.

        Raises:
            Refused: it is not to be done.
        """
        with self._lock:
            self._counts[method] += 1
            self._last[method] = request
            self._under_way += 1
            self._most = max(self._most, self._under_way)
            faults = [each for each in self._faults if each.concerns(method)]
            for fault in faults:
                if fault.times is not None:
                    fault.times -= 1
        time.sleep(sum(fault.delay_ms for fault in faults) / 1000)
        after = None
        for fault in faults:
            if (refusal := fault.refusal()) is None:
                continue
            if not fault.applied:
                raise refusal
            after = refusal
        return after

    def end(self) -> None:
        """The call is answered."""
        with self._lock:
            self._under_way -= 1

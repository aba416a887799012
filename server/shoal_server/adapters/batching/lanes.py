"""What waits for the model, and how much of it goes through at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Input = TypeVar("Input")
Matrix = NDArray[np.float32]


@dataclass(slots=True)
class Request(Generic[Input]):
    """Inputs of one caller and where their vectors go. An answer that is done has no one waiting for it."""

    inputs: Sequence[Input]
    answer: asyncio.Future[Matrix]


@dataclass(slots=True)
class Lane(Generic[Input]):
    """Requests of one kind, first come, first served.

    Attributes:
        kind: what they are, in a word.
        embed: one pass of the model.
        largest: most inputs in a pass, no fewer than any request has.
        at_once: most passes at the same time.
        under_way: passes at this moment.
        requests: those that wait.
    """

    kind: str
    embed: Callable[[Sequence[Input]], Matrix]
    largest: int
    at_once: int
    under_way: int = 0
    requests: deque[Request[Input]] = field(default_factory=deque)

    def take(self) -> list[Request[Input]]:
        """What the next pass is for, empty if it has to wait; callers who left are forgotten."""
        batch: list[Request[Input]] = []
        if self.under_way == self.at_once:
            return batch
        # The passes beside this one find their share, now or when they are through with what they have.
        share = -(-len(self.requests) // self.at_once)
        limit = self.largest if self.at_once == 1 else min(self.largest, share)
        size = 0
        while self.requests:
            request = self.requests[0]
            if not request.answer.done():
                if size + len(request.inputs) > limit:
                    break
                batch.append(request)
                size += len(request.inputs)
            self.requests.popleft()
        return batch

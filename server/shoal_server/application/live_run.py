"""A run under way, as those see it who watch or cancel it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from shoal_server.domain.run import SAMPLED_STAGE_START, STAGE_START, ClusteringRun, RunStage

Outcome = TypeVar("Outcome")

#: Below this progress nothing can be said about the time that is left.
_EARLY = 0.05


class LiveRun:
    """The newest state of a run, who waits for the next one, and what can be cancelled of it.

    Attributes:
        run: the newest state.
        version: grows with every state.
        recorded: done when the run's record is stored; fails if that fails.
        stopped_because: why it was stopped, if not by a person's cancelling.
    """

    def __init__(self, run: ClusteringRun, told: Callable[[ClusteringRun], None] = lambda run: None) -> None:
        """Args:
        run: its first state.
        told: of every later one.
        """
        self.run = run
        self._told = told
        self.version = 0
        self.recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever started the run may have left: then nobody asks for this error.
        self.recorded.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.stopped_because: str | None = None
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._step: asyncio.Task[object] | None = None
        self._writing = False
        self._cancelled = False
        self._began = self._stage_began = time.monotonic()

    def now(self, run: ClusteringRun) -> None:
        """Takes the newer state and wakes all who wait."""
        self.run = run
        self.version += 1
        self._told(run)
        self._changed.set()
        self._changed = asyncio.Event()
        if run.state.ended:
            self._ended.set()

    def at(self, stage: RunStage, share: float) -> None:
        """Notes how far the run is: the stage, and the share of it that is done, 0 to 1."""
        moment = time.monotonic()
        timings = self.run.timings
        if stage is not self.run.stage:
            timings = {**timings, self.run.stage.value: moment - self._stage_began}
            self._stage_began = moment
        begins = STAGE_START if self.run.sampled is None else SAMPLED_STAGE_START
        progress = max(self.run.progress, _progress(begins, stage, share))
        left = None if progress < _EARLY else (moment - self._began) * (1.0 - progress) / progress
        self.now(replace(self.run, stage=stage, progress=progress, timings=timings, remaining_s=left))

    def sampled(self, size: int) -> None:
        """Notes that so many images are clustered, and the others assigned."""
        self.now(replace(self.run, sampled=size))

    async def after(self, version: int) -> None:
        """Waits until there is a state newer than this version."""
        while self.version <= version:
            await self._changed.wait()

    async def end(self) -> None:
        """Waits until the run has ended."""
        await self._ended.wait()

    async def step(self, step: asyncio.Task[Outcome]) -> Outcome:
        """Waits for a part of the run that can be cancelled.

        Raises:
            CancelledError: it was.
        """
        self._step = step
        if self._cancelled:
            step.cancel()
        try:
            return await step
        finally:
            self._step = None

    def begin_writing(self) -> None:
        """From here on the run is not stopped, but withdrawn."""
        self._writing = True

    @property
    def withdrawn(self) -> bool:
        """Whether a person cancelled it; a server that is stopped lets it finish writing."""
        return self._cancelled and self.stopped_because is None

    def cancel(self, because: str | None = None) -> None:
        """Asks the run to stop, once.

        Args:
            because: why, if it is not a person who cancels.
        """
        if self._cancelled or (self._writing and because is not None):
            return
        self._cancelled = True
        self.stopped_because = because
        if self._step is not None:
            self._step.cancel()


def _progress(begins: Mapping[RunStage, float], stage: RunStage, share: float) -> float:
    stages = list(begins)
    after = stages.index(stage) + 1
    end = begins[stages[after]] if after < len(stages) else 1.0
    return begins[stage] + share * (end - begins[stage])
